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
from mutransfer.analysis.curves.one_seed import (
    ONE_SEED,
    few_rates_reason,
    noise_of_curves,
    with_seed_shift,
)
from mutransfer.analysis.format import AxisNames, format_share, format_value
from mutransfer.analysis.intervals import MAX_BAD_SHARE
from mutransfer.analysis.results import Results
from mutransfer.analysis.types.estimates import Floats
from mutransfer.errors import listed

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
        no_loss_interval: Why the noise of best losses could not be estimated although that of best
            rates could, or None.
    """

    name: str
    curves: tuple[CurveFit, ...]
    noise: Noise | None
    draws: tuple[CurveDraws, ...]
    no_interval: str | None
    no_loss_interval: str | None = None

    @property
    def is_of_means(self) -> bool:
        """Whether the noise is that of a table's standard errors."""
        return self.noise is not None and self.noise.source == "means"

    @property
    def is_of_one_seed(self) -> bool:
        """Whether the noise is what parabolas leave of the curves, since no seed was repeated."""
        return self.noise is not None and self.noise.source == "curves"


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
    noise, no_loss_interval = _noise(curves, settings.axes)
    if noise is None:
        reason = f"{_no_noise_reason(curves)}{FINISH if is_incomplete else ''}"
        if all(curve.quadratic is None for curve in curves):
            reason = curves[0].undetermined or reason
        return FittedGroup(name, curves, None, (), reason, reason)
    # The seed contains the group's name. So draws do not depend on which other groups there are,
    # and the noise of two groups does not cancel in their difference, R(∞).
    rng = np.random.default_rng([settings.seed, *name.encode(errors="replace")])
    within_D, seed_D = noise.draw_deviations(rng, settings.draws)
    draws = []
    for curve in curves:
        shift_DS = seed_D[:, None] * rng.standard_normal((len(seed_D), len(curve.grid.seeds)))
        draws.append(draw_curve(curve, rng, within_D, shift_DS))
    return FittedGroup(name, curves, noise, tuple(draws), None, no_loss_interval)


def _noise(curves: Sequence[CurveFit], axes: AxisNames) -> tuple[Noise | None, str | None]:
    """Return the noise, and why it is not that of the best losses, or None."""
    noise = estimate_noise(curves) or noise_of_means(curves)
    if noise is not None:
        return noise, None
    noise = noise_of_curves(curves)
    return (None, None) if noise is None else with_seed_shift(noise, curves, axes)


def _no_noise_reason(curves: Sequence[CurveFit]) -> str:
    """Return why the noise could not be estimated, and what to add."""
    is_one_seed = max(curve.grid.finite.sum(axis=1).max() for curve in curves) < 2
    cause = "one seed" if is_one_seed else "no two seeds ran the same rates near an optimum"
    return f"{cause}, and {few_rates_reason(curves)}"


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


def one_seed_notes(groups: Sequence[FittedGroup]) -> list[str]:
    """Return a sentence on the groups whose noise is not that of repeated seeds."""
    names = [group.name for group in groups if group.is_of_one_seed]
    if not names:
        return []
    has_losses = all(group.no_loss_interval is None for group in groups if group.is_of_one_seed)
    losses = "" if has_losses else ", and the best losses of single sizes have none"
    prefix = "" if len(names) == len(groups) else f"{listed(names)}: "
    return [f"{prefix}{ONE_SEED}, which makes intervals longer{losses}: add seeds"]


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
