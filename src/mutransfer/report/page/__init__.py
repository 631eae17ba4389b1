"""The HTML page: one self-contained file, verdicts first."""
