"""Watching a forward pass: how each parameter is used, and which multipliers stand on the way."""

from mutransfer.parametrize.watching.ledger import Use
from mutransfer.parametrize.watching.seen import Seen, watched

__all__ = ["Seen", "Use", "watched"]
