"""Search strategies: from a study's axes to the trials to run."""
