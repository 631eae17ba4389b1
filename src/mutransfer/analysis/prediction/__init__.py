"""Prediction of the best rate, its loss and its regret at a target that was not run."""
