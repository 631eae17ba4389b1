"""Comparison of groups, or of whole studies, each at its own optimum."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from mutransfer.analysis.comparison.metrics import metric_differences
from mutransfer.analysis.comparison.pairs import Pair, draw_pair, has_same_trials
from mutransfer.analysis.curves.fit import WINDOW, CurveFit
from mutransfer.analysis.curves.group import FittedGroup, Settings, fitted_groups, unstable_reason
from mutransfer.analysis.format import AxisNames
from mutransfer.analysis.intervals import central_interval
from mutransfer.analysis.results import Results
from mutransfer.analysis.types.estimates import Estimate
from mutransfer.analysis.types.report import Comparison


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
    return tuple(
        _compare((group, groups[reference]), width, axes, draws, seed)
        for name, group in groups.items()
        if name != reference
    )


def compare_groups(
    results: Results,
    pairs: Iterable[tuple[str, str]],
    *,
    group_by: Sequence[str] = ("parametrization",),
    scale: str = "width",
    hyperparameter: str = "lr",
    window: float = WINDOW,
    draws: int = 1000,
    seed: int = 0,
) -> dict[tuple[str, str], Comparison]:
    """Compare pairs of groups: their best losses, and their E, κ and R(∞).

    Args:
        results: The trials of all groups.
        pairs: Names of the groups, as in a report, each with its reference.
        group_by: The columns that make groups.
        scale: The column of sizes.
        hyperparameter: The tuned column.
        window: Half-width, in ln(rate), of the range of rates that a parabola is fitted to.
        draws: Draws behind each interval.
        seed: Seed of these draws.

    Returns:
        The comparison of each pair, at the largest width that its groups share; a pair without such
        a width, or with a group that does not exist, is left out.

    Example:
        >>> columns = {"width": [], "lr": [], "loss": [], "parametrization": []}
        >>> for name, best in (("sp", 3.25), ("mup", 3.0)):
        ...     columns["width"] += [64] * 7
        ...     columns["lr"] += [2.0**k for k in range(-6, 1)]
        ...     columns["loss"] += [best + 0.1 * (k + 3) ** 2 for k in range(-6, 1)]
        ...     columns["parametrization"] += [name] * 7
        >>> compared = compare_groups(Results.from_columns(columns), [("sp", "mup"), ("sp", "ntk")])
        >>> [(pair, round(c.difference.value, 6)) for pair, c in compared.items()]
        [(('sp', 'mup'), 0.25)]
    """
    axes = AxisNames(scale, hyperparameter)
    groups = fitted_groups(results, Settings(axes, tuple(group_by), window, draws, seed))
    compared = {}
    for name, reference in pairs:
        if name in groups and reference in groups:
            pair = {name: groups[name], reference: groups[reference]}
            for comparison in compare(pair, axes=axes, draws=draws, seed=seed, reference=reference):
                compared[name, reference] = comparison
    return compared


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
    groups: tuple[FittedGroup, FittedGroup], width: float, axes: AxisNames, draws: int, seed: int
) -> Comparison:
    """Compare a group with its reference: the best losses at a width, and the metrics."""
    names = groups[0].name, groups[1].name
    rng = np.random.default_rng([seed, *"\n".join(names).encode(errors="replace")])
    pair = draw_pair(*groups, rng, draws)
    return Comparison(
        *names,
        width,
        _loss_difference(groups, pair, width, axes),
        pair.is_paired or has_same_trials(*(_curve_at(group, width) for group in groups)),
        metric_differences(pair, axes),
    )


def _loss_difference(
    groups: tuple[FittedGroup, FittedGroup], pair: Pair, width: float, axes: AxisNames
) -> Estimate:
    """Estimate the difference between two groups' best losses at a width."""
    for group in groups:
        if reason := _curve_at(group, width).undetermined:
            return Estimate(undetermined=f"{group.name}: {reason}")
    index = [curve.grid.width for curve in pair.groups[0].curves].index(width)
    curves = [group.curves[index] for group in pair.groups]
    own, best = (curve.quadratic.best_loss for curve in curves if curve.quadratic is not None)
    if has_same_trials(*curves):
        return Estimate(0.0, 0.0, 0.0)
    if reason := pair.groups[0].no_loss_interval or pair.groups[1].no_loss_interval:
        return Estimate(own - best, undetermined=reason)
    drawn = [group.draws[index] for group in pair.groups]
    for curve, curve_draws in zip(curves, drawn, strict=True):
        if reason := unstable_reason(curve, curve_draws, axes):
            return Estimate(own - best, undetermined=reason)
    return central_interval(own - best, drawn[0].loss - drawn[1].loss)
