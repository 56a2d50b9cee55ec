"""What the kit costs, measured as ratios in one run: `python -m benchmarks`."""
