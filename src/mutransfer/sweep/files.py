"""Files of a trial store: read without following links, and written atomically."""

from __future__ import annotations

import errno
import io
import os
import shlex
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mutransfer.errors import StoreError

# What opening or reading a file raises if the path holds something else.
WRONG_KIND = frozenset({errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EINVAL})
# What only changes of the user's make room or permissions for.
NO_ROOM = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS}
)
CHECK_DISK = "check the disk or the file server, then run the same command again"


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
        StoreError: The path is a symbolic link, which may lead out of the store, or unreadable.
    """
    with read_errors(path):
        is_link = path.is_symlink()
    if is_link:
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
        has_no_room = error.errno in NO_ROOM
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}",
            why="a result that is not on disk would be lost; published results are kept",
            fix="free some space or set the permissions, then run the same command again"
            if has_no_room
            else CHECK_DISK,
        ) from None


@contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Turn an OSError of a disk into a StoreError that does not accuse the file."""
    try:
        yield
    except OSError as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: OSError) -> StoreError:
    """Return the error for a path that the disk or the file server does not hand out."""
    return StoreError(
        f"cannot read {path}: {error.strerror or error}",
        why="what is written there may be intact, and is neither removed nor run again",
        fix=CHECK_DISK,
    )


def write_atomically(path: Path, text: str, *, durably: bool = True) -> None:
    """Replace a file so that readers see the old or the new content whole.

    Args:
        path: The file.
        text: Its new content.
        durably: Whether the new content survives a power cut from now on. If not, the file may be
            the old one, missing or empty after a power cut.
    """
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
    if durably:
        sync(path.parent)


def sync(path: Path) -> None:
    """Make the content of a file, or the names in a folder, survive a power cut.

    A file that was synced is lost without its name, and so are the files of a folder.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folders_durably(path: Path) -> None:
    """Create a folder and its parents so that they survive a power cut."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync(folder.parent)
