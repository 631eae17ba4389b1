"""Token files of the user's own: `train.bin` and `val.bin` as nanoGPT writes them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mutransfer.errors import DataError
from mutransfer.lab.data.file_summary import TOKEN_TYPE, FileSummary, file_summary

NAMES = ("train.bin", "val.bin")


@dataclass(frozen=True, slots=True)
class TokenFiles:
    """A folder with `train.bin` and `val.bin`: unsigned 16-bit ids of tokens, without a header.

    Args:
        folder: Its path. `val.bin` is the held-out part.
    """

    folder: str

    @property
    def paths(self) -> tuple[Path, Path]:
        """The files of the training part and of the held-out part."""
        train, held_out = NAMES
        return Path(self.folder) / train, Path(self.folder) / held_out


def token_files_hash(source: TokenFiles) -> str:
    """Return the content hash of a pair of token files.

    Raises:
        DataError: A file is missing, cannot be read, or has an odd number of bytes.
    """
    digests = [_summary(path).digest for path in source.paths]
    return hashlib.sha256("\n".join(("token files", *digests)).encode()).hexdigest()


def map_token_files(
    source: TokenFiles, vocabulary: int
) -> tuple[np.memmap[tuple[int], np.dtype[np.uint16]], ...]:
    """Map the training and the held-out part into memory.

    Raises:
        DataError: A file cannot be read, is empty, or has an id that is not in the vocabulary.
    """
    for path in source.paths:
        largest = _summary(path).largest
        if largest < 0:
            raise DataError(
                f"{path} is empty",
                why="trials are trained on the tokens of train.bin, and measured on val.bin",
                fix="write unsigned 16-bit ids into it, as nanoGPT's prepare.py does",
            )
        if largest >= vocabulary:
            raise DataError(
                f"{path} has the token {largest}, but the vocabulary is {vocabulary}",
                why="a token without a row in the embedding cannot be trained on",
                fix=f"write vocabulary = {largest + 1} or more in [lab]; if that is not the "
                "tokenizer's, the file does not hold unsigned 16-bit ids alone",
            )
    return tuple(np.memmap(path, dtype=TOKEN_TYPE, mode="r") for path in source.paths)


def _summary(path: Path) -> FileSummary:
    """Return the summary of a token file."""
    try:
        size = path.stat().st_size
        if size % TOKEN_TYPE.itemsize:
            raise DataError(
                f"{path} has {size} bytes, an odd number",
                why="a token is an unsigned 16-bit number, which takes two bytes",
                fix="write the file again: it was cut off, or has another type",
            )
        return file_summary(path)
    except OSError as problem:
        raise DataError(
            f"{path} cannot be read: {problem.strerror}",
            why="tokens in [lab] names a folder with train.bin and val.bin, of unsigned 16-bit ids",
            fix="write both files, as nanoGPT's prepare.py does, or set text to train on text",
        ) from None
