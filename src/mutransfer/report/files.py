"""Atomic file writing, with errors in three lines."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from mutransfer.errors import ResultsError

WHY = "a report is written whole or not at all"


def make_folder(path: Path) -> None:
    """Make a folder and its parents.

    Raises:
        ResultsError: The folder cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ResultsError(
            f"'{path}' cannot be a folder: a file of that name is in the way",
            why=WHY,
            fix="name another folder",
        ) from None
    except OSError as error:
        raise _write_error(path, error) from None


def make_parent(path: Path) -> None:
    """Make the folder of a file that is going to be written.

    Raises:
        ResultsError: A folder stands in the file's place, or its own folder cannot be made.
    """
    # `os.path.isdir` is False for a name that is too long, which writing then refuses.
    if os.path.isdir(path):
        raise ResultsError(
            f"'{path}' is a folder",
            why="the report is a single file, and a folder is never overwritten",
            fix=f"name the file: '{path / 'report.html'}'",
        )
    make_folder(path.parent)


def write_file(path: Path, content: bytes) -> Path:
    """Write a file atomically: a reader sees the old file or the new one.

    Raises:
        ResultsError: The file cannot be written.
    """
    make_parent(path)
    part = path.with_name(f".{path.name[:100]}.{os.getpid()}.part")
    try:
        part.unlink(missing_ok=True)
        with part.open("xb") as file:  # "x" does not follow a symbolic link
            file.write(content)
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise _write_error(path, error) from None
    return path


def _write_error(path: Path, error: OSError) -> ResultsError:
    """Return the error for what the system refused."""
    return ResultsError(
        f"cannot write '{path}': {error.strerror or error}",
        why=WHY,
        fix="name a path that you may write to, on a disk with space",
    )
