"""Plots of runs, rankings and packs."""
