"""From rows of the cache to the input of a network."""
