"""Sizes of the vocabularies of tokenizers, without loading a tokenizer or torch."""

from __future__ import annotations

from mutransfer.errors import DataError, nearest
from mutransfer.records.lab import TOKEN_FILES

SHIPPED_VOCABULARIES = {
    "bytes": 256,
    "bpe-512": 512,
    "bpe-1024": 1024,
    "bpe-2048": 2048,
    "bpe-4096": 4096,
}
"""Tokenizers of this package: bytes, and a byte-level BPE trained on the embedded text."""

HUB_VOCABULARIES = {"gpt2": 50257, "t5-base": 32100}
"""Tokenizers of the Hugging Face hub at a fixed revision, so that costs need no download."""

VOCABULARIES = {**SHIPPED_VOCABULARIES, **HUB_VOCABULARIES}


def vocabulary_size(tokenizer: str, vocabulary: int | None = None) -> int:
    """Return the number of rows of the embedding: that of the tokenizer, or the one chosen.

    Args:
        tokenizer: The setting `tokenizer` of the lab.
        vocabulary: The setting `vocabulary` of the lab, which is needed where the tokenizer is
            not in the table, and may be larger than the tokenizer's own number.

    Raises:
        DataError: The tokenizer is not in the table, and has no revision or no size; or the
            vocabulary is smaller than the tokenizer's.

    Example:
        >>> vocabulary_size("bytes"), vocabulary_size("bpe-1024"), vocabulary_size("t5-base", 32128)
        (256, 1024, 32128)
    """
    size = VOCABULARIES.get(tokenizer)
    if size is None:
        is_fixed = tokenizer == TOKEN_FILES or "@" in tokenizer
        if vocabulary is None or not is_fixed:
            raise DataError(
                f"tokenizer '{tokenizer}' is unknown",
                why="another tokenizer of the Hugging Face hub needs its revision, because it can "
                "change, and its size, because costs depend on it",
                fix='for one of the hub write tokenizer = "OWNER/NAME@COMMIT" and vocabulary = '
                f"SIZE; or {nearest(tokenizer.partition('@')[0], VOCABULARIES)}",
            )
        return vocabulary
    if vocabulary is not None and vocabulary < size:
        raise DataError(
            f"vocabulary {vocabulary} is smaller than the {size} tokens of '{tokenizer}'",
            why="a token without a row in the embedding cannot be trained on",
            fix=f"write vocabulary = {size} or more, or remove it",
        )
    return vocabulary or size
