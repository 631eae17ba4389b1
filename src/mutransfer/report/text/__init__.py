"""Text for the terminal: analyses, predictions, and code to copy."""
