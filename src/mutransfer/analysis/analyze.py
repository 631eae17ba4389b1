"""Transfer analysis: `analyze`, from trials to verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import overload

from mutransfer.analysis.comparison.compare import compare
from mutransfer.analysis.curves.fit import WINDOW
from mutransfer.analysis.curves.group import FittedGroup, Settings, fitted_groups, run_notes
from mutransfer.analysis.curves.spread import spread_notes
from mutransfer.analysis.format import AxisNames
from mutransfer.analysis.results import Results
from mutransfer.analysis.rounding import merge_near_values
from mutransfer.analysis.scales.analyze import scales_groups
from mutransfer.analysis.transfer.asymptotic_gap import asymptotic_gaps
from mutransfer.analysis.transfer.group_report import group_report
from mutransfer.analysis.transfer.optima import fit_optima
from mutransfer.analysis.types.report import Report
from mutransfer.analysis.types.scales import ScalesReport
from mutransfer.errors import ResultsError

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


def analyze(
    results: Results,
    *,
    scale: str | list[str] | tuple[str, ...] | None = None,
    hyperparameter: str | None = None,
    group_by: str | Sequence[str] | None = None,
    threshold: float | None = None,
    reference: str | None = None,
    window: float = WINDOW,
    draws: int = 1000,
    seed: int = 0,
) -> Report | ScalesReport:
    """Decide for every group whether the best rate transfers over widths.

    The optimum of a width is that of a quadratic fitted near the grid's best rate. Intervals
    come from a parametric bootstrap around this fit. `docs/numbers.md` defines every number.

    Args:
        results: The trials.
        scale: The column of sizes; by default that of the study, else 'width'. A list of several,
            such as `["width", "tokens", "batch"]`, gives the exponents of rate and loss in each,
            and a verdict along each with the others fixed.
        hyperparameter: The tuned column; by default that of the study, else 'lr'.
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
        `ScalesReport` that maps it to its `ScalesGroupReport`.

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
    settings = analysis_settings(results, scale, hyperparameter, group_by, window, draws, seed)
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
    return merge_near_values(results, dict.fromkeys((*axes.scales, *settings.group_by)))


def noise_notes(results: Results, groups: Iterable[FittedGroup]) -> list[str]:
    """Return sentences on the standard errors of a table of means."""
    fitted = list(groups)
    return spread_notes(
        results,
        is_used=any(group.is_of_means for group in fitted),
        has_noise=all(group.noise is not None for group in fitted),
    )


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
    first, *further = (scale,) if isinstance(scale, str) else scale or (study.scale,)
    axes = AxisNames(first, hyperparameter or study.hyperparameter, tuple(further))
    return Settings(axes, columns, window, draws, seed)
