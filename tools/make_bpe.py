"""Training of the shipped byte-level BPE on the training part of the embedded text.

    python tools/make_bpe.py

It writes the pairs of ids that are joined, one pair per line. The result is the same every time,
and a test compares the file with a training of its own, so ids never change unnoticed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from mutransfer.lab.data.corpus import documents, is_held_out
from mutransfer.lab.data.tokenizers import SEPARATOR, SPLIT_PATTERN
from mutransfer.lab.data.vocabulary import SHIPPED_VOCABULARIES

MERGES = Path(__file__).parent.parent / "src/mutransfer/lab/data/texts/merges.txt"


def training_texts() -> Iterator[bytes]:
    """Yield the embedded documents that no held-out loss is measured on."""
    return (text for name, text in documents(None) if not is_held_out(name))


def train_merges(texts: Iterator[bytes], vocabulary: int) -> list[tuple[int, int]]:
    """Return the pairs of ids that are joined, most frequent first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(SPLIT_PATTERN), "isolated")
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        initial_alphabet=[chr(k) for k in range(256)],  # characters stand for bytes
        show_progress=False,
    )
    tokenizer.train_from_iterator(((t + SEPARATOR).decode("latin-1") for t in texts), trainer)
    ids = tokenizer.get_vocab()
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    assert all(ids[chr(k)] == k for k in range(256))
    assert all(ids[left + right] == 256 + k for k, (left, right) in enumerate(merges))
    return [(ids[left], ids[right]) for left, right in merges]


def main() -> None:
    """Write the merges of the largest shipped vocabulary."""
    merges = train_merges(training_texts(), max(SHIPPED_VOCABULARIES.values()))
    MERGES.write_text("".join(f"{left} {right}\n" for left, right in merges))
    print(f"{len(merges)} merges, {MERGES.stat().st_size} bytes")


if __name__ == "__main__":
    main()
