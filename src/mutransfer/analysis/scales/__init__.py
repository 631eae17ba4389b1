"""Several scales at once: the combinations that were run, and how the best rate and loss scale."""
