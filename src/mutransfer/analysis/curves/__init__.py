"""Loss curves over learning rates: grids, local fits, noise, skew, interpolation."""
