"""Data: real text as memory-mapped tokens; a batch is a function of seed and step."""

from mutransfer.data.batches import HeldOut, TrainingBatches
from mutransfer.data.corpus import corpus_hash
from mutransfer.data.tokens import Tokens, tokens_of

__all__ = ["HeldOut", "Tokens", "TrainingBatches", "corpus_hash", "tokens_of"]
