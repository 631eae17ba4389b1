"""Ray executor: every trial is a task of a Ray cluster."""
