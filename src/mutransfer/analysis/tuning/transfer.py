"""Transfer of a whole point over widths: drifts of its coordinates, and its regret."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.format import format_value
from mutransfer.analysis.intervals import LOWER, UPPER, central_interval
from mutransfer.analysis.tuning.best_values import NO_NOISE
from mutransfer.analysis.tuning.noise import SurfaceDraws
from mutransfer.analysis.tuning.polynomial import Polynomials
from mutransfer.analysis.tuning.surface import Surface
from mutransfer.analysis.types.estimates import Bools, Estimate, Floats

# Shape legend: W widths, D draws, H hyperparameters.

BEYOND = 0.1  # how far beyond the samples a fit is read, as a share of half their range [assumed]


@dataclass(frozen=True, slots=True, eq=False)
class FittedWidth:
    """One width with its fit.

    Args:
        fit: The fit of the largest weight.
        draws: Its draws, or None with too few samples.
        reasons: Hyperparameter -> why its best value is undetermined.
    """

    fit: Surface
    draws: SurfaceDraws | None
    reasons: dict[str, str]


def estimate_drift(widths: Sequence[FittedWidth], h: int, reason: str | None) -> Estimate:
    """Estimate the slope of one coordinate of the best point against log2 of the width.

    Args:
        widths: The widths at which the coordinate is determined, ascending.
        h: The hyperparameter.
        reason: Why it is undetermined at another width, or None.
    """
    if len(widths) < 2:
        text = "a drift needs the optimum at two widths"
        return Estimate(undetermined=f"{reason}; {text}" if reason else text)
    x_W = np.log2([w.fit.table.width for w in widths])
    weight_W = (x_W - x_W.mean()) / ((x_W - x_W.mean()) ** 2).sum()
    best_W = np.array([w.fit.center[h] + w.fit.half[h] * w.fit.minimum[h] for w in widths])
    value = float(weight_W @ best_W)
    draws = [w.draws for w in widths]
    if any(d is None for d in draws):
        return Estimate(value, undetermined=NO_NOISE)
    positions = [
        w.fit.center[h] + w.fit.half[h] * w.draws.moved[:, h] for w in widths if w.draws is not None
    ]
    return central_interval(value, np.asarray(weight_W @ np.stack(positions)))


@dataclass(frozen=True, slots=True, eq=False)
class _Carried:
    """Regrets of carried points: lower bound, value, and upper bound, which may be infinite."""

    lower: Floats
    value: Floats
    upper: Floats


def _carried_regret(target: Surface, polynomials: Polynomials, z_DH: Floats) -> _Carried:
    """Compute the regret of points at the target, given in units of its range.

    Inside the samples of the fit it is that of the polynomial. Elsewhere only a lower bound is
    known: what the fit says at the last place that the samples cover, since the loss rises.
    """
    low_H, high_H = target.limits
    best_D = polynomials(target.minima(polynomials))
    inner_DH = np.clip(z_DH, low_H - BEYOND, high_H + BEYOND)
    excess_D = np.maximum(polynomials(inner_DH) - best_D, 0.0)
    fitted_M = target.polynomials.at_points(target.z[target.region])[0]
    highest = float(fitted_M.max() - target.polynomials(target.minimum[None])[0])
    is_inside_D: Bools = (np.abs(z_DH - inner_DH) < 1e-9).all(axis=1) & (excess_D <= highest)
    lower_D = np.minimum(excess_D, highest)
    return _Carried(lower_D, lower_D, np.where(is_inside_D, excess_D, np.inf))


def estimate_regret(source: FittedWidth, target: FittedWidth, scale: str) -> Estimate:
    """Estimate the regret at the target of the best point of the source, with one-sided bounds."""
    fit, own = target.fit, source.fit
    at = f"at {scale} {format_value(fit.table.width)}"

    def units(z_DH: Floats) -> Floats:
        return np.asarray(fit.unit(own.center + own.half * z_DH))

    carried_1H = units(own.minimum[None])
    data = _carried_regret(fit, fit.polynomials, carried_1H)
    reason = None
    if not np.isfinite(data.upper[0]):
        reason = (
            f"the carried point lies outside the samples near the best {at}, so the regret has a "
            "lower bound only: add samples near it"
        )
    value = float(data.value[0]) if reason is None else None
    if source.draws is None or target.draws is None:
        text = NO_NOISE
        return Estimate(value, undetermined=f"{reason}; {text}" if reason else text)
    carried_DH = units(source.draws.moved)
    drawn = _carried_regret(fit, target.draws.polynomials, carried_DH)
    # What noise alone would show: the same draws, moved onto the optimum of the target.
    moved_DH = carried_DH - carried_1H + fit.minimum
    no_drift = _carried_regret(fit, target.draws.polynomials, moved_DH)
    exceeds_noise = data.lower[0] > np.quantile(no_drift.value, UPPER)
    low = float(np.quantile(drawn.lower, LOWER)) if exceeds_noise else 0.0
    high = float(np.quantile(drawn.upper, UPPER, method="higher"))
    if reason is None and not np.isfinite(high):
        reason = (
            f"the carried point may lie outside the samples near the best {at}, so the regret has "
            "a lower bound only: add samples"
        )
    return Estimate(value, low, high if reason is None else None, reason)
