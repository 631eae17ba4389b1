"""Facts about a user's model: shapes, growing axes, roles, init and forward multipliers."""
