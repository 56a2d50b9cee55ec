"""Several runs as one score."""
