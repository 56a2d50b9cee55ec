"""What happens to light on its way to the pixels: surface brightness, deflection, point spread functions, noise."""
