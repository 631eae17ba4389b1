"""Fitted groups: the loss curves of one group with their fits and bootstrap draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from mutransfer.analysis.curves.divergence import screen_runs
from mutransfer.analysis.curves.fit import CurveFit, fit_curve
from mutransfer.analysis.curves.grid import LossGrid, loss_grids
from mutransfer.analysis.curves.lengths import differing_length
from mutransfer.analysis.curves.noise import (
    CurveDraws,
    Noise,
    draw_curve,
    estimate_noise,
    noise_of_means,
)
from mutransfer.analysis.format import AxisNames, format_share, format_value
from mutransfer.analysis.intervals import MAX_BAD_SHARE
from mutransfer.analysis.results import Results
from mutransfer.analysis.types.estimates import Floats

FINISH = ", or finish the runs that ended early"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of an analysis, as `analyze` documents them."""

    axes: AxisNames
    group_by: tuple[str, ...]
    window: float
    draws: int
    seed: int


@dataclass(frozen=True, slots=True)
class FittedGroup:
    """One group with its fitted curves and their draws.

    Args:
        name: The group.
        curves: One per width, ascending.
        noise: The estimated noise, or None.
        draws: One set of draws per width; empty without an estimate of the noise.
        no_interval: Why the noise could not be estimated, or None.
        is_of_means: Whether the noise is that of a table's standard errors.
    """

    name: str
    curves: tuple[CurveFit, ...]
    noise: Noise | None
    draws: tuple[CurveDraws, ...]
    no_interval: str | None
    is_of_means: bool = False


def fitted_groups(results: Results, settings: Settings) -> Mapping[str, FittedGroup]:
    """Sort results into groups and fit each of them."""
    grids = loss_grids(results, settings.axes, settings.group_by)
    return {name: _fit_group(name, group, settings) for name, group in grids.items()}


def _fit_group(name: str, grids: Sequence[LossGrid], settings: Settings) -> FittedGroup:
    """Fit every width's curve and draw from the noise around it."""
    grids = screen_runs(grids, settings.axes, settings.window)
    curves = tuple(fit_curve(grid, settings.axes, settings.window) for grid in grids)
    if all(curve.quadratic is None and _has_maximum(curve.grid) for curve in curves):
        reason = (
            f"the losses have a maximum instead of a minimum at every {settings.axes.scale}: "
            "if they are a score, such as an accuracy, map an error instead, such as 1 - accuracy"
        )
        curves = tuple(replace(curve, undetermined=reason) for curve in curves)
    is_incomplete = any(grid.short_runs for grid in grids)
    curves = tuple(_with_short_runs(curve) if curve.grid.short_runs else curve for curve in curves)
    repeated = estimate_noise(curves)
    noise = repeated or noise_of_means(curves)
    if noise is None:
        is_one_seed = max(grid.finite.sum(axis=1).max() for grid in grids) < 2
        cause = "one seed" if is_one_seed else "no two seeds ran the same rates near an optimum"
        reason = f"{cause}: add seeds to get an interval{FINISH if is_incomplete else ''}"
        if all(curve.quadratic is None for curve in curves):
            reason = curves[0].undetermined or reason
        return FittedGroup(name, curves, None, (), reason)
    # The seed contains the group's name. So draws do not depend on which other groups there are,
    # and the noise of two groups does not cancel in their difference, R(∞).
    rng = np.random.default_rng([settings.seed, *name.encode(errors="replace")])
    within_D, seed_D = noise.draw_deviations(rng, settings.draws)
    draws = []
    for curve in curves:
        shift_DS = seed_D[:, None] * rng.standard_normal((len(seed_D), len(curve.grid.seeds)))
        draws.append(draw_curve(curve, rng, within_D, shift_DS))
    return FittedGroup(name, curves, noise, tuple(draws), None, is_of_means=repeated is None)


def _with_short_runs(curve: CurveFit) -> CurveFit:
    """Return a curve that lacks runs which ended early, with the advice to finish them."""
    reason = curve.undetermined
    return curve if reason is None else replace(curve, undetermined=f"{reason}{FINISH}")


def run_notes(groups: Mapping[str, FittedGroup], axes: AxisNames) -> list[str]:
    """Return sentences on the runs that are no part of the curves, and on unequal groups."""
    notes = [
        f"{name}: {note}" if len(groups) > 1 else note
        for name, group in groups.items()
        for curve in group.curves
        for note in curve.grid.notes
    ]
    return notes + [text for pair in pairwise(groups.values()) if (text := _unequal(*pair, axes))]


def _unequal(a: FittedGroup, b: FittedGroup, axes: AxisNames) -> str | None:
    """Return a sentence on the largest width at which two groups trained for different lengths."""
    others = {curve.grid.sizes: curve.grid.lengths for curve in b.curves}
    for grid in (curve.grid for curve in reversed(a.curves)):
        other = others.get(grid.sizes, {})
        if column := differing_length(grid.lengths, other):
            ends = format_value(grid.lengths[column]), format_value(other[column])
            return (
                f"{a.name} and {b.name} trained for different lengths, {column} {ends[0]} and "
                f"{ends[1]} {axes.at(*grid.sizes)}, so the difference of their losses is no "
                "effect of the group alone"
            )
    return None


def _has_maximum(grid: LossGrid) -> bool:
    """Return whether the losses rise to a maximum inside the grid and are lowest at an end."""
    loss_F = grid.mean[grid.usable]
    if len(loss_F) < 3 or 0 < np.argmin(loss_F) < len(loss_F) - 1:
        return False
    # On the plateau of rates that are too large, noise has maxima too, but small ones [assumed].
    return bool(loss_F.max() - max(loss_F[0], loss_F[-1]) > 0.05 * np.ptp(loss_F))


def unstable_reason(curve: CurveFit, draws: CurveDraws, axes: AxisNames) -> str | None:
    """Return why the draws of a width give no interval, or None."""
    if draws.unstable_share <= MAX_BAD_SHARE:
        return None
    return (
        f"the noise hides the minimum {axes.at(*curve.grid.sizes)} in "
        f"{format_share(draws.unstable_share)} of the draws: "
        f"add seeds, or {axes.rates} further from the best"
    )


def no_draws_reason(group: FittedGroup, indices: Sequence[int], axes: AxisNames) -> str | None:
    """Return why there is no interval at these widths, the first reason if several, or None."""
    if group.no_interval:
        return group.no_interval
    reasons = (unstable_reason(group.curves[k], group.draws[k], axes) for k in indices)
    return next((reason for reason in reasons if reason), None)


def optimum_samples(group: FittedGroup, index: int) -> tuple[Floats, Floats, Floats]:
    """Return samples of ln of the best rate, the loss there and the curvature.

    The width must have a fit. The curvature is not positive where a draw has no minimum.
    """
    quadratic = group.curves[index].quadratic
    assert quadratic is not None
    x, loss, curvature = [quadratic.optimum], [quadratic.best_loss], [quadratic.curvature]
    if not group.draws:
        return np.array(x), np.array(loss), np.array(curvature)
    draws = group.draws[index]
    return (
        np.concatenate([x, draws.x]),
        np.concatenate([loss, draws.loss]),
        np.concatenate([curvature, 2 * draws.coefficients[:, 2]]),
    )
