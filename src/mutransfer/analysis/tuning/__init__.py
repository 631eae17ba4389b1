"""Joint tuning of several hyperparameters: best points, importances, transfer over widths."""
