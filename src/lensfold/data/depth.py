"""How deep Euclid's images are: the noise of the sky that pixels of a pack have."""

#: Background sigma in flux of zero point 0 of VIS pixels (0.1 arcsec) and of Y, J, H pixels (0.3 arcsec: sums of 3 x 3
#: mosaic pixels), lowest and highest of three Q1 objects of the wide survey (empirical, source-masked; the ``_RMS``
#: extensions are those of uncorrelated pixels and larger, 1.55 times in VIS).
MER_SIGMA = ((3.1e-13, 4.1e-13), (4.3e-12, 5.6e-12), (3.6e-12, 4.7e-12), (3.8e-12, 4.9e-12))
