"""Objects out of MER mosaics: catalogs of positions, tiles on disk, and frames out of them."""
