"""Documents of a text, the embedded corpus or the user's own, and the hash that identifies it."""

from __future__ import annotations

import hashlib
import json
import lzma
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import IO

from mutransfer.errors import DataError

# Content hash of the shipped text, so that resuming a sweep does not unpack it.
EMBEDDED_HASH = "cc24a5794d592a6c335a7eadf401686006b4033d766b1e97a08b62ef8d125730"
PIECE_BYTES = 2**14  # of a file that is split: 32 kB give two documents, one to hold out
MAX_WHOLE_BYTES = 2**20  # a larger file in a folder is split: it may not fit into memory
BINARY_CHECK_BYTES = 2**13  # a zero byte among the first of a file means that it is not text

Document = tuple[str, bytes]


def corpus_hash(source: str | None) -> str:
    """Return the sha256 of a text's documents, which is part of a trial's identity.

    Args:
        source: A file or folder, or None for the embedded corpus. Nothing else on the machine
            matters, so the same study has the same trials everywhere.

    Raises:
        DataError: The text cannot be read.
    """
    return EMBEDDED_HASH if source is None else hash_documents(documents(source))


def hash_documents(texts: Iterator[Document]) -> str:
    """Return the hash of documents and of their names, which decide what is held out."""
    digest = hashlib.sha256()
    for name, text in texts:
        digest.update(f"{name}\n{len(text)}\n".encode(errors="surrogateescape"))
        digest.update(text)
    return digest.hexdigest()


def documents(source: str | None) -> Iterator[Document]:
    """Yield the documents of a text, in an order that does not depend on the machine.

    The embedded corpus has one document per address, and a folder one per file. A single file, or
    a file above 1 MiB in a folder, is split into documents of 16 kB, so that some are held out.
    Hidden and binary files in a folder are skipped. Tokens are bytes, so no encoding is assumed.

    Raises:
        DataError: There is nothing to read.
    """
    if source is None:
        yield from _embedded()
        return
    path = Path(source)
    try:
        if path.is_dir():
            yield from _folder(path)
        else:
            with path.open("rb") as file:
                yield from _pieces("", file, path=path)
    except OSError as problem:
        raise DataError(
            f"{problem.filename or path} cannot be read: {problem.strerror}",
            why="trials are trained on this text",
            fix="set text in [lab] to a file or folder of text, or leave it out for the "
            "embedded one",
        ) from None


def is_held_out(name: str) -> bool:
    """Return whether a document is held out: about 1 in 20, by the hash of its name.

    Example:
        >>> sum(is_held_out(f"speech-{k}") for k in range(1000))
        56
    """
    return rank(name) < 2**64 // 20


def rank(name: str) -> int:
    """Return the fixed random number of a document."""
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big")


def _embedded() -> Iterator[Document]:
    """Yield the shipped addresses."""
    packed = (files("mutransfer.lab.data") / "texts" / "addresses.jsonl.xz").read_bytes()
    for line in lzma.decompress(packed).decode().splitlines():
        entry = json.loads(line)
        yield entry["name"], entry["text"].encode()


def _folder(folder: Path) -> Iterator[Document]:
    """Yield the text files of a folder."""
    is_empty = True
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") for part in parts) or not path.is_file():
            continue
        with path.open("rb") as file:
            start = file.peek(BINARY_CHECK_BYTES)[:BINARY_CHECK_BYTES]
            if not start or b"\0" in start:
                continue
            is_empty = False
            if path.stat().st_size > MAX_WHOLE_BYTES:
                yield from _pieces("/".join(parts), file, path=path)
            else:
                yield "/".join(parts), file.read()
    if is_empty:
        raise DataError(
            f"{folder} holds no text file",
            why="trials are trained on this text",
            fix="set text in [lab] to a folder with text files; hidden and binary ones are skipped",
        )


def _pieces(name: str, file: IO[bytes], *, path: Path) -> Iterator[Document]:
    """Yield pieces of a file, cut at ends of lines; `name` is empty where it does not matter."""
    number = 0
    while piece := file.read(PIECE_BYTES):
        if number == 0 and b"\0" in piece[:BINARY_CHECK_BYTES]:
            raise DataError(
                f"{path} is not text: it has zero bytes",
                why="trials are trained on the bytes of text",
                fix="set text in [lab] to a text file, or to a folder of them",
            )
        yield f"{name}#{number}", piece + file.readline(PIECE_BYTES)
        number += 1
    if number == 0:
        raise DataError(
            f"{path} is empty",
            why="trials are trained on this text",
            fix="set text in [lab] to a file with text, or leave it out for the embedded one",
        )
