"""The lab: the reference decoder, its data and its deterministic trainer."""
