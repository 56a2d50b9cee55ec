"""Labels of people's own: their file, their marks, and the rounds in which they came."""
