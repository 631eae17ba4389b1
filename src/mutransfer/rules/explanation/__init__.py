"""Explanations of tables, plans and single parameters, as text and as JSON."""
