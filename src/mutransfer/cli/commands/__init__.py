"""Commands of the `mutransfer` program; each module registers its own with the application."""
