"""Tokenizers: bytes, the byte-level BPE that is shipped with the package, and those of the hub.

The BPE was trained once, by `tools/make_bpe.py`, on the training part of the embedded text. The
first 256 ids are the bytes themselves, and every further id joins two earlier ones. Merges of a
smaller vocabulary are the first ones of a larger vocabulary, so one file serves all sizes.
"""

from __future__ import annotations

import importlib
from importlib.resources import files
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from mutransfer.errors import DataError
from mutransfer.lab.data.vocabulary import SHIPPED_VOCABULARIES
from mutransfer.records.lab import TOKEN_FILES

if TYPE_CHECKING:
    from tokenizers import Tokenizer as LibraryTokenizer

TokenIds = NDArray[np.uint8 | np.uint16 | np.uint32]
TokenType = np.dtype[np.uint8 | np.uint16 | np.uint32]
SEPARATOR = b"\n\n"  # between documents: byte tokens have no end of text [assumed]
HUB_REVISIONS = {  # a name is part of a trial's id, so it must always mean the same tokenizer
    "gpt2": "openai-community/gpt2@607a30d783dfa663caf39e06633721c8d4cfcd7e",
    "t5-base": "google-t5/t5-base@a9723ea7f1b39c1eae772870f3b547bf6ef7e6c1",
}
END_OF_TEXT = ("<|endoftext|>", "</s>", "<|end_of_text|>", "<eos>", "[SEP]")  # usual names

# Words, numbers and punctuation, each with the space before it, are never joined with each other.
# Every byte above 127 counts as a letter: most are parts of letters outside ASCII.
SPLIT_PATTERN = (
    r"[ ]?[A-Za-z\x80-\xff]+|[ ]?[0-9]+|[ ]?[^\t-\r A-Za-z0-9\x80-\xff]+"
    r"|[ ]+(?=[ ][^\t-\r ])|[ ]+|[\t-\r]+"
)


class Tokenizer(Protocol):
    """What the lab needs of a tokenizer."""

    @property
    def vocabulary(self) -> int:
        """Number of different tokens."""

    def encode(self, document: bytes) -> TokenIds:
        """Return the tokens of a document, followed by what separates it from the next one."""


class ByteTokenizer:
    """Bytes as tokens.

    Example:
        >>> ByteTokenizer().encode(b"Hi").tolist()
        [72, 105, 10, 10]
    """

    vocabulary = 256

    def encode(self, document: bytes) -> TokenIds:
        """Return the bytes of a document and of the separator."""
        return np.frombuffer(document + SEPARATOR, dtype=np.uint8)

    def decode(self, tokens: TokenIds) -> bytes:
        """Return the text of tokens, separators included."""
        return tokens.astype(np.uint8).tobytes()


class BytePairTokenizer:
    """The shipped byte-level BPE, with a vocabulary of a chosen size.

    Args:
        vocabulary: Number of different tokens: 256 bytes and the first merges of the file.

    Raises:
        DataError: The package `tokenizers` is not installed.

    Example:
        >>> BytePairTokenizer(1024).encode(b"the union").tolist()
        [116, 258, 512, 281, 302]
    """

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = vocabulary
        self._texts = [bytes([k]) for k in range(256)]
        for left, right in read_merges()[: vocabulary - 256]:
            self._texts.append(self._texts[left] + self._texts[right])
        self._library = self._build()

    def encode(self, document: bytes) -> TokenIds:
        """Return the tokens of a document and of the separator."""
        text = (document + SEPARATOR).decode("latin-1")  # one character per byte
        return np.array(self._library.encode(text).ids, dtype=np.uint16)

    def decode(self, tokens: TokenIds) -> bytes:
        """Return the text of tokens, separators included."""
        return b"".join(self._texts[token] for token in tokens.tolist())

    def _build(self) -> LibraryTokenizer:
        """Build the library's tokenizer on characters that stand for bytes."""
        library = _import_library(f"bpe-{self.vocabulary}")
        names = [text.decode("latin-1") for text in self._texts]
        merges = [
            (names[left], names[right]) for left, right in read_merges()[: self.vocabulary - 256]
        ]
        model = library.models.BPE(vocab={name: k for k, name in enumerate(names)}, merges=merges)
        tokenizer: LibraryTokenizer = library.Tokenizer(model)
        words = library.pre_tokenizers.Split(library.Regex(SPLIT_PATTERN), "isolated")
        tokenizer.pre_tokenizer = words
        return tokenizer


class HubTokenizer:
    """A tokenizer of the Hugging Face hub, downloaded once into the hub's own cache.

    Documents are decoded as UTF-8. Each is followed by the tokenizer's end of text, or by an empty
    line if it has none. No other special token is added.

    Args:
        name: 'gpt2', 't5-base', or OWNER/NAME@REVISION as on the hub.

    Raises:
        DataError: It cannot be loaded, or the package `tokenizers` is not installed.
    """

    def __init__(self, name: str) -> None:
        library = _import_library(name)
        identifier, _, revision = HUB_REVISIONS.get(name, name).partition("@")
        try:
            self._library: LibraryTokenizer = library.Tokenizer.from_pretrained(
                identifier, revision=revision
            )
        except Exception as problem:  # the library raises plain exceptions
            reason = (str(problem).splitlines() or [type(problem).__name__])[0]
            raise DataError(
                f"tokenizer '{name}' cannot be loaded: {reason}",
                why="it is not one of this package, so it is loaded from the Hugging Face hub",
                fix="check its name and revision at huggingface.co, and the connection",
            ) from None
        self.vocabulary = self._library.get_vocab_size()
        ends = (self._library.token_to_id(text) for text in END_OF_TEXT)
        self._end = next((token for token in ends if token is not None), None)

    def encode(self, document: bytes) -> TokenIds:
        """Return the tokens of a document and its end."""
        text = document.decode(errors="replace") + ("\n\n" if self._end is None else "")
        tokens = self._library.encode(text, add_special_tokens=False).ids
        tokens += [] if self._end is None else [self._end]
        return np.array(tokens, dtype=token_dtype(self.vocabulary))


def _import_library(name: str) -> ModuleType:
    """Import the library of tokenizers, which only some studies need."""
    try:
        return importlib.import_module("tokenizers")
    except ModuleNotFoundError:
        raise DataError(
            f"tokenizer '{name}' needs the package 'tokenizers', which is not installed",
            why="only bytes are tokens without it",
            fix="pip install 'mutransfer[tokenizers]'; or write tokenizer = \"bytes\" in [lab]",
        ) from None


def read_merges() -> list[tuple[int, int]]:
    """Return the pairs of ids that the BPE joins: pair k has the id 256 + k."""
    text = (files("mutransfer.lab.data") / "texts" / "merges.txt").read_text()
    return [(int(left), int(right)) for left, right in map(str.split, text.splitlines())]


def load_tokenizer(name: str) -> Tokenizer:
    """Return a tokenizer by its name.

    Raises:
        DataError: It cannot be loaded.
    """
    if name == "bytes":
        return ByteTokenizer()
    if name in SHIPPED_VOCABULARIES:
        return BytePairTokenizer(SHIPPED_VOCABULARIES[name])
    if name == TOKEN_FILES:
        raise DataError(
            f"tokenizer '{name}' stands for token files, but there are none",
            why="a text has to be converted to tokens by a tokenizer",
            fix="remove tokenizer from [lab], or set tokens to a folder of token files",
        )
    return HubTokenizer(name)


def token_dtype(vocabulary: int) -> TokenType:
    """Return the smallest type that holds every id of a vocabulary.

    Example:
        >>> [str(token_dtype(size)) for size in (256, 257, 65536, 65537)]
        ['uint8', 'uint16', 'uint16', 'uint32']
    """
    return np.min_scalar_type(vocabulary - 1)
