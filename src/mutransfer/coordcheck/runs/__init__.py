"""Runs: models trained for a few steps under probes, over widths and seeds."""
