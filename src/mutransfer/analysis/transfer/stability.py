"""Stability of training near the best rate of every width.

Everything is measured at fixed multiples of the fitted best rate, so that parametrizations whose
rates have different units can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mutransfer.analysis.curves.fit import CurveFit
from mutransfer.analysis.curves.grid import LossGrid
from mutransfer.analysis.curves.group import FittedGroup, no_draws_reason
from mutransfer.analysis.curves.noise import CurveDraws
from mutransfer.analysis.format import AxisNames, format_power, format_rate
from mutransfer.analysis.intervals import LOWER, UPPER, share_interval, t_quantile
from mutransfer.analysis.transfer.regret import SAME_RATE, RegretBounds, regret_bounds
from mutransfer.analysis.types.estimates import LN2, Estimate, Floats
from mutransfer.analysis.types.stability import (
    MULTIPLES,
    CurveMeasure,
    DivergedRuns,
    RateStability,
    WidthStability,
)

# Shape legend: R rates, S seeds, D draws.

MEANS = ("largest_rise", "roughness", "paired_roughness")
OCTAVES_ABOVE = 2.0  # range of rates above the best one in which diverged runs are counted
ONE_SEED = "one seed: add seeds to get an interval"

BySeed = Mapping[str, float]


def stability(group: FittedGroup, axes: AxisNames) -> tuple[WidthStability, ...]:
    """Measure the stability of a group at every width."""
    group = replace(group, curves=tuple(map(_with_plateau, group.curves)))
    measures = {name: _curve_measures(group, name, axes) for name in MEANS}
    return tuple(
        WidthStability(
            width=curve.grid.width,
            log2_lr=None if curve.quadratic is None else curve.quadratic.optimum / LN2,
            rates=tuple(
                RateStability(
                    multiple=multiple,
                    excess_loss=_excess_loss(group, index, multiple, axes),
                    **{name: measures[name][index][k] for name in MEANS},
                )
                for k, multiple in enumerate(MULTIPLES)
            ),
            diverged=_diverged(curve, axes),
            curve_stride=_stride(curve.grid),
        )
        for index, curve in enumerate(group.curves)
    )


def _excess_loss(group: FittedGroup, index: int, multiple: float, axes: AxisNames) -> Estimate:
    """Estimate the loss at a multiple of the best rate, minus that at the best rate.

    It is interpolated everywhere, since a parabola would hide how steeply the loss rises.
    """
    curve = group.curves[index]
    if curve.quadratic is None:
        return Estimate(undetermined=curve.undetermined)
    if multiple == 1.0:
        return Estimate(0.0, 0.0, 0.0)

    def excess(x_D: Floats, mean_DR: Floats, coefficients_D3: Floats) -> RegretBounds:
        x_D = x_D + math.log(multiple)
        return regret_bounds(curve, x_D, mean_DR, coefficients_D3, interpolated=True)

    best, mean_R = np.array([curve.quadratic.optimum]), curve.grid.mean
    coefficients = curve.quadratic.coefficients[None]
    own = excess(best, mean_R[None], coefficients)
    missing = _missing_rate(curve.grid, float(best[0]) + math.log(multiple), axes)
    value = None if missing else float(own.value[0])
    if reason := no_draws_reason(group, [index], axes):
        return Estimate(value, undetermined=missing or reason)
    draws, fitted_R = group.draws[index], mean_R.copy()
    fitted_R[curve.quadratic.window] = curve.quadratic.fitted
    drawn = excess(draws.x, _drawn_losses(draws, curve, fitted_R), draws.coefficients)
    # Draws scatter around the parabola, from which the losses themselves deviate.
    misfit = float(own.lower[0] - excess(best, fitted_R[None], coefficients).lower[0])
    low = max(float(np.quantile(drawn.lower, LOWER)) + misfit, 0.0)
    high = float(np.quantile(drawn.upper, UPPER, method="higher")) + misfit
    if math.isfinite(high):
        return Estimate(value, low, high)
    rate = format_rate(float(best[0]) / LN2 + math.log2(multiple))
    near = f"{rate} is close to a rate that diverged or was not tried {axes.at(*curve.grid.sizes)}"
    return Estimate(value, low, None, missing or near)


def _with_plateau(curve: CurveFit) -> CurveFit:
    """Return a curve whose losses on a plateau count: they were measured, if never fitted."""
    grid = curve.grid
    return replace(curve, grid=replace(grid, plateau=np.zeros_like(grid.plateau)))


def _drawn_losses(draws: CurveDraws, curve: CurveFit, fitted_R: Floats) -> Floats:
    """Return drawn losses, those on a plateau with the noise of the nearest rate."""
    mean_DR = draws.mean.copy()
    is_drawn_R = np.isfinite(mean_DR[0])
    for rate in np.flatnonzero(curve.grid.usable & ~is_drawn_R):
        distance_R = np.where(is_drawn_R, np.abs(curve.grid.x - curve.grid.x[rate]), np.inf)
        nearest = int(np.argmin(distance_R))
        mean_DR[:, rate] = fitted_R[rate] + mean_DR[:, nearest] - fitted_R[nearest]
    return mean_DR


def _curve_measures(
    group: FittedGroup, name: str, axes: AxisNames
) -> list[list[CurveMeasure | None]]:
    """Average a measure over seeds, per width and multiple of the best rate.

    The variance between seeds, as a share of the squared mean, is pooled over widths, averaged over
    the multiples of each. A seed has the same batches at every multiple, so only its widths count
    as degrees of freedom.
    """
    by_seed = [
        [_by_seed(curve, name, multiple) for multiple in MULTIPLES] for curve in group.curves
    ]
    squares, freedom = 0.0, 0
    for values in by_seed:
        variances = [_relative_variance(own) for own in values if len(own) > 1]
        if variances:
            own_freedom = max(map(len, values)) - 1
            squares += own_freedom * float(np.mean(variances))
            freedom += own_freedom
    deviation = math.sqrt(squares / freedom) if freedom else None
    return [
        [
            _curve_measure(own, curve, multiple, deviation, freedom, axes)
            if name in curve.grid.measures
            else None
            for own, multiple in zip(values, MULTIPLES, strict=True)
        ]
        for curve, values in zip(group.curves, by_seed, strict=True)
    ]


def _curve_measure(
    by_seed: BySeed,
    curve: CurveFit,
    multiple: float,
    deviation: float | None,
    freedom: int,
    axes: AxisNames,
) -> CurveMeasure:
    """Return the mean over seeds, with an interval from the pooled relative deviation."""
    if curve.quadratic is None:
        return CurveMeasure(Estimate(undetermined=curve.undetermined), by_seed)
    if not by_seed:
        x = curve.quadratic.optimum + math.log(multiple)
        reason = _missing_rate(curve.grid, x, axes) or "its runs have no training curve"
        return CurveMeasure(Estimate(undetermined=reason), by_seed)
    mean = float(np.mean(list(by_seed.values())))
    if deviation is None:
        return CurveMeasure(Estimate(mean, undetermined=ONE_SEED), by_seed)
    half = t_quantile(freedom) * deviation * mean / math.sqrt(len(by_seed))
    return CurveMeasure(Estimate(mean, max(mean - half, 0.0), mean + half), by_seed)


def _relative_variance(by_seed: BySeed) -> float:
    """Return the variance between seeds as a share of the squared mean."""
    values = np.array(list(by_seed.values()))
    return float(values.var(ddof=1) / values.mean() ** 2) if values.mean() > 0 else 0.0


def _by_seed(curve: CurveFit, name: str, multiple: float) -> BySeed:
    """Interpolate a measure linearly in ln(rate), for every seed that ran both rates around."""
    grid = curve.grid
    if curve.quadratic is None or name not in grid.measures:
        return {}
    x = curve.quadratic.optimum + math.log(multiple)
    pair = _surrounding_rates(grid, x)
    if pair is None:
        return {}
    left, right = pair
    share = 0.0 if left == right else (x - grid.x[left]) / (grid.x[right] - grid.x[left])
    value_RS = grid.measures[name]
    value_S = (1 - share) * value_RS[left] + share * value_RS[right]
    values = zip(grid.seeds, value_S.tolist(), strict=True)
    return {seed: value for seed, value in values if math.isfinite(value)}


def _surrounding_rates(grid: LossGrid, x: float) -> tuple[int, int] | None:
    """Return the rates around an ln(rate); None where it is beyond or next to a diverged one."""
    right = int(np.searchsorted(grid.x, x - SAME_RATE))
    if right == len(grid.x):
        return None
    left = right if grid.x[right] <= x + SAME_RATE else right - 1
    return (left, right) if left >= 0 and grid.usable[[left, right]].all() else None


def _missing_rate(grid: LossGrid, x: float, axes: AxisNames) -> str | None:
    """Return why there is no loss at an ln(rate), and what to add, or None."""
    if _surrounding_rates(grid, x) is not None:
        return None
    rate, where = format_rate(x / LN2), axes.at(*grid.sizes)
    if not grid.x[0] - SAME_RATE <= x <= grid.x[-1] + SAME_RATE:
        return f"not tried: {rate} lies outside the {axes.rates} tried {where}"
    diverged_R = grid.log2_lr[~grid.usable]
    neighbor = float(diverged_R[np.argmin(np.abs(diverged_R - x / LN2))])
    return f"{rate} is at or next to {format_power(neighbor)}, which diverged {where}"


def _diverged(curve: CurveFit, axes: AxisNames) -> DivergedRuns:
    """Count the runs recorded as diverged at rates above the best one, up to two octaves."""
    grid = curve.grid
    if curve.quadratic is None:
        return DivergedRuns(0, 0, Estimate(undetermined=curve.undetermined))
    best, end_x = curve.quadratic.optimum, curve.quadratic.optimum + OCTAVES_ABOVE * LN2
    is_above_R = (grid.x > best + SAME_RATE) & (grid.x <= end_x + SAME_RATE)
    has_failed_RS = grid.diverged[is_above_R]
    was_run_RS = has_failed_RS | np.isfinite(grid.losses[is_above_R])
    count, total = int(has_failed_RS.sum()), int(was_run_RS.sum())
    if grid.spread is not None:
        share = Estimate(undetermined="each loss is the mean of several runs")
    # The grid reaches far enough if its next rate would lie beyond.
    elif 2 * grid.x[-1] - grid.x[-2] <= end_x - SAME_RATE:
        reason = (
            f"not tried: the {axes.rates} {axes.at(*grid.sizes)} end less than {OCTAVES_ABOVE:g} "
            f"octaves above the best one: add {axes.rates} up to {format_rate(end_x / LN2)}"
        )
        share = Estimate(count / total if total else None, undetermined=reason)
    else:
        share = share_interval(count, total)
    return DivergedRuns(count, total, share)


def _stride(grid: LossGrid) -> int | None:
    """Return the largest number of steps between stored losses, or None."""
    stride_RS = grid.measures.get("curve_stride")
    if stride_RS is None or not np.isfinite(stride_RS).any():
        return None
    return int(np.nanmax(stride_RS))
