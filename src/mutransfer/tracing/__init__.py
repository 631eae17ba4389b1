"""Traces of a forward pass: how each parameter is used, and where its author multiplies."""

from mutransfer.tracing.forward import Seen, watched
from mutransfer.tracing.ledger import Use

__all__ = ["Seen", "Use", "watched"]
