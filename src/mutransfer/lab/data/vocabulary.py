"""Sizes of the vocabularies of tokenizers, without loading a tokenizer or torch."""

from __future__ import annotations

from mutransfer.errors import DataError, nearest

SHIPPED_VOCABULARIES = {
    "bytes": 256,
    "bpe-512": 512,
    "bpe-1024": 1024,
    "bpe-2048": 2048,
    "bpe-4096": 4096,
}
"""Tokenizers of this package: bytes, and a byte-level BPE trained on the embedded text."""

HUB_VOCABULARIES = {"gpt2": 50257, "t5-base": 32100}
"""Tokenizers of the Hugging Face hub whose sizes are here, so that costs need no download."""

VOCABULARIES = {**SHIPPED_VOCABULARIES, **HUB_VOCABULARIES}


def vocabulary_size(tokenizer: str, vocabulary: int | None = None) -> int:
    """Return the number of rows of the embedding: that of the tokenizer, or the one chosen.

    Args:
        tokenizer: The setting `tokenizer` of the lab.
        vocabulary: The setting `vocabulary` of the lab, which is needed where the tokenizer is
            not in the table, and may be larger than the tokenizer's own number.

    Raises:
        DataError: The tokenizer's vocabulary is not in the table and was not set, or the one that
            was set is smaller than the tokenizer's.

    Example:
        >>> vocabulary_size("bytes"), vocabulary_size("bpe-1024"), vocabulary_size("t5-base", 32128)
        (256, 1024, 32128)
    """
    size = VOCABULARIES.get(tokenizer.partition("@")[0])  # of every revision
    if size is None and vocabulary is None:
        raise DataError(
            f"the vocabulary of the tokenizer '{tokenizer}' is unknown",
            why="the embedding and the readout have one row per token, and costs depend on them",
            fix="write the size of a tokenizer of the Hugging Face hub into [lab], as in "
            f"vocabulary = 50257; or {nearest(tokenizer, VOCABULARIES)}",
        )
    if size is not None and vocabulary is not None and vocabulary < size:
        raise DataError(
            f"vocabulary {vocabulary} is smaller than the {size} tokens of '{tokenizer}'",
            why="a token without a row in the embedding cannot be trained on",
            fix=f"write vocabulary = {size} or more, or remove it",
        )
    return vocabulary or size or 0
