"""This file is writing files: whole or not at all, and refusals in three lines."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from mutransfer.errors import ResultsError

WHY = "the answer would be lost, or half of it would be read as the whole"


def make_folder(place: Path) -> None:
    """Make a folder and those above it.

    Raises:
        ResultsError: Where it cannot be made.
    """
    try:
        place.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ResultsError(
            f"'{place}' cannot be a folder: a file of that name is in the way",
            why=WHY,
            fix="name another folder",
        ) from None
    except OSError as refused:
        raise _refusal(place, refused) from None


def make_room(place: Path) -> None:
    """Make the folder of a file that is going to be written.

    Raises:
        ResultsError: Where a folder stands in the file's place, or its folder cannot be made.
    """
    if os.path.isdir(place):  # a name too long is nowhere, and refused when it is written
        raise ResultsError(
            f"'{place}' is a folder",
            why="one file is written, and never over a folder",
            fix=f"name the file: '{place / 'report.html'}'",
        )
    make_folder(place.parent)


def write_file(place: Path, content: bytes) -> Path:
    """Write a file in one step: a reader sees the old one or the new one.

    Raises:
        ResultsError: Where it cannot be written.
    """
    make_room(place)
    part = place.with_name(f".{place.name[:100]}.{os.getpid()}.part")
    try:
        part.unlink(missing_ok=True)
        with part.open("xb") as file:  # never through a link that waits here
            file.write(content)
        part.replace(place)
    except OSError as refused:
        with contextlib.suppress(OSError):
            part.unlink()
        raise _refusal(place, refused) from None
    return place


def _refusal(place: Path, refused: OSError) -> ResultsError:
    """Say that the system refused, and what to try."""
    return ResultsError(
        f"cannot write '{place}': {refused.strerror or refused}",
        why=WHY,
        fix="name a place that you may write to and that has space",
    )
