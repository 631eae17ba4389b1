"""Text of estimates in sentences: values, ratios and differences with their intervals."""

from __future__ import annotations

import math
from collections.abc import Callable

from mutransfer.analysis import Estimate


def log10(E: Estimate) -> Estimate:
    """Return log10 of E."""
    value, low, high = (
        None if end is None or end <= 0 else math.log10(end) for end in (E.value, E.low, E.high)
    )
    return Estimate(value, low, high, E.undetermined)


def format_times(log10: Estimate) -> str:
    """Format a ratio from its logarithm."""
    value, low, high = (
        None if end is None else 10**end for end in (log10.value, log10.low, log10.high)
    )
    return f"{format_ratio(Estimate(value, low, high))} times"


def format_ratio(estimate: Estimate) -> str:
    """Format a ratio with its interval."""
    return format_interval(estimate, lambda value: f"{value:.2g}")


def format_nats(estimate: Estimate) -> str:
    """Format a difference of losses with its interval."""
    return format_difference(estimate) + (" nats" if estimate.value is not None else "")


def format_difference(estimate: Estimate) -> str:
    """Format a difference with its interval."""
    return format_interval(estimate, lambda value: f"{value:+.3f}")


def format_interval(estimate: Estimate, formatter: Callable[[float], str]) -> str:
    """Format a value with its interval; an end that is missing is unbounded."""
    if estimate.value is None:
        return "undetermined"
    if estimate.low is None and estimate.high is None:
        return formatter(estimate.value)
    low, high = ("?" if end is None else formatter(end) for end in (estimate.low, estimate.high))
    return f"{formatter(estimate.value)} [{low}, {high}]"


def format_reason(estimate: Estimate) -> str:
    """Return why a number or an end of its interval is missing, or nothing."""
    return f" ({estimate.undetermined})" if estimate.undetermined else ""
