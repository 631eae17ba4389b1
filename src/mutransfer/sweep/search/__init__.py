"""Search strategies: which trials of a study to run."""
