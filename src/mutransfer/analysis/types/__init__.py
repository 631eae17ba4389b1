"""The dataclasses that an analysis returns."""
