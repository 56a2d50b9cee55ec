"""What the kit is installed from: the pins with their hashes, and under which licences they come."""
