"""How far apart two packs are: what their cutouts measure, side by side."""
