"""Files of a trial store: read without following links, and written atomically."""

from __future__ import annotations

import io
import os
import shlex
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mutransfer.errors import StoreError


def read_no_follow(path: str | Path) -> bytes:
    """Read a file; raise OSError for a link."""
    with open_no_follow(path) as file:
        return file.read()


def open_no_follow(path: str | Path) -> io.FileIO:
    """Open a file; raise OSError for a link, and do not block on a named pipe."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        return io.FileIO(handle)
    except OSError:
        os.close(handle)  # of a folder
        raise


def reject_link(path: Path) -> Path:
    """Return a path of a store.

    Raises:
        StoreError: The path is a symbolic link, which may lead out of the store.
    """
    if path.is_symlink():
        raise link_error(path)
    return path


def link_error(path: Path) -> StoreError:
    """Return the error for a symbolic link in a store."""
    return StoreError(
        f"{path} is a symbolic link",
        why="a link may lead out of the store",
        fix=f"remove it: rm {shlex.quote(str(path))}",
    )


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn an OSError into a StoreError that names the path."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}",
            why="a result that is not on disk would be lost; published results are kept",
            fix="free some space or set the permissions, then run the same command again",
        ) from None


def write_atomically(path: Path, text: str, *, durably: bool = True) -> None:
    """Replace a file so that readers, also after a crash, see the old or the new content whole."""
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
