"""This file is reading what a store holds: never through a link, never a pipe that waits."""

from __future__ import annotations

import io
import os
import shlex
from pathlib import Path

from mutransfer.errors import StoreError


def read_inside(path: str | Path) -> bytes:
    """Read a file of a store; an OSError if it is a link."""
    with opened_inside(path) as file:
        return file.read()


def opened_inside(path: str | Path) -> io.FileIO:
    """Open a file of a store; an OSError if it is a link."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        return io.FileIO(handle)
    except OSError:
        os.close(handle)  # a folder
        raise


def unlinked(path: Path) -> Path:
    """Give a path of a store back.

    Raises:
        StoreError: It is a symbolic link, which may lead out of the store.
    """
    if path.is_symlink():
        raise linked(path)
    return path


def linked(path: Path) -> StoreError:
    """Say that a link stands in a store."""
    return StoreError(
        f"{path} is a symbolic link",
        why="a link may lead out of the store",
        fix=f"remove it: rm {shlex.quote(str(path))}",
    )
