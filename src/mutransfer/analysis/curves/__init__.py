"""Loss curves over learning rates: grid, local fit, noise, skew."""
