"""Traces of a forward pass: how each parameter is used, and where its author multiplies."""

from mutransfer.tracing.forward import Seen, watched
from mutransfer.tracing.ledger import Use
from mutransfer.tracing.tracer import Tracer, tensors_of

__all__ = ["Seen", "Tracer", "Use", "tensors_of", "watched"]
