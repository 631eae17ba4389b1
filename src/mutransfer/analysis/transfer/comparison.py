"""Comparison of groups, or of whole studies, each at its own optimum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mutransfer.analysis.curves.fit import WINDOW, CurveFit
from mutransfer.analysis.curves.group import FittedGroup, Settings, fitted_groups, unstable_reason
from mutransfer.analysis.curves.noise import complete_block, draw_curve
from mutransfer.analysis.format import AxisNames
from mutransfer.analysis.intervals import central_interval
from mutransfer.analysis.results import Results
from mutransfer.analysis.types.estimates import Estimate, Floats
from mutransfer.analysis.types.report import Comparison

# Shape legend: S seeds, D draws.


def compare(
    groups: Mapping[str, FittedGroup],
    *,
    axes: AxisNames,
    draws: int,
    seed: int,
    reference: str | None = None,
) -> tuple[Comparison, ...]:
    """Compare every group with a reference at the largest width that all of them have.

    Args:
        groups: The fitted groups.
        axes: Names of the scale and of the hyperparameter.
        draws: Draws behind each interval.
        seed: Seed of these draws.
        reference: The group that the others are compared with; by default the best one.
    """
    widths = [{curve.grid.width for curve in group.curves} for group in groups.values()]
    common = set.intersection(*widths) if len(widths) > 1 else set()
    if not common:
        return ()
    width = max(common)
    if reference is None:
        lowest = {name: _curve_at(group, width).lowest_loss for name, group in groups.items()}
        losses = {name: np.inf if loss is None else loss for name, loss in lowest.items()}
        reference = min(losses, key=lambda name: losses[name])
    rng = np.random.default_rng([seed, 1])
    return tuple(
        _compare((name, reference), (groups[name], groups[reference]), width, axes, draws, rng)
        for name in groups
        if name != reference
    )


def compare_studies(
    studies: Mapping[str, Results],
    reference: str,
    *,
    scale: str = "width",
    hyperparameter: str = "lr",
    window: float = WINDOW,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, Comparison]:
    """Compare the best loss of each study with that of a reference study, each at its own rate.

    Seeds that both ran are paired, so that what they share cancels.

    Args:
        studies: Name -> the trials of one group.
        reference: Name of the study that the others are compared with.
        scale: The column of sizes.
        hyperparameter: The tuned column.
        window: Half-width, in ln(rate), of the range of rates that a parabola is fitted to.
        draws: Draws behind each interval.
        seed: Seed of these draws.

    Returns:
        The comparison of every other study at the largest width that it shares with the reference;
        a study that shares none is left out.

    Example:
        >>> def trials(best, width=64):
        ...     rates = [2.0**k for k in range(-6, 1)]
        ...     loss = [best + 0.1 * (k + 3) ** 2 for k in range(-6, 1)]
        ...     return Results.from_columns({"width": [width] * 7, "lr": rates, "loss": loss})
        >>> compared = compare_studies({"a": trials(3.0), "b": trials(3.25)}, "a")
        >>> round(compared["b"].difference.value, 6)
        0.25
        >>> compare_studies({"a": trials(3.0), "b": trials(3.25, width=32)}, "a")
        {}
    """
    axes = AxisNames(scale, hyperparameter)
    settings = Settings(axes, (), window, draws, seed)
    groups = {}
    for name, results in studies.items():
        (group,) = fitted_groups(results, settings).values()
        groups[name] = replace(group, name=name)
    compared = {}
    for name, group in groups.items():
        pair = {name: group, reference: groups[reference]}
        for comparison in compare(pair, axes=axes, draws=draws, seed=seed, reference=reference):
            compared[name] = comparison
    return compared


def _curve_at(group: FittedGroup, width: float) -> CurveFit:
    """Return the curve of a width that the group has."""
    return next(curve for curve in group.curves if curve.grid.width == width)


def _compare(
    names: tuple[str, str],
    pair: tuple[FittedGroup, FittedGroup],
    width: float,
    axes: AxisNames,
    draws: int,
    rng: np.random.Generator,
) -> Comparison:
    """Estimate the difference between two groups' best losses."""
    curves = _curve_at(pair[0], width), _curve_at(pair[1], width)

    def comparison(difference: Estimate, *, is_paired: bool = False) -> Comparison:
        return Comparison(*names, width, difference, is_paired)

    for name, curve in zip(names, curves, strict=True):
        if curve.quadratic is None:
            return comparison(Estimate(undetermined=f"{name}: {curve.undetermined}"))
    own, best = (curve.quadratic.best_loss for curve in curves if curve.quadratic is not None)
    value = own - best
    if _has_same_trials(*curves):
        return comparison(Estimate(0.0, 0.0, 0.0), is_paired=True)
    if reason := pair[0].no_interval or pair[1].no_interval:
        return comparison(Estimate(value, undetermined=reason))
    num_seeds = _num_paired_seeds(*curves)
    squares, freedom = _paired_squares(*pair) if num_seeds else (0.0, 0)
    is_paired = freedom > 0
    noises = [group.noise for group in pair if group.noise is not None]
    deviations = [noise.draw_deviations(rng, draws) for noise in noises]
    # Paired seeds share their effects, so these are drawn for the difference, below.
    zero_D = np.zeros(draws)
    drawn = [
        draw_curve(curve, rng, within_D, zero_D if is_paired else seed_D)
        for curve, (within_D, seed_D) in zip(curves, deviations, strict=True)
    ]
    for curve, curve_draws in zip(curves, drawn, strict=True):
        if reason := unstable_reason(curve, curve_draws, axes):
            return comparison(Estimate(value, undetermined=reason), is_paired=is_paired)
    difference_D = drawn[0].loss - drawn[1].loss
    if is_paired:
        parts = zip(deviations, noises, strict=True)
        within_D = sum((w_D**2 * noise.inverse_rates for (w_D, _), noise in parts), start=zero_D)
        square_D = squares / rng.chisquare(freedom, draws)
        spread_D = np.sqrt(np.maximum(square_D - within_D, 0.0) / num_seeds)
        difference_D = difference_D + spread_D * rng.standard_normal(draws)
    return comparison(central_interval(value, difference_D), is_paired=is_paired)


def _has_same_trials(a: CurveFit, b: CurveFit) -> bool:
    """Whether two curves have equal losses, as those of two groups do at a shared base width."""
    return np.array_equal(a.grid.losses, b.grid.losses, equal_nan=True)


def _num_paired_seeds(a: CurveFit, b: CurveFit) -> int:
    """Return the number of seeds if both curves have the same seeds without gaps, else 0."""
    seeds = complete_block(a).seeds
    is_paired = seeds == complete_block(b).seeds == a.grid.seeds == b.grid.seeds
    return len(seeds) if is_paired else 0


def _paired_squares(a: FittedGroup, b: FittedGroup) -> tuple[float, int]:
    """Return the sum of squares of the seeds' differences, and its degrees of freedom."""
    total, freedom = 0.0, 0
    partners = {curve.grid.width: curve for curve in b.curves if curve.quadratic is not None}
    for curve in a.curves:
        partner = partners.get(curve.grid.width)
        if curve.quadratic is None or partner is None:
            continue
        # Where the trials are shared the differences are zero and carry no information.
        if _num_paired_seeds(curve, partner) < 2 or _has_same_trials(curve, partner):
            continue
        mean_S: Floats = complete_block(curve).losses.mean(axis=0)
        difference_S = mean_S - complete_block(partner).losses.mean(axis=0)
        total += float(((difference_S - difference_S.mean()) ** 2).sum())
        freedom += len(difference_S) - 1
    return total, freedom
