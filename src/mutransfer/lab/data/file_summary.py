"""Hashes of large files, which are read once and then remembered until the file changes."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mutransfer.lab.data.cache import cache_error, cache_folder

TOKEN_TYPE = np.dtype("<u2")  # nanoGPT's, on every machine
CHUNK_BYTES = 2**24  # read at once: files may be larger than memory


@dataclass(frozen=True, slots=True)
class FileSummary:
    """What one pass over a file computes.

    Args:
        digest: SHA-256 of its content.
        largest: Its largest unsigned 16-bit number, which is an id if it is a token file, or -1
            if it has none.
    """

    digest: str
    largest: int


def file_summary(path: Path) -> FileSummary:
    """Return the summary of a file, which is read again only after it has changed.

    A file of many gigabytes would otherwise be read by every worker and at every start. That it
    has not changed is concluded from its path, size, inode and time of modification.

    Raises:
        OSError: The file is missing or cannot be read.
        DataError: The cache cannot be written.
    """
    status = path.stat()
    identity = [str(path.resolve()), status.st_size, status.st_mtime_ns, status.st_ino]
    name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    stored = cache_folder("hashes") / f"{name}.json"
    try:
        return FileSummary(**json.loads(stored.read_text()))
    except (OSError, ValueError, TypeError):  # not there yet, or damaged
        summary = _summarize(path)
    _store(stored, summary)
    return summary


def _summarize(path: Path) -> FileSummary:
    """Read a file once."""
    digest, largest = hashlib.sha256(), -1
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            numbers = np.frombuffer(chunk[: len(chunk) // 2 * 2], TOKEN_TYPE)
            largest = max(largest, int(numbers.max(initial=0)))
    return FileSummary(digest.hexdigest(), largest)


def _store(path: Path, summary: FileSummary) -> None:
    """Write a summary, complete or not at all."""
    draft = path.with_name(f".{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(asdict(summary)))
        os.replace(draft, path)
    except OSError as problem:
        raise cache_error(path.parent, problem) from None
