"""This file is a store's files: never through a link, never a pipe that waits, whole or not."""

from __future__ import annotations

import io
import os
import shlex
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the file system's refusals into our three lines."""
    try:
        yield
    except OSError as problem:
        raise StoreError(
            f"cannot write {path}: {problem.strerror or problem}",
            why="a result that is not on disk would be lost; what is published stays",
            fix="make room or set the permissions, then run the same command again",
        ) from None


def write_whole(path: Path, text: str, *, durably: bool = True) -> None:
    """Write a file so that it is whole, or absent, whatever happens to this process."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("w") as file:
            file.write(text)
            file.flush()
            if durably:
                os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
