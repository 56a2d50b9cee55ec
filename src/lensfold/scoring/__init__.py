"""From labels and logits to numbers."""
