"""A pack on disk: catalog, folds, FITS files, and the cache of their pixels."""
