"""What a trained run leaves on disk."""
