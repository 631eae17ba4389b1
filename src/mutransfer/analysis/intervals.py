"""Estimates with intervals from bootstrap samples, and the conditions for an interval."""

from __future__ import annotations

import math

import numpy as np

from mutransfer.analysis.format import AxisNames
from mutransfer.analysis.types.estimates import LN2, Bools, Estimate, Floats
from mutransfer.analysis.types.scaling import skew_weight

# Shape legend: S samples (the data first, then the D draws).

LOWER, UPPER = 0.05, 0.95  # of a central 90 % interval
Z = 1.6448536269514722  # the quantile UPPER of the normal distribution
MAX_BAD_SHARE = 0.1  # draws that may lack a value before the interval is withheld [assumed]
ON_BOUND = "the fit ends on a bound of the search: add larger sizes, or seeds"
# A law with a floor has three parameters: three widths always fit, the fourth shows a misfit.
# [derived: docs/numbers.md]
WIDTHS_FOR_VALUE, WIDTHS_FOR_INTERVAL, SPAN_FOR_INTERVAL = 4, 5, 16.0


def central_interval(value: float, draws_D: Floats) -> Estimate:
    """Return a value with the central 90 % interval of its draws."""
    low, high = np.quantile(draws_D, [LOWER, UPPER])
    return Estimate(value, float(low), float(high))


def estimate(
    samples_S: Floats, no_interval: str | None, is_bound_S: Bools | None = None
) -> Estimate:
    """Return the value of the data with the interval of the draws, or the reason for lacking it.

    Args:
        samples_S: The value of the data, then those of the draws; NaN where a fit failed.
        no_interval: Why there is no interval, or None.
        is_bound_S: Samples that lie on a bound of the search, where the fit determines no value.
    """
    is_bound_S = np.zeros(len(samples_S), dtype=np.bool_) if is_bound_S is None else is_bound_S
    value = float(samples_S[0])
    if not np.isfinite(value):
        return Estimate(undetermined="the curves give no value: add seeds, or rates near the best")
    if is_bound_S[0]:
        return Estimate(undetermined=ON_BOUND)
    if no_interval is not None:
        return Estimate(value, undetermined=no_interval)
    finite_D = np.isfinite(samples_S[1:])
    if finite_D.mean() < 1 - MAX_BAD_SHARE:
        return Estimate(value, undetermined="the noise hides a curvature: add seeds")
    draws_D, is_bound_D = samples_S[1:][finite_D], is_bound_S[1:][finite_D]
    interval = central_interval(value, draws_D)
    ends = np.quantile(draws_D, [LOWER, UPPER], method="nearest")
    on_low, on_high = (bool(np.any(is_bound_D & (draws_D == end))) for end in ends)
    if not (on_low or on_high):
        return interval
    return Estimate(
        value,
        None if on_low else interval.low,
        None if on_high else interval.high,
        "an end of the interval lies on a bound of the search: add larger sizes, or seeds",
    )


def share_interval(count: int, total: int) -> Estimate:
    """Return a share of independent runs with its 90 % interval.

    Source:
        Wilson's score interval, https://doi.org/10.1080/01621459.1927.10502953.

    Example:
        >>> print(share_interval(0, 8), share_interval(4, 8))
        0 [0, 0.2527] 0.5 [0.2486, 0.7514]
    """
    share, z2 = count / total, Z**2 / total
    half = Z * math.sqrt(share * (1 - share) / total + z2 / (4 * total))
    low, high = (max((share + z2 / 2 + end) / (1 + z2), 0.0) for end in (-half, half))
    return Estimate(share, low, min(high, 1.0))


def t_quantile(freedom: int) -> float:
    """Return the quantile `UPPER` of Student's t to 0.1 %; scipy's takes 0.3 s to import.

    Source:
        The Cornish-Fisher expansion: Abramowitz and Stegun, 26.7.5.

    Example:
        >>> round(t_quantile(1), 3), round(t_quantile(3), 3), round(t_quantile(30), 3)
        (6.314, 2.352, 1.697)
    """
    if freedom == 1:
        return math.tan(math.pi * (UPPER - 0.5))
    if freedom == 2:
        return (2 * UPPER - 1) / math.sqrt(2 * UPPER * (1 - UPPER))
    terms: tuple[float, ...] = (
        (Z**3 + Z) / 4,
        (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96,
        (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384,
        (79 * Z**9 + 776 * Z**7 + 1482 * Z**5 - 1920 * Z**3 - 945 * Z) / 92160,
    )
    return Z + math.fsum(term / freedom**k for k, term in enumerate(terms, start=1))


def widen_by_skew(log2_lr: Estimate, skew: Estimate) -> Estimate:
    """Return log2 of a rate with its interval extended by the shift that skewed curves cause."""
    return widen(log2_lr, skew, skew_weight(skew))


def widen(estimate: Estimate, error: Estimate, weight: float) -> Estimate:
    """Return an estimate with its interval extended by that of an error, times a weight."""
    if None in (estimate.low, estimate.high, error.low, error.high) or not weight:
        return estimate
    assert estimate.low is not None
    assert estimate.high is not None
    low, high = min(error.low or 0.0, 0.0), max(error.high or 0.0, 0.0)
    return Estimate(
        estimate.value,
        estimate.low + weight * low,
        estimate.high + weight * high,
        estimate.undetermined,
    )


def no_value_reason(
    num_optima: int, num_widths: int, reason: str | None, axes: AxisNames
) -> str | None:
    """Return why a law over widths has no value and what to add, or None.

    Args:
        num_optima: Widths with an optimum.
        num_widths: Widths that were run.
        reason: Why one of the others has no optimum, and what to add, or None.
        axes: Names of the scale and of the hyperparameter.
    """
    if num_optima >= WIDTHS_FOR_VALUE:
        return None
    text = axes.too_few("a law", WIDTHS_FOR_VALUE, num_optima, num_widths)
    return f"{reason}; {text}" if reason else text


def no_interval_reason(widths_W: Floats, reason: str | None, axes: AxisNames) -> str | None:
    """Return why a law over widths has no interval and what to add, or None."""
    if reason:
        return reason
    span = widths_W[-1] / widths_W[0]
    if len(widths_W) >= WIDTHS_FOR_INTERVAL and span >= SPAN_FOR_INTERVAL * (1 - 1e-9):
        return None
    return (
        f"an interval needs {WIDTHS_FOR_INTERVAL} values of {axes.scale} over "
        f"{SPAN_FOR_INTERVAL:g}x, and there are {len(widths_W)} over {span:g}x"
    )


def skew_shifts(skew: Estimate) -> tuple[float, ...]:
    """Return the shifts of ln(best rate) that skewed curves allow, from the lowest to the highest.

    Example:
        >>> skew_shifts(Estimate(0.1, -0.3, 0.5))
        (0.0,)
    """
    weight = skew_weight(skew)
    if not weight or skew.low is None or skew.high is None:
        return (0.0,)
    return weight * min(skew.low, 0.0) * LN2, 0.0, weight * max(skew.high, 0.0) * LN2
