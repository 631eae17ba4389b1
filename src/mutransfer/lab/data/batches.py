"""Batches: training batches depend on seed and step only, held-out batches are fixed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutransfer.errors import DataError
from mutransfer.lab.data.tokenizers import TokenIds

# Shape legend: B batch, W window of context + 1 tokens.

NUM_HELD_OUT = 128  # windows of the reported loss, the same for every trial [assumed]
HELD_OUT_BATCH = 16  # windows in one forward pass; the loss does not depend on it


@dataclass(frozen=True, slots=True)
class TrainingBatches:
    """Batches of random windows that depend on seed and step only.

    Args:
        tokens: Training part of a text.
        batch: Windows per batch.
        context: Tokens of one sequence.
        seed: Seed of the windows; width and learning rate have no effect on them.

    Example:
        >>> batches = TrainingBatches(np.arange(99, dtype=np.uint8), batch=2, context=4, seed=0)
        >>> batches.at(7).shape, bool((batches.at(7) == batches.at(7)).all())
        ((2, 5), True)
    """

    tokens: TokenIds
    batch: int
    context: int
    seed: int

    def __post_init__(self) -> None:
        _check_length(self.tokens, self.context, "training")

    def at(self, step: int) -> TokenIds:
        """Return the windows of a step, of shape BW."""
        # Raw bits are the same in every version of numpy; the draws of a Generator may change.
        bits_B = np.random.Philox(key=[self.seed, step]).random_raw(self.batch)
        starts_B = (bits_B % np.uint64(len(self.tokens) - self.context)).astype(np.int64)
        return windows(self.tokens, starts_B, self.context)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Evenly spaced windows of held-out text, the same for every trial.

    Args:
        tokens: Held-out part of a text.
        context: Tokens of one sequence.
    """

    tokens: TokenIds
    context: int

    def __post_init__(self) -> None:
        _check_length(self.tokens, self.context, "held-out")

    def __iter__(self) -> Iterator[TokenIds]:
        """Yield batches of windows, of shape BW."""
        last = len(self.tokens) - self.context - 1
        starts = np.linspace(0, last, NUM_HELD_OUT).astype(np.int64)
        for starts_B in starts.reshape(-1, HELD_OUT_BATCH):
            yield windows(self.tokens, starts_B, self.context)


def windows(tokens: TokenIds, starts_B: NDArray[np.int64], context: int) -> TokenIds:
    """Return windows of context + 1 tokens, of shape BW."""
    tokens_BW: TokenIds = tokens[starts_B[:, None] + np.arange(context + 1)]
    return tokens_BW


def _check_length(tokens: TokenIds, context: int, part: str) -> None:
    """Raise if a text is shorter than one window."""
    if len(tokens) <= context:
        raise DataError(
            f"the {part} part of the text has {len(tokens)} tokens, a window needs {context + 1}",
            why="a batch is made of windows of context + 1 tokens; 1 document in 20 is held out",
            fix="use more text: two files, or one of 32 kB, or a smaller context in [lab]",
        )
