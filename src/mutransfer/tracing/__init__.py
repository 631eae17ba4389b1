"""Traces of a forward pass: how each parameter is used, and where its author multiplies."""

from mutransfer.tracing.forward import Trace, trace_forward
from mutransfer.tracing.ledger import Use
from mutransfer.tracing.tracer import Tracer, tensors_of

__all__ = ["Trace", "Tracer", "Use", "tensors_of", "trace_forward"]
