"""What is inferred from a user's model: shapes, axes, layers, init, multipliers."""
