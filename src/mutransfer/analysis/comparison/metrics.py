"""Differences of E, κ and R(∞) between two groups, from draws of both together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.comparison.pairs import Pair
from mutransfer.analysis.curves.group import FittedGroup
from mutransfer.analysis.format import AxisNames
from mutransfer.analysis.intervals import ON_BOUND, UPPER, estimate
from mutransfer.analysis.transfer.optima import Optima, fit_optima
from mutransfer.analysis.transfer.predictability import MeanSquares, joint_fit, mean_squares
from mutransfer.analysis.types.estimates import Estimate, Floats
from mutransfer.analysis.types.report import MetricDifferences

# Shape legend: S samples (the data first, then the D draws).


@dataclass(frozen=True, slots=True)
class _Metrics:
    """One group's laws and its E, of the data and of every draw."""

    name: str
    optima: Optima
    errors: MeanSquares | None

    @property
    def bound_reason(self) -> str | None:
        """Why the law of the loss determines nothing, or None."""
        law = self.optima.loss_law
        return ON_BOUND if law is not None and law.is_bound[0] else None

    @property
    def floor(self) -> Floats | None:
        """The samples of L∞."""
        return None if self.optima.loss_law is None else self.optima.loss_law.floor

    @property
    def log10_E(self) -> Floats | None:  # noqa: N802 - the paper's symbol
        """The samples of log10 E."""
        if self.errors is None:
            return None
        with np.errstate(divide="ignore"):  # E is zero where curves follow the laws exactly
            return np.asarray(np.log10(self.errors.squares))


def metric_differences(pair: Pair, axes: AxisNames) -> MetricDifferences:
    """Estimate the metrics of the first group minus those of the second.

    Source:
        E, κ and R(∞): arXiv:2605.21486, which publishes no intervals.
    """
    a, b = (_metrics(group, axes) for group in pair.groups)
    skewed = _reason(a, b, a.optima.skew_reason, b.optima.skew_reason)
    return MetricDifferences(
        log10_E=_widen_by_noise(_difference(a, b, a.log10_E, b.log10_E, has_floor=False), a, b),
        kappa=_difference(a, b, a.optima.kappa, b.optima.kappa, skewed),
        R_inf=_difference(a, b, a.floor, b.floor),
    )


def _metrics(group: FittedGroup, axes: AxisNames) -> _Metrics:
    """Fit the laws to a group and to its draws."""
    optima = fit_optima(group, axes)
    joint = joint_fit(group, optima)
    errors = None if joint is None else mean_squares(group, optima, joint)
    return _Metrics(group.name, optima, errors)


def _reason(a: _Metrics, b: _Metrics, reason_a: str | None, reason_b: str | None) -> str | None:
    """Return the reason that both groups have, or that of one of them with its name, or None."""
    if reason_a == reason_b:
        return reason_a
    return f"{a.name}: {reason_a}" if reason_a else f"{b.name}: {reason_b}"


def _difference(
    a: _Metrics,
    b: _Metrics,
    value_aS: Floats | None,
    value_bS: Floats | None,
    reason: str | None = None,
    *,
    has_floor: bool = True,
) -> Estimate:
    """Estimate the difference of a number that the laws of both groups give.

    Args:
        a: The first group.
        b: The second group.
        value_aS: Samples of the first; None without the laws.
        value_bS: Samples of the second.
        reason: Why there is no interval, if it is not for lack of widths or draws.
        has_floor: Whether the number is undetermined where the law of the loss is.
    """
    if value_aS is None or value_bS is None:
        return Estimate(undetermined=a.optima.no_value or b.optima.no_value or ON_BOUND)
    is_bound_S = None
    if has_floor:
        if bound := _reason(a, b, a.bound_reason, b.bound_reason):
            return Estimate(undetermined=bound)
        laws = a.optima.loss_law, b.optima.loss_law
        is_bound_S = np.any([law.is_bound for law in laws if law is not None], axis=0)
    no_interval = _reason(a, b, a.optima.no_interval, b.optima.no_interval)
    return estimate(value_aS - value_bS, no_interval or reason, is_bound_S)


def _widen_by_noise(difference: Estimate, a: _Metrics, b: _Metrics) -> Estimate:
    """Extend the interval of a difference of log10 E to E without the part that is noise.

    E of the laws alone is lower than E by the noise in it. So the difference may be lower by that
    of the first group, or higher by that of the second, without a bound where E may be all noise.
    """
    if difference.low is None or difference.high is None:
        return difference
    reasons: list[str | None] = [None, None]
    shifts = [0.0, 0.0]
    for k, (metrics, errors) in enumerate(((a, a.errors), (b, b.errors))):
        assert errors is not None
        assert errors.noise is not None
        if errors.squares[0] <= np.quantile(errors.noise, UPPER):
            reasons[k] = f"noise alone explains E of {metrics.name}: add seeds"
        else:
            shifts[k] = float(np.log10(1 - errors.noise.mean() / errors.squares[0]))
    return Estimate(
        difference.value,
        None if reasons[0] else difference.low + shifts[0],
        None if reasons[1] else difference.high - shifts[1],
        "; ".join(filter(None, reasons)) or None,
    )
