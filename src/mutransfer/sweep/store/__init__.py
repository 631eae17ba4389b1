"""Trial store: a folder per trial, claimed by one worker at a time, published once."""
