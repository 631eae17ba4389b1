"""Tokens of a text on disk, written once and memory-mapped afterwards."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mutransfer.errors import DataError
from mutransfer.lab.data.corpus import corpus_hash, documents, hash_documents, is_held_out, rank
from mutransfer.lab.data.tokenizers import (
    TokenIds,
    Tokenizer,
    TokenType,
    load_tokenizer,
    token_dtype,
)
from mutransfer.lab.data.vocabulary import vocabulary_size


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
    source: str | None = None,
    *,
    digest: str | None = None,
    tokenizer: str = "bytes",
    vocabulary: int | None = None,
) -> Tokens:
    """Map a text's tokens into memory, after writing them to the cache if they are missing.

    Args:
        source: A file or folder, or None for the embedded corpus.
        digest: The text's hash, if known, which saves reading the text again.
        tokenizer: The setting `tokenizer` of the lab.
        vocabulary: The setting `vocabulary` of the lab.

    Raises:
        DataError: The text cannot be read or has changed, the tokenizer cannot be loaded or has
            more tokens than the vocabulary, or the cache cannot be written.

    Example:
        >>> bytes(load_tokens().train[:11])  # doctest: +SKIP
        b'The State o'
    """
    digest = corpus_hash(source) if digest is None else digest
    size = vocabulary_size(tokenizer, vocabulary)
    folder = cache_folder() / _folder_name(digest, tokenizer, size)
    try:
        if not folder.is_dir():
            _write(source, digest, folder, _checked_tokenizer(tokenizer, size), token_dtype(size))
        names = ("train.bin", "held_out.bin")
        train, held_out = (_map_file(folder / name, token_dtype(size)) for name in names)
        return Tokens(train, held_out)
    except OSError as problem:
        raise DataError(
            f"cannot store tokens in {folder.parent}: {problem.strerror}",
            why="a text is converted to tokens once, and every worker maps them into memory",
            fix="choose a folder that can be written: export MUTRANSFER_CACHE=DIR",
        ) from None


def cache_folder() -> Path:
    """Return the folder of tokens: $MUTRANSFER_CACHE, or the user's cache."""
    if chosen := os.environ.get("MUTRANSFER_CACHE"):
        return Path(chosen) / "tokens"
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "mutransfer" / "tokens"


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


def _write(
    source: str | None, digest: str, folder: Path, tokenizer: Tokenizer, dtype: TokenType
) -> None:
    """Split a text by document, write both parts, and publish them together."""
    names = [name for name, _ in documents(source)]
    # A folder of a few files still needs a held-out part: the document of the lowest rank.
    held_out = {name for name in names if is_held_out(name)} or {min(names, key=rank, default="")}
    draft = folder.with_name(f".{uuid.uuid4().hex}")
    try:
        draft.mkdir(parents=True)
        with (draft / "train.bin").open("wb") as train, (draft / "held_out.bin").open("wb") as rest:
            for name, text in documents(source):
                tokens = tokenizer.encode(text).astype(dtype)
                (rest if name in held_out else train).write(tokens.tobytes())
            for file in (train, rest):
                file.flush()
                os.fsync(file.fileno())
        if hash_documents(documents(source)) != digest:
            raise DataError(
                f"{source or 'the embedded text'} has changed since the study was started",
                why="trials of one study are trained on one text",
                fix="run the command again; trials of the new text are new trials",
            )
        draft.rename(folder)
    except OSError:
        if not folder.is_dir():  # otherwise another process was first
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _map_file(path: Path, dtype: TokenType) -> TokenIds:
    """Map a file of tokens into memory."""
    if path.stat().st_size == 0:  # an empty file cannot be mapped
        return np.zeros(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r")
