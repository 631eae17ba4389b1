"""µ-Transfer for PyTorch: tune small, train large, and know beforehand whether it will work."""
