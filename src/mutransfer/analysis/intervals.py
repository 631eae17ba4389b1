"""This file is from draws to estimates: intervals, and what is needed before one is given."""

from __future__ import annotations

import numpy as np

from mutransfer.analysis.format import Words
from mutransfer.analysis.types.estimates import Bools, Estimate, Floats
from mutransfer.analysis.types.scaling import is_skewed

# Shape legend: S samples: the data's own value first, then the draws.

LOWER, UPPER = 0.05, 0.95  # of a central 90 % interval
MOST_BAD = 0.1  # share of draws without a value that an interval still survives
ON_BOUND = "the fit ends on a bound of what was searched: add larger widths, or seeds"
VALUE_WIDTHS, INTERVAL_WIDTHS, INTERVAL_SPAN = 4, 5, 16.0  # [DESIGN section 9]


def central(value: float, draws_D: Floats) -> Estimate:
    """Put a central 90 % interval around a value."""
    low, high = np.quantile(draws_D, [LOWER, UPPER])
    return Estimate(value, float(low), float(high))


def sampled(samples_S: Floats, lacking: str | None, bound_S: Bools | None = None) -> Estimate:
    """Turn samples into an estimate.

    Args:
        samples_S: The data's own value first, then the draws; NaN where there is none.
        lacking: Why there is to be no interval, or None.
        bound_S: Samples that lie on the end of what was searched: they are no values.
    """
    bound_S = np.zeros(len(samples_S), dtype=np.bool_) if bound_S is None else bound_S
    if not np.isfinite(samples_S[0]):
        return Estimate(undetermined="the curves give no value: add seeds, or rates nearer")
    if bound_S[0]:
        return Estimate(undetermined=ON_BOUND)
    value = float(samples_S[0])
    if lacking is not None:
        return Estimate(value, undetermined=lacking)
    known_D = np.isfinite(samples_S[1:])
    if known_D.mean() < 1 - MOST_BAD:
        return Estimate(value, undetermined="the noise hides a curvature: add seeds")
    draws_D, on_D = samples_S[1:][known_D], bound_S[1:][known_D]
    estimate = central(value, draws_D)
    nearest = np.quantile(draws_D, [LOWER, UPPER], method="nearest")
    low, high = (bool(np.any(on_D & (draws_D == end))) for end in nearest)
    if not (low or high):
        return estimate
    return Estimate(
        value,
        None if low else estimate.low,
        None if high else estimate.high,
        "an end of the interval lies on a bound of what was searched: add larger widths, or seeds",
    )


def widened(estimate: Estimate, skew: Estimate) -> Estimate:
    """Stretch an interval of log2 of a rate by what skewed curves move it."""
    if not is_skewed(skew) or estimate.low is None or estimate.high is None:
        return estimate
    assert skew.low is not None
    assert skew.high is not None
    low, high = estimate.low + min(skew.low, 0.0), estimate.high + max(skew.high, 0.0)
    return Estimate(estimate.value, low, high, estimate.undetermined)


def lacking_value(num_widths: int, reason: str | None, words: Words) -> str | None:
    """Say why a law over widths has no value, and what to add; None where it has one."""
    if num_widths >= VALUE_WIDTHS:
        return None
    need = VALUE_WIDTHS - num_widths
    more = (
        f"{num_widths} of the {VALUE_WIDTHS} values of {words.scale} that a law needs have an "
        f"optimum: add {need}"
    )
    return f"{reason}; {more}" if reason else more


def lacking_interval(widths_W: Floats, reason: str | None, words: Words) -> str | None:
    """Say why a law over widths has no interval, and what to add; None where it has one."""
    if reason:
        return reason
    span = widths_W[-1] / widths_W[0]
    if len(widths_W) >= INTERVAL_WIDTHS and span >= INTERVAL_SPAN * (1 - 1e-9):
        return None
    return (
        f"{len(widths_W)} values of {words.scale} over {span:g}x: an interval needs "
        f"{INTERVAL_WIDTHS} over {INTERVAL_SPAN:g}x"
    )
