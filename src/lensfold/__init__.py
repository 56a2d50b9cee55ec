"""lensfold: from Euclid-like cutouts to a strong-lens ranking, fold by fold."""

__version__ = "0.1.0"
