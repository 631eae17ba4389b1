"""The trial store: one folder per trial, claimed by one worker at a time."""
