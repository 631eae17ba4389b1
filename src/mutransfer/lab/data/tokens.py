"""This file is tokens on disk: bytes of text, written once, memory-mapped ever after."""

from __future__ import annotations

import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mutransfer.errors import DataError
from mutransfer.lab.data.corpus import corpus_hash, documents, hashed, is_held_out, rank

Bytes = NDArray[np.uint8]
SEPARATOR = b"\n\n"


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text as byte tokens, vocabulary 256, in two parts that share no document.

    Args:
        train: What is trained on.
        held_out: What the loss is measured on.
    """

    train: Bytes
    held_out: Bytes


def tokens_of(source: str | None = None, *, digest: str | None = None) -> Tokens:
    """Map a text's tokens into memory, writing them to the cache if they are not there.

    Args:
        source: A file or folder, or None for the embedded corpus.
        digest: The text's hash where it is known, which spares reading the text again.

    Raises:
        DataError: The text cannot be read or has changed, or the cache cannot be written.

    Example:
        >>> bytes(tokens_of().train[:11])  # doctest: +SKIP
        b'The State o'
    """
    digest = corpus_hash(source) if digest is None else digest
    folder = cache_folder() / digest
    try:
        if not folder.is_dir():
            _write(source, digest, folder)
        return Tokens(_mapped(folder / "train.bin"), _mapped(folder / "held_out.bin"))
    except OSError as problem:
        raise DataError(
            f"cannot keep tokens in {folder.parent}: {problem.strerror}",
            why="text is turned into tokens once and mapped into memory by every worker",
            fix="name a folder that can be written: export MUTRANSFER_CACHE=DIR",
        ) from None


def cache_folder() -> Path:
    """Name the folder for tokens: $MUTRANSFER_CACHE, or the user's cache."""
    if chosen := os.environ.get("MUTRANSFER_CACHE"):
        return Path(chosen) / "tokens"
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "mutransfer" / "tokens"


def _write(source: str | None, digest: str, folder: Path) -> None:
    """Split by document and publish both parts at once."""
    names = [name for name, _ in documents(source)]
    # A folder of a few files still needs a held-out part: then it is the lowest rank.
    held_out = {name for name in names if is_held_out(name)} or {min(names, key=rank, default="")}
    draft = folder.with_name(f".{uuid.uuid4().hex}")
    try:
        draft.mkdir(parents=True)
        with (draft / "train.bin").open("wb") as train, (draft / "held_out.bin").open("wb") as held:
            for name, text in documents(source):
                (held if name in held_out else train).write(text + SEPARATOR)
            for part in (train, held):
                part.flush()
                os.fsync(part.fileno())
        if hashed(documents(source)) != digest:
            raise DataError(
                f"{source or 'the embedded text'} has changed since the study was started",
                why="trials of one study are trained on one text",
                fix="run the command again; trials of the new text are new trials",
            )
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was first
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _mapped(path: Path) -> Bytes:
    """Map a file of tokens; an empty one cannot be mapped."""
    if path.stat().st_size == 0:
        return np.zeros(0, dtype=np.uint8)
    return np.memmap(path, dtype=np.uint8, mode="r")
