"""The steps, each from files to files."""
