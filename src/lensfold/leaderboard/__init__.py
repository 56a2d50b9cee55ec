"""What was scored so far, best first, and what differs."""
