"""Text building blocks: aligned columns, abbreviated parameter names, and the table of a plan."""
