"""This file is regret: what the smallest width's best rate costs at the largest width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.curves.fit import Located
from mutransfer.analysis.curves.noise import Drawn
from mutransfer.analysis.format import Words, rate
from mutransfer.analysis.types.estimates import LN2, Bools, Estimate, Floats

# Shape legend: R rates, F rates with a usable loss, D draws (1 for the data itself).

SAME_RATE = 1e-6  # in ln(rate)
LOWER, UPPER = 0.05, 0.95


@dataclass(frozen=True, slots=True)
class Carried:
    """Regret of carrying one ln(rate) per draw: at least, by the fitted curve, at most.

    Where the loss at the carried rate is not known, `upper` is infinite.
    """

    lower: Floats
    value: Floats
    upper: Floats


def carried(
    target: Located, x_D: Floats, mean_DR: Floats, coefficients_D3: Floats | None
) -> Carried:
    """Give the regret of every draw's carried rate at the target width, in nats.

    Inside the window the fitted quadratic tells the loss; outside a shape-preserving cubic
    through the mean losses, which errs between them: at most it is the straight line, where
    that is higher, since a curve that bends upwards lies below it. Next to a diverged rate,
    or beyond the rates that were tried, it is at least the last known loss on the way there,
    and nobody knows how much more.
    """
    cells, fit = target.cells, target.fit
    if fit is not None and coefficients_D3 is not None:
        best_x, low, high = target.x, *_domain(target)
        best_D = fit.loss(coefficients_D3, fit.vertex(coefficients_D3))
        loss_D = fit.loss(coefficients_D3, x_D)
        outside = np.flatnonzero((x_D < low) | (x_D > high))
    else:
        assert target.argmin is not None
        best_x, best_D = float(cells.x[target.argmin]), mean_DR[:, target.argmin]
        loss_D, outside = np.empty(len(x_D)), np.arange(len(x_D))
    low_D, most_D = loss_D.copy(), loss_D.copy()
    if len(outside):  # slower, and seldom asked for
        low_D[outside], loss_D[outside], most_D[outside] = _outside(
            target, x_D[outside], mean_DR[outside], best_x, best_D[outside]
        )
    return Carried(*(np.maximum(each - best_D, 0.0) for each in (low_D, loss_D, most_D)))


def _outside(
    target: Located, x_D: Floats, mean_DR: Floats, best_x: float, best_D: Floats
) -> tuple[Floats, Floats, Floats]:
    """Give what losses outside the window are at least, are by the cubic, and are at most."""
    usable = np.flatnonzero(target.cells.usable)
    x_F, mean_DF = target.cells.x[usable], mean_DR[:, usable]
    known_D = _known(target, x_D)
    least_D = _least(target, x_D, mean_DR, best_x, best_D)
    smooth_D = _interpolated(x_F, mean_DF, x_D)
    loss_D = np.where(known_D, smooth_D, least_D)
    low_D = np.where(known_D, np.fmin(smooth_D, _extended(x_F, mean_DF, x_D)), least_D)
    most_D = np.where(known_D, np.fmax(smooth_D, _straight(x_F, mean_DF, x_D)), np.inf)
    return low_D, loss_D, most_D


def _domain(target: Located) -> tuple[float, float]:
    """Give the range of ln(rate) in which the quadratic is used: the window and its minimum."""
    assert target.fit is not None
    x_K = target.cells.x[target.fit.window]
    slack = SAME_RATE
    return float(min(x_K[0], target.x)) - slack, float(max(x_K[-1], target.x)) + slack


def _known(target: Located, x_D: Floats) -> Bools:
    """Say where a rate lies at, or between two neighbouring, rates that did not diverge."""
    x_R, usable_R = target.cells.x, target.cells.usable
    padded = np.concatenate([[False], usable_R, [False]])
    right_D = np.searchsorted(x_R, x_D)
    between_D = padded[right_D] & padded[right_D + 1]
    nearest_D = np.argmin(np.abs(x_D[:, None] - x_R), axis=1)
    at_D = (np.abs(x_D - x_R[nearest_D]) <= SAME_RATE) & usable_R[nearest_D]
    known_D: Bools = between_D | at_D
    return known_D


def _interpolated(x_F: Floats, mean_DF: Floats, x_D: Floats) -> Floats:
    """Interpolate each draw's curve at that draw's own ln(rate); linear with two points."""
    if len(x_F) < 2:
        return np.full(len(x_D), np.nan)
    from scipy.interpolate import PchipInterpolator  # seldom needed, and slow to import

    pieces_4FD = PchipInterpolator(x_F, mean_DF, axis=1).c
    piece_D = np.clip(np.searchsorted(x_F, x_D) - 1, 0, len(x_F) - 2)
    mine_4D = pieces_4FD[:, piece_D, np.arange(len(x_D))]
    step_D = x_D - x_F[piece_D]
    value_D: Floats = ((mine_4D[0] * step_D + mine_4D[1]) * step_D + mine_4D[2]) * step_D
    value_D += mine_4D[3]
    return value_D


def _straight(x_F: Floats, mean_DF: Floats, x_D: Floats) -> Floats:
    """Interpolate each draw's curve linearly at that draw's own ln(rate)."""
    if len(x_F) < 2:
        return np.full(len(x_D), np.nan)
    left_D, draw_D = np.clip(np.searchsorted(x_F, x_D) - 1, 0, len(x_F) - 2), np.arange(len(x_D))
    part_D = (x_D - x_F[left_D]) / (x_F[left_D + 1] - x_F[left_D])
    left_loss_D, right_loss_D = mean_DF[draw_D, left_D], mean_DF[draw_D, left_D + 1]
    straight_D: Floats = left_loss_D + part_D * (right_loss_D - left_loss_D)
    return straight_D


def _extended(x_F: Floats, mean_DF: Floats, x_D: Floats) -> Floats:
    """Extend the straight lines beside each gap into it: a curve that bends upwards lies above."""
    last = len(x_F) - 1
    if last < 2:
        return np.full(len(x_D), np.nan)
    left_D, draw_D = np.clip(np.searchsorted(x_F, x_D) - 1, 0, last - 1), np.arange(len(x_D))
    lines = []
    for first_D in (left_D - 1, left_D + 1):
        there_D = (first_D >= 0) & (first_D < last)
        start_D = np.clip(first_D, 0, last - 1)
        at_D, next_D = mean_DF[draw_D, start_D], mean_DF[draw_D, start_D + 1]
        slope_D = (next_D - at_D) / (x_F[start_D + 1] - x_F[start_D])
        lines.append(np.where(there_D, at_D + slope_D * (x_D - x_F[start_D]), np.nan))
    extended_D: Floats = np.fmax(*lines)
    return extended_D


def _least(target: Located, x_D: Floats, mean_DR: Floats, best_x: float, best_D: Floats) -> Floats:
    """Give the last known loss between the optimum and each rate: losses rise on the way."""
    cells = target.cells
    x_R, floor_R = cells.x, cells.floor
    last_D = best_D.copy()
    for index in np.argsort(np.abs(x_R - best_x), kind="stable"):
        up = x_R[index] >= best_x
        passed_D = x_D >= x_R[index] - SAME_RATE if up else x_D <= x_R[index] + SAME_RATE
        if cells.usable[index]:
            last_D = np.where(passed_D, mean_DR[:, index], last_D)
        elif np.isfinite(floor_R[index]):
            last_D = np.where(passed_D, floor_R[index], last_D)
    return last_D


def estimate_regret(
    source: Located,
    target: Located,
    drawn: tuple[Drawn, Drawn] | None,
    no_interval: str | None,
    words: Words,
    *,
    skewed: bool = False,
) -> Estimate:
    """Estimate the regret at `target` of the best rate at `source`, with one-sided bounds.

    Args:
        source: The smallest width; it needs a fit.
        target: The largest width; it needs a fit, or a minimum on the edge.
        drawn: Draws of both, or None where there are none.
        no_interval: Why there are no draws.
        words: How to name widths and rates.
        skewed: Whether curves are so skewed that the parabola's word is not enough: the interval
            then holds what interpolation between the tried rates says, too.
    """
    if source.fit is None:
        return Estimate(undetermined=source.undetermined)
    if target.fit is None and target.edge is None:
        return Estimate(undetermined=target.undetermined)
    coefficients = None if target.fit is None else target.fit.coefficients[None]
    here = carried(target, np.array([source.x]), target.cells.mean[None], coefficients)
    known = bool(np.isfinite(here.upper[0]))
    unknown = None if known else _unknown(target, source.x, words)
    reason = target.undetermined or unknown
    value = float(here.value[0]) if reason is None else None
    if drawn is None:
        both = "; ".join(text for text in (reason, no_interval) if text)
        return Estimate(value, undetermined=both)
    source_drawn, target_drawn = drawn
    assert source_drawn.x is not None
    cost = carried(target, source_drawn.x, target_drawn.mean, target_drawn.coefficients)
    # The same draws with the source's optimum moved onto the target's: no drift.
    at = target.x if target.fit is not None else float(target.cells.x[target.argmin or 0])
    still = carried(
        target,
        source_drawn.x - source.x + at,
        target_drawn.mean,
        target_drawn.coefficients,
    )
    exceeds = here.lower[0] > np.quantile(still.value, UPPER)
    low = float(np.quantile(cost.lower, LOWER)) if exceeds else 0.0
    high = float(np.quantile(cost.upper, UPPER, method="higher"))
    if skewed:
        beside = carried(target, source_drawn.x, target_drawn.mean, None)
        low = min(low, float(np.quantile(beside.lower, LOWER)))
        high = max(high, float(np.quantile(beside.upper, UPPER, method="higher")))
    if reason is None and not np.isfinite(high):
        lost_D = source_drawn.x[~np.isfinite(cost.upper)]
        reason = _unknown(target, float(np.median(lost_D)), words)
    return Estimate(value, low, high if reason is None else None, reason)


def _unknown(target: Located, x: float, words: Words) -> str:
    """Say why the loss at a carried rate is not known, and what to add."""
    cells = target.cells
    log2_lr, where = x / LN2, words.at(cells.width)
    first, last = cells.log2_lr[0], cells.log2_lr[-1]
    if not first <= log2_lr <= last:
        return (
            f"the carried rate {rate(log2_lr)} lies outside the {words.values} tried {where}, "
            f"so the regret has a lower bound only: add {words.values} up to it"
        )
    carried_rate, diverged_R = rate(log2_lr), cells.log2_lr[~cells.usable]
    beside = float(diverged_R[np.argmin(np.abs(diverged_R - log2_lr))])
    return (
        f"the carried rate {carried_rate} is at or next to {rate(beside)}, which diverged {where}, "
        f"so the regret has a lower bound only: add {words.values} in between"
    )


def grid_regret(source: Located, target: Located, words: Words) -> Estimate:
    """Give the regret between grid points: the smallest width's best rate at the largest."""
    if source.argmin is None or target.argmin is None:
        missing = source if source.argmin is None else target
        return Estimate(undetermined=missing.undetermined)
    cells, log2_lr = target.cells, source.cells.log2_lr[source.argmin]
    same = np.flatnonzero(np.abs(cells.log2_lr - log2_lr) < SAME_RATE)
    where = words.at(cells.width)
    if not len(same):
        return Estimate(undetermined=f"{rate(log2_lr)} was not tried {where}: add it")
    best = float(cells.mean[target.argmin])
    if not cells.usable[same[0]]:
        floor = float(cells.floor[same[0]])
        low = max(floor - best, 0.0) if np.isfinite(floor) else None
        reason = f"{rate(log2_lr)} diverged {where}"
        return Estimate(None, low, None, f"{reason}: only a lower bound can be known")
    return Estimate(float(cells.mean[same[0]]) - best)


def share_of(regret: Estimate, target: Located, words: Words) -> Estimate:
    """Give a regret as a share of the best loss at the target."""
    best = _best_loss(target)
    if best is not None and best > 0:
        return regret.times(1 / best)
    return Estimate(
        undetermined=regret.undetermined
        or f"the loss is not positive {words.at(target.cells.width)}, so a share of it has no "
        "meaning: analyze a positive loss"
    )


def _best_loss(target: Located) -> float | None:
    """Give the best loss at the largest width; on the edge, the grid's is an upper bound."""
    if target.fit is not None:
        return target.loss
    if target.argmin is None:
        return None
    return float(target.cells.mean[target.argmin])
