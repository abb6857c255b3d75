"""Words that settings, scans and files share; importing them loads nothing, so that help comes at once."""

#: What is reconstructed: from both data sets, or from one of them.
METHODS = ("joint", "ptychography", "fluorescence")

#: How the probe spreads a map of counts.
BLURS = ("convolution", "correlation")

#: Orders and places of scan positions.
PATHS = ("raster", "snake", "spiral", "random")
