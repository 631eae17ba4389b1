"""Tables of a study file, one module each."""
