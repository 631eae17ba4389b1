"""Power laws over a scale, fitted to many bootstrap draws at once."""
