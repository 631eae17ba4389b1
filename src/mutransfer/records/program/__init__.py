"""Programs that train a trial: their command, its placeholders, and where the loss is read."""
