"""Comparison of studies with the paper that they repeat: shipped trials, or the user's own."""
