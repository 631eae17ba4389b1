"""Tokens of a text on disk, written once and memory-mapped afterwards."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mutransfer.errors import DataError
from mutransfer.lab.data.cache import cache_error, cache_folder
from mutransfer.lab.data.corpus import is_held_out, rank
from mutransfer.lab.data.sources import Source, source_documents, source_hash, source_name
from mutransfer.lab.data.token_files import TokenFiles, map_token_files
from mutransfer.lab.data.tokenizers import (
    TokenIds,
    Tokenizer,
    TokenType,
    load_tokenizer,
    token_dtype,
)
from mutransfer.lab.data.vocabulary import vocabulary_size
from mutransfer.records import DatasetTable


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of a text in two parts that share no document.

    Args:
        train: Tokens to train on.
        held_out: Tokens of the reported loss.
    """

    train: TokenIds
    held_out: TokenIds


def load_tokens(
    source: Source = None,
    *,
    digest: str | None = None,
    tokenizer: str = "bytes",
    vocabulary: int | None = None,
) -> Tokens:
    """Map tokens into memory, after writing those of a text to the cache if they are missing.

    Args:
        source: The path of a text, token files, a dataset, or None for the embedded text.
        digest: The hash of the data, if known, which saves reading a text again.
        tokenizer: The setting `tokenizer` of the lab.
        vocabulary: The setting `vocabulary` of the lab.

    Raises:
        DataError: The data cannot be read or have changed, the tokenizer cannot be loaded or has
            more tokens than the vocabulary, or the cache cannot be written.

    Example:
        >>> bytes(load_tokens().train[:11])  # doctest: +SKIP
        b'The State o'
    """
    size = vocabulary_size(tokenizer, vocabulary)
    if isinstance(source, TokenFiles):
        if digest is not None:
            _check_unchanged(source, digest)
        return Tokens(*map_token_files(source, size))
    digest = source_hash(source) if digest is None else digest
    folder = cache_folder("tokens") / _folder_name(digest, tokenizer, size)
    try:
        if not folder.is_dir():
            _write(source, digest, folder, _checked_tokenizer(tokenizer, size), token_dtype(size))
        names = ("train.bin", "held_out.bin")
        train, held_out = (_map_file(folder / name, token_dtype(size)) for name in names)
        return Tokens(train, held_out)
    except OSError as problem:
        raise cache_error(folder.parent, problem) from None


def _folder_name(digest: str, tokenizer: str, size: int) -> str:
    """Return the name of the folder of a text's tokens; that of bytes is the text's hash."""
    if (tokenizer, size) == ("bytes", 256):
        return digest
    return f"{digest}-{hashlib.sha256(f'{tokenizer} {size}'.encode()).hexdigest()[:16]}"


def _checked_tokenizer(name: str, size: int) -> Tokenizer:
    """Return a tokenizer, or raise if it has more tokens than the vocabulary."""
    tokenizer = load_tokenizer(name)
    if tokenizer.vocabulary > size:
        raise DataError(
            f"vocabulary {size} is smaller than the {tokenizer.vocabulary} tokens of '{name}'",
            why="a token without a row in the embedding cannot be trained on",
            fix=f"write vocabulary = {tokenizer.vocabulary} or more in [lab]",
        )
    return tokenizer


def _check_unchanged(source: Source, digest: str) -> None:
    """Raise if the data are not those of the trial."""
    if source_hash(source) != digest:
        raise DataError(
            f"{source_name(source)} has changed since the study was started",
            why="trials of one study are trained on one text",
            fix="run the command again; trials of the new text are new trials",
        )


def _write(
    source: str | DatasetTable | None,
    digest: str,
    folder: Path,
    tokenizer: Tokenizer,
    dtype: TokenType,
) -> None:
    """Split a text by document, write both parts, and publish them together."""
    draft = folder.with_name(f".{uuid.uuid4().hex}")
    try:
        draft.mkdir(parents=True)
        lowest = _write_parts(source, draft, tokenizer, dtype, is_held_out)
        if (draft / "held_out.bin").stat().st_size == 0:
            # A folder of a few files still needs a held-out part: the document of the lowest rank.
            _write_parts(source, draft, tokenizer, dtype, lambda name: name == lowest)
        _check_unchanged(source, digest)
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():  # otherwise another process was first
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write_parts(
    source: str | DatasetTable | None,
    draft: Path,
    tokenizer: Tokenizer,
    dtype: TokenType,
    is_held_out: Callable[[str], bool],
) -> str | None:
    """Write the tokens of both parts, and return the name of the lowest rank."""
    lowest = None
    with (draft / "train.bin").open("wb") as train, (draft / "held_out.bin").open("wb") as rest:
        for name, text in source_documents(source):
            lowest = name if lowest is None else min(lowest, name, key=rank)
            tokens = tokenizer.encode(text).astype(dtype)
            (rest if is_held_out(name) else train).write(tokens.tobytes())
        for file in (train, rest):
            file.flush()
            os.fsync(file.fileno())
    return lowest


def _map_file(path: Path, dtype: TokenType) -> TokenIds:
    """Map a file of tokens into memory."""
    if path.stat().st_size == 0:  # an empty file cannot be mapped
        return np.zeros(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r")
