"""The page of an analysis of several hyperparameters that are tuned together."""
