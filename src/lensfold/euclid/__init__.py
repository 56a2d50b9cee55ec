"""Real Euclid cutouts, made into a pack in the geometry and units of the challenge."""
