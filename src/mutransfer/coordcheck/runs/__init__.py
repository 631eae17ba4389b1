"""Training runs of a check, over widths and seeds, with probes attached."""
