"""Comparison of groups: draws of two together, and the differences of their numbers."""
