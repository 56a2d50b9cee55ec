"""From IDs to logits."""
