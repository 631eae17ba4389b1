"""Regret: the excess loss at a large width with the best rate of a small one, and its bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mutransfer.analysis.curves.fit import CurveFit
from mutransfer.analysis.curves.grid import LossGrid
from mutransfer.analysis.curves.interpolation import chord, extended_chords, monotone_cubic
from mutransfer.analysis.curves.noise import CurveDraws
from mutransfer.analysis.format import AxisNames, format_power, format_rate
from mutransfer.analysis.intervals import LOWER, UPPER
from mutransfer.analysis.types.estimates import LN2, Bools, Estimate, Floats

# Shape legend: R rates, D draws (1 for the data itself).

SAME_RATE = 1e-6  # in ln(rate): rates that differ by rounding only


@dataclass(frozen=True, slots=True)
class RegretBounds:
    """Regret of one carried ln(rate) per draw: lower bound, value on the curve, upper bound.

    Where the loss at the carried rate is undetermined, `upper` is infinite.
    """

    lower: Floats
    value: Floats
    upper: Floats


def regret_bounds(
    target: CurveFit,
    x_D: Floats,
    mean_DR: Floats,
    coefficients_D3: Floats | None,
    *,
    interpolated: bool = False,
) -> RegretBounds:
    """Compute the regret of every draw's carried rate at the target width.

    Inside the window the loss is that of the fitted quadratic. Outside, it is interpolated between
    the rates that were tried, with bounds of the error. Next to a diverged rate, or beyond the
    rates that were tried, it has no upper bound; the lower one is the loss, or its lower bound, at
    the last rate before the carried one. Without coefficients the best loss is that of the best
    rate tried, and all losses are interpolated; with `interpolated` only these are.
    """
    grid, quadratic = target.grid, target.quadratic
    if quadratic is not None and coefficients_D3 is not None:
        best_x, x_K = quadratic.optimum, quadratic.x
        best_D = quadratic.loss(coefficients_D3, quadratic.vertex(coefficients_D3))
        loss_D = quadratic.loss(coefficients_D3, x_D)
        low, high = min(x_K[0], best_x) - SAME_RATE, max(x_K[-1], best_x) + SAME_RATE
        outside = np.flatnonzero((x_D < low) | (x_D > high) | interpolated)
    else:
        assert target.argmin is not None
        best_x, best_D = float(grid.x[target.argmin]), mean_DR[:, target.argmin]
        loss_D, outside = np.empty(len(x_D)), np.arange(len(x_D))
    lower_D, upper_D = loss_D.copy(), loss_D.copy()
    if len(outside):  # interpolation is slower, and rarely needed
        lower_D[outside], loss_D[outside], upper_D[outside] = _loss_outside_window(
            target, x_D[outside], mean_DR[outside], best_x, best_D[outside]
        )
    return RegretBounds(*(np.maximum(x - best_D, 0.0) for x in (lower_D, loss_D, upper_D)))


def _loss_outside_window(
    target: CurveFit, x_D: Floats, mean_DR: Floats, best_x: float, best_D: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return lower bound, interpolated value and upper bound of losses outside the window."""
    usable = np.flatnonzero(target.grid.usable)
    x_F, mean_DF = target.grid.x[usable], mean_DR[:, usable]
    inside_D = _is_between_usable(target, x_D)
    last_D = _last_determined_loss(target, x_D, mean_DR, best_x, best_D)
    cubic_D = monotone_cubic(x_F, mean_DF, x_D)
    loss_D = np.where(inside_D, cubic_D, last_D)
    lower_D = np.where(inside_D, np.fmin(cubic_D, extended_chords(x_F, mean_DF, x_D)), last_D)
    upper_D = np.where(inside_D, np.fmax(cubic_D, chord(x_F, mean_DF, x_D)), np.inf)
    return lower_D, loss_D, upper_D


def _is_between_usable(target: CurveFit, x_D: Floats) -> Bools:
    """Whether each rate equals a usable rate, or lies between two neighboring usable ones."""
    x_R, usable_R = target.grid.x, target.grid.usable
    padded = np.concatenate([[False], usable_R, [False]])
    right_D = np.searchsorted(x_R, x_D)
    between_D = padded[right_D] & padded[right_D + 1]
    nearest_D = np.argmin(np.abs(x_D[:, None] - x_R), axis=1)
    at_D = (np.abs(x_D - x_R[nearest_D]) <= SAME_RATE) & usable_R[nearest_D]
    return np.asarray(between_D | at_D)


def _last_determined_loss(
    target: CurveFit, x_D: Floats, mean_DR: Floats, best_x: float, best_D: Floats
) -> Floats:
    """Return the loss at the last rate between the optimum and each rate; losses rise that way."""
    grid = target.grid
    x_R, bound_R = grid.x, _divergence_bound(grid)
    last_D = best_D.copy()
    for index in np.argsort(np.abs(x_R - best_x), kind="stable"):
        is_up = x_R[index] >= best_x
        passed_D = x_D >= x_R[index] - SAME_RATE if is_up else x_D <= x_R[index] + SAME_RATE
        if grid.usable[index]:
            last_D = np.where(passed_D, mean_DR[:, index], last_D)
        elif np.isfinite(bound_R[index]):
            last_D = np.where(passed_D, bound_R[index], last_D)
    return last_D


def _divergence_bound(grid: LossGrid) -> Floats:
    """Return lower bounds of the losses where runs diverged.

    Where the untrained loss is not recorded, a diverged run is at least as bad as the worst run at
    this width that did not diverge.
    """
    worst = float(np.nanmax(grid.mean)) if grid.usable.any() else np.nan
    return np.where(np.isfinite(grid.lower_bound), grid.lower_bound, worst)


@dataclass(frozen=True, slots=True)
class RegretEstimate:
    """The regret with its one-sided bounds, and what these would be with fewer causes of error.

    Args:
        regret: The regret.
        of_noise: The bounds that noise alone leaves.
        of_spacing: Those of noise and of the distance between rates, without skew.
    """

    regret: Estimate
    of_noise: Estimate = field(default=Estimate())
    of_spacing: Estimate = field(default=Estimate())


@dataclass(frozen=True, slots=True)
class _Skewed:
    """Shifts of ln(rate) that skew allows, and how much they count."""

    shifts: Sequence[float]
    weight: float


def estimate_regret(
    source: CurveFit,
    target: CurveFit,
    draws: tuple[CurveDraws, CurveDraws] | None,
    no_interval: str | None,
    axes: AxisNames,
    *,
    shifts: Sequence[float] = (),
    weight: float = 1.0,
    tail: float = LOWER,
) -> RegretEstimate:
    """Estimate the regret at `target` of the best rate at `source`, with one-sided bounds.

    Args:
        source: The smaller width; it needs a fit.
        target: The larger width; it needs a fit, or a minimum on the edge.
        draws: Draws of both, or None.
        no_interval: Why there are no draws.
        axes: Names of the scale and of the hyperparameter.
        shifts: How far best rates may lie from the parabola's, in ln(rate), where curves are too
            skewed to rely on it alone: the interval then includes what interpolation between the
            tried rates gives.
        weight: How much of that counts, from 0 to 1.
        tail: Probability that the lower bound fails; smaller where it is the largest of several.
    """
    if source.quadratic is None:
        return RegretEstimate(Estimate(undetermined=source.undetermined))
    if target.quadratic is None and target.edge is None:
        return RegretEstimate(Estimate(undetermined=target.undetermined))
    drawn, x = None if draws is None else (draws[0].x, draws[1]), source.quadratic.optimum
    return _estimate(target, x, drawn, no_interval, axes, _Skewed(shifts, weight), tail)


def regret_of_rate(
    target: CurveFit,
    x: float,
    draws: tuple[Floats, CurveDraws] | None,
    no_interval: str | None,
    axes: AxisNames,
    *,
    shifts: Sequence[float] = (),
    weight: float = 1.0,
    tail: float = LOWER,
) -> Estimate:
    """Estimate the regret of one ln(rate) at `target`, with one-sided bounds.

    Args:
        target: The width at which the rate is used; it needs a fit, or a minimum on the edge.
        x: ln(rate).
        draws: Draws of ln(rate), all equal where it is no estimate, and of the target; or None.
        no_interval: Why there are no draws.
        axes: Names of the scale and of the hyperparameter.
        shifts: As for `estimate_regret`.
        weight: As for `estimate_regret`.
        tail: As for `estimate_regret`.
    """
    return _estimate(target, x, draws, no_interval, axes, _Skewed(shifts, weight), tail).regret


def _estimate(
    target: CurveFit,
    x: float,
    draws: tuple[Floats, CurveDraws] | None,
    no_interval: str | None,
    axes: AxisNames,
    skewed: _Skewed,
    tail: float,
) -> RegretEstimate:
    """Estimate the regret of one ln(rate) at `target`."""
    coefficients, best_x = None, float(target.grid.x[target.argmin or 0])
    if target.quadratic is not None:
        coefficients, best_x = target.quadratic.coefficients[None], target.quadratic.optimum
    own = regret_bounds(target, np.array([x]), target.grid.mean[None], coefficients)
    reason = target.undetermined
    if reason is None and not np.isfinite(own.upper[0]):
        reason = _unbounded_reason(target, x, axes)
    value = float(own.value[0]) if reason is None else None
    if draws is None:
        reasons = "; ".join(text for text in (reason, no_interval) if text)
        return RegretEstimate(Estimate(value, undetermined=reasons))
    x_D, mean_DR, coefficients_D3 = draws[0], draws[1].mean, draws[1].coefficients
    drawn = regret_bounds(target, x_D, mean_DR, coefficients_D3)
    # Noise alone causes a regret. Its size without drift is that of the same draws with the optimum
    # of the source moved onto that of the target; only a larger regret has a positive lower bound.
    no_drift = regret_bounds(target, x_D - x + best_x, mean_DR, coefficients_D3)
    exceeds_noise = own.lower[0] > np.quantile(no_drift.value, 1 - tail)
    lower_tail = tail if exceeds_noise else None
    of_noise = _quantiles(drawn.value, drawn.value, lower_tail)
    of_spacing = _quantiles(drawn.lower, drawn.upper, lower_tail)
    (low, high), weight = of_spacing, skewed.weight
    is_finite_D = np.isfinite(drawn.upper)
    for shift in skewed.shifts if weight else ():
        shifted = regret_bounds(target, x_D + shift, mean_DR, coefficients_D3, interpolated=True)
        lower, upper = _quantiles(shifted.lower, shifted.upper, lower_tail)
        low = min(low, (1 - weight) * of_spacing[0] + weight * lower)
        # What may be skew and may be noise is no reason to lose a bound.
        if weight == 1 or np.isfinite(upper):
            high = max(high, (1 - weight) * of_spacing[1] + weight * upper)
            is_finite_D &= np.isfinite(shifted.upper)
    if reason is None and not np.isfinite(high):
        reason = _unbounded_reason(target, float(np.median(x_D[~is_finite_D])), axes)
    regret = Estimate(value, low, high if reason is None else None, reason)
    return RegretEstimate(regret, Estimate(value, *of_noise), Estimate(value, *of_spacing))


def _quantiles(lower_D: Floats, upper_D: Floats, tail: float | None) -> tuple[float, float]:
    """Return one-sided bounds of a regret from those of its draws; without a tail from zero on."""
    low = 0.0 if tail is None else float(np.quantile(lower_D, tail))
    return low, float(np.quantile(upper_D, UPPER, method="higher"))


def _unbounded_reason(target: CurveFit, x: float, axes: AxisNames) -> str:
    """Return why the loss at a carried rate has no upper bound, and what to add."""
    grid, log2_lr, where = target.grid, x / LN2, axes.at(*target.grid.sizes)
    carried = f"the carried {axes.rate} {format_rate(log2_lr)}"
    first, last = grid.log2_lr[0], grid.log2_lr[-1]
    if not first <= log2_lr <= last:
        return (
            f"{carried} lies outside the {axes.rates} tried {where}, so the regret has a lower "
            f"bound only: add {axes.rates} up to it"
        )
    diverged_R = grid.log2_lr[~grid.usable]
    if not len(diverged_R):  # the rate itself has a bound, but its interval ends beyond the rates
        return (
            f"the carried rate {format_rate(log2_lr)} may lie outside the {axes.rates} tried "
            f"{where}, so the regret has a lower bound only: add {axes.rates} on both sides"
        )
    neighbor = float(diverged_R[np.argmin(np.abs(diverged_R - log2_lr))])
    return (
        f"{carried} is at or next to {format_rate(neighbor)}, which "
        f"diverged {where}, so the regret has a lower bound only: add {axes.rates} in between"
    )


def grid_regret(source: CurveFit, target: CurveFit, axes: AxisNames) -> Estimate:
    """Compute the regret between rates that were tried."""
    if source.argmin is None or target.argmin is None:
        missing = source if source.argmin is None else target
        return Estimate(undetermined=missing.undetermined)
    grid, log2_lr = target.grid, source.grid.log2_lr[source.argmin]
    same = np.flatnonzero(np.abs(grid.log2_lr - log2_lr) < SAME_RATE)
    where = axes.at(*grid.sizes)
    if not len(same):
        return Estimate(undetermined=f"{format_rate(log2_lr)} was not tried {where}: add it")
    best = float(grid.mean[target.argmin])
    loss = float(grid.measured[same[0]])
    if np.isfinite(loss):
        return Estimate(loss - best)
    low = max(float(_divergence_bound(grid)[same[0]]) - best, 0.0)
    reason = f"{format_power(log2_lr)} diverged {where}, so the regret has a lower bound only"
    return Estimate(None, low, None, reason)


def share_of_loss(regret: Estimate, target: CurveFit, axes: AxisNames) -> Estimate:
    """Return a regret as a share of the best loss at the target."""
    best = target.lowest_loss  # on an edge of the grid the loss at that rate, an upper bound
    if best is not None and best > 0:
        return regret.times(1 / best)
    text = (
        f"the loss is not positive {axes.at(*target.grid.sizes)}, so a share of it has no meaning"
    )
    return Estimate(
        undetermined=regret.undetermined or f"{text}: use a positive loss, such as 1 - accuracy"
    )
