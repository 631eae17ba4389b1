"""Folders of the user's cache, in which tokens and hashes of large files are stored."""

from __future__ import annotations

import os
from pathlib import Path

from mutransfer.errors import DataError


def cache_folder(kind: str) -> Path:
    """Return a folder of the cache, which is $MUTRANSFER_CACHE or the user's own.

    Args:
        kind: What is stored there: 'tokens' or 'hashes'.
    """
    if chosen := os.environ.get("MUTRANSFER_CACHE"):
        return Path(chosen) / kind
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "mutransfer" / kind


def cache_error(folder: Path, problem: OSError) -> DataError:
    """Return the error of a cache that cannot be read or written."""
    return DataError(
        f"cannot store {folder.name} in {folder}: {problem.strerror}",
        why="a text is converted to tokens once, and every worker maps them into memory",
        fix="choose a folder that can be written: export MUTRANSFER_CACHE=DIR",
    )
