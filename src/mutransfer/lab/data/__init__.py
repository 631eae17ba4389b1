"""Data of the lab: text as memory-mapped tokens; a batch is a function of seed and step."""
