"""Data of the lab: text as memory-mapped tokens, and batches that follow from seed and step."""
