"""What there is on the simulated sky: haloes and their galaxies, sources, the field, their distances and colours."""
