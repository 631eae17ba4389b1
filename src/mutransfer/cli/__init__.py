"""Command line: the `mutransfer` program, a few lines per command over the API."""

from mutransfer.cli.main import main

__all__ = ["main"]
