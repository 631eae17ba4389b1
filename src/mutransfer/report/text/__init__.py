"""Terminal text: analyses and predictions in sentences and tables."""
