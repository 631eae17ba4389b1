"""Executors: where the workers of a sweep run."""
