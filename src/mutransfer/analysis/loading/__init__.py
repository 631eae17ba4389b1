"""Loading of results: a file or a folder becomes a `Table`, and the table becomes `Results`."""
