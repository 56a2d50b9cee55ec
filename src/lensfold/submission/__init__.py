"""The challenge's CSV: written, checked, repaired, explained."""
