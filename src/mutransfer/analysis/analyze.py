"""Transfer analysis: `analyze`, from trials to verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import overload

from mutransfer.analysis.comparison.compare import compare
from mutransfer.analysis.curves.fit import WINDOW
from mutransfer.analysis.curves.group import (
    FittedGroup,
    Settings,
    fitted_groups,
    one_seed_notes,
    run_notes,
)
from mutransfer.analysis.curves.spread import spread_notes
from mutransfer.analysis.format import AxisNames
from mutransfer.analysis.results import Results
from mutransfer.analysis.rounding import merge_near_values
from mutransfer.analysis.scales.analyze import scales_groups
from mutransfer.analysis.transfer.asymptotic_gap import asymptotic_gaps
from mutransfer.analysis.transfer.group_report import group_report
from mutransfer.analysis.transfer.optima import fit_optima
from mutransfer.analysis.tuning.analyze import analyze_points
from mutransfer.analysis.tuning.columns import TuningColumns
from mutransfer.analysis.tuning.samples import random_points_note
from mutransfer.analysis.tuning.types import TuningReport
from mutransfer.analysis.types.report import Report
from mutransfer.analysis.types.scales import ScalesReport
from mutransfer.errors import ResultsError, listed

# With fewer, the ends of a 90 % interval vary from seed to seed. [derived: docs/numbers.md]
MIN_DRAWS = 1000


@overload
def analyze(
    results: Results,
    *,
    scale: str | None = None,
    hyperparameter: str | None = None,
    group_by: str | Sequence[str] | None = None,
    threshold: float | None = None,
    reference: str | None = None,
    window: float = WINDOW,
    draws: int = 1000,
    seed: int = 0,
) -> Report: ...


@overload
def analyze(
    results: Results,
    *,
    scale: list[str] | tuple[str, ...],
    hyperparameter: str | None = None,
    group_by: str | Sequence[str] | None = None,
    threshold: float | None = None,
    window: float = WINDOW,
    draws: int = 1000,
    seed: int = 0,
) -> ScalesReport: ...


@overload
def analyze(
    results: Results,
    *,
    scale: str | None = None,
    hyperparameter: list[str] | tuple[str, ...],
    group_by: str | Sequence[str] | None = None,
    threshold: float | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Report | TuningReport: ...


def analyze(
    results: Results,
    *,
    scale: str | list[str] | tuple[str, ...] | None = None,
    hyperparameter: str | list[str] | tuple[str, ...] | None = None,
    group_by: str | Sequence[str] | None = None,
    threshold: float | None = None,
    reference: str | None = None,
    window: float = WINDOW,
    draws: int = 1000,
    seed: int = 0,
) -> Report | ScalesReport | TuningReport:
    """Decide for every group whether the best rate transfers over widths.

    The optimum of a width is that of a quadratic fitted near the grid's best rate. Intervals
    come from a parametric bootstrap around this fit. `docs/numbers.md` defines every number.

    Args:
        results: The trials.
        scale: The column of sizes; by default that of the study, else 'width'. A list of several,
            such as `["width", "tokens", "batch"]`, gives the exponents of rate and loss in each,
            and a verdict along each with the others fixed.
        hyperparameter: The tuned column; by default that of the study, else 'lr'. A list of
            several, such as `["lr", "init_std"]`, gives the best point of all of them together.
        group_by: The columns that make groups; by default those of the study, else
            'parametrization' if there is such a column.
        threshold: Regret that still counts as transfer, as a share of the best loss; by default
            that of the study, else 0.01.
        reference: The group that R(∞) is measured from; by default the lower envelope of all.
        window: Half-width, in ln(rate), of the range of rates that a parabola is fitted to.
        draws: Draws behind each interval, 1,000 or more.
        seed: Seed of these draws.

    Returns:
        A report that maps each group's name to its `GroupReport`; with a list of scales, a
        `ScalesReport` that maps it to its `ScalesGroupReport`; with several hyperparameters, a
        `TuningReport` that maps it to its `TunedGroup`.

    Raises:
        ResultsError: A column is missing, a width or rate is not a positive number, two trials
            share a point, or an argument is out of range.

    Source:
        The regret and the grid's criterion: arXiv:2404.05728. κ, E, R(∞): arXiv:2605.21486.
        Fast transfer: arXiv:2512.22768. Sensitivity to the rate: arXiv:2309.14322.

    Example:
        >>> trials = [
        ...     (width, 2.0**k, seed, 3.0 + 0.05 * (k + 6) ** 2 + 0.001 * (seed * k % 3))
        ...     for width in (64, 128, 256)
        ...     for k in range(-9, -2)
        ...     for seed in (0, 1, 2)
        ... ]
        >>> names = ("width", "lr", "seed", "loss")
        >>> results = Results.from_columns(dict(zip(names, map(list, zip(*trials)))))
        >>> report = analyze(results)
        >>> report["all"].verdict
        'transfers'
        >>> report["all"].paper_criterion
        True
    """
    threshold = checked_threshold(results, threshold)
    names = hyperparameter_names(results, hyperparameter)
    if scale is None and len(results.defaults.scales) > 1:
        scales = list(results.defaults.scales)
        raise ResultsError(
            f"the study {results.provenance.source} has {len(scales)} scales: {listed(scales)}",
            why="a report over several scales is another object than that over one",
            fix=f"name them: scale={scales}, or one of them: scale={scales[0]!r}",
        )
    settings = analysis_settings(results, scale, names[0], group_by, window, draws, seed)
    if len(names) > 1:
        check_one_scale(settings.axes.scales, names)
        columns = TuningColumns(settings.axes.scale, names, settings.group_by)
        return analyze_points(results, columns, threshold=threshold, draws=draws, seed=seed)
    results = placed_runs(results, settings)
    if isinstance(scale, list | tuple):
        return _scales_report(results, settings, threshold)
    return _report(results, settings, threshold, reference)


def checked_threshold(results: Results, threshold: float | None) -> float:
    """Return the threshold, that of the study if it is None; raise for an invalid one."""
    if threshold is None:
        threshold = results.defaults.threshold
    if 0 < threshold < 1:
        return threshold
    raise ResultsError(
        f"the threshold is {threshold:g}",
        why="it is a share of the loss: 0.01 allows the carried rate to cost one percent",
        fix="--threshold 0.01 (in Python: threshold=0.01)",
    )


def _report(
    results: Results, settings: Settings, threshold: float, reference: str | None
) -> Report:
    """Report every group over one scale."""
    axes, draws, seed = settings.axes, settings.draws, settings.seed
    groups = fitted_groups(results, settings)
    optima = {name: fit_optima(group, axes) for name, group in groups.items()}
    reference_title, gaps = asymptotic_gaps(optima, reference, axes)
    unit = results.loss_unit
    return Report(
        groups={
            name: group_report(
                group, optima[name], threshold=threshold, gap=gaps[name], axes=axes, loss_unit=unit
            )
            for name, group in groups.items()
        },
        threshold=threshold,
        scale=axes.scale,
        hyperparameter=axes.hyperparameter,
        group_by=settings.group_by,
        comparisons=compare(groups, axes=axes, draws=draws, seed=seed),
        reference=reference_title,
        window=settings.window,
        notes=(*results.notes, *run_notes(groups, axes), *noise_notes(results, groups.values())),
        draws=draws,
        seed=seed,
        loss_unit=unit,
    )


def hyperparameter_names(
    results: Results, hyperparameter: str | Sequence[str] | None
) -> tuple[str, ...]:
    """Return the tuned columns: those that are named, else those of the study."""
    names = hyperparameter or results.defaults.hyperparameter
    return (names,) if isinstance(names, str) else tuple(names)


def check_one_scale(scales: Sequence[str], names: Sequence[str]) -> str:
    """Return the only scale; raise where several hyperparameters have several scales."""
    if len(scales) == 1:
        return scales[0]
    raise ResultsError(
        f"{listed(scales)} are scales, and {listed(names)} are tuned",
        why="a best point of several hyperparameters is followed along one scale",
        fix=f"--scale {scales[0]}, or --hyperparameter {names[0]} (in Python: "
        f'scale="{scales[0]}", or hyperparameter="{names[0]}")',
    )


def single_hyperparameter(results: Results, hyperparameter: str | Sequence[str] | None) -> str:
    """Return the only tuned column.

    Raises:
        ResultsError: The study tunes several.
    """
    first, *others = hyperparameter_names(results, hyperparameter)
    if others:
        raise ResultsError(
            f"{results.provenance.source} tunes {listed([first, *others])} together",
            why="a curve of one of them would mix the values of the others",
            fix="`mutransfer predict` without --hold-out and --compare carries the whole point; "
            f"for --hyperparameter {first} alone, runs that vary only {first}",
        )
    return first


def _scales_report(results: Results, settings: Settings, threshold: float) -> ScalesReport:
    """Report every group over several scales."""
    axes = settings.axes
    reports, groups = scales_groups(results, settings, threshold)
    return ScalesReport(
        groups=reports,
        threshold=threshold,
        scales=axes.scales,
        hyperparameter=axes.hyperparameter,
        group_by=settings.group_by,
        window=settings.window,
        notes=(*results.notes, *run_notes(groups, axes), *noise_notes(results, groups.values())),
        draws=settings.draws,
        seed=settings.seed,
        loss_unit=results.loss_unit,
    )


def placed_runs(results: Results, settings: Settings) -> Results:
    """Return the runs that have a place on a curve, with notes on the others.

    Sizes that are nearly equal count as one, and so do such values of columns that make groups.
    """
    axes = settings.axes
    if not {*axes.scales, axes.hyperparameter} <= results.axes.keys():
        return results  # the missing column becomes an error that proposes names
    results = results.having(*axes.scales, axes.hyperparameter)
    used = (*axes.scales, axes.hyperparameter, *settings.group_by)
    if note := random_points_note(results, axes.scale, axes.hyperparameter, used):
        results = replace(results, notes=(*results.notes, note))
    return merge_near_values(results, dict.fromkeys((*axes.scales, *settings.group_by)))


def noise_notes(results: Results, groups: Iterable[FittedGroup]) -> list[str]:
    """Return sentences on noise that is not that of repeated seeds."""
    fitted = list(groups)
    spread = spread_notes(
        results,
        is_used=any(group.is_of_means for group in fitted),
        has_noise=all(g.noise is not None and not g.is_of_one_seed for g in fitted),
    )
    return [*spread, *one_seed_notes(fitted)]


def analysis_settings(
    results: Results,
    scale: str | Sequence[str] | None,
    hyperparameter: str | None,
    group_by: str | Sequence[str] | None,
    window: float,
    draws: int,
    seed: int,
) -> Settings:
    """Return the settings, with the study's own for those that are None; raise for invalid ones."""
    if not 0 < window < math.inf:
        raise ResultsError(
            f"the window is {window:g}",
            why="it is the distance, in ln(rate), up to which losses count as near the best",
            fix=f"--window {WINDOW} (in Python: window={WINDOW})",
        )
    if draws < MIN_DRAWS:
        raise ResultsError(
            f"draws={draws} is fewer than {MIN_DRAWS}",
            why="the ends of the intervals would change from seed to seed",
            fix=f"draws={MIN_DRAWS}",
        )
    study = results.defaults
    if group_by is None:
        group_by = [name for name in study.group_by if name in results.axes]
    columns = (group_by,) if isinstance(group_by, str) else tuple(group_by)
    first, *further = (scale,) if isinstance(scale, str) else scale or study.scales
    axes = AxisNames(first, single_hyperparameter(results, hyperparameter), tuple(further))
    return Settings(axes, columns, window, draws, seed)
