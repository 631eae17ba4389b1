"""Watching a forward pass: how each parameter is used, and which multipliers stand on the way."""

from mutransfer.tracing.forward import Seen, watched
from mutransfer.tracing.ledger import Use

__all__ = ["Seen", "Use", "watched"]
