"""The data half of figures: pure functions from a report to what is drawn."""
