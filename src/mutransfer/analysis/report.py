"""This file is the analysis of results: `analyze`, from trials to verdicts."""

from __future__ import annotations

from collections.abc import Sequence

from mutransfer.analysis.compare import compare
from mutransfer.analysis.grid import cells_by_group
from mutransfer.analysis.results import Results
from mutransfer.analysis.transfer import fit_group, report_group
from mutransfer.analysis.types import Report
from mutransfer.analysis.wording import Words
from mutransfer.errors import ResultsError

MIN_DRAWS = 1000  # below, the ends of a 90 % interval are noise themselves [DESIGN section 9]


def analyze(
    results: Results,
    *,
    scale: str | None = None,
    hyperparameter: str | None = None,
    group_by: str | Sequence[str] | None = None,
    threshold: float | None = None,
    draws: int = 2000,
    seed: int = 0,
) -> Report:
    """Decide, group by group, whether the best rate transfers over widths.

    The optimum of a width is that of a quadratic fitted near the grid's best rate; intervals
    come from refitting noisy copies of it. `docs/numbers.md` defines every number.

    Args:
        results: The trials.
        scale: The column that grows; the study's, else 'width'.
        hyperparameter: The column that is tuned; the study's, else 'lr'.
        group_by: The columns that make groups; the study's, else 'parametrization' if it is one.
        threshold: Regret that still transfers, share of the best loss; the study's, else 0.01.
        draws: Draws behind each interval, 1,000 or more.
        seed: Seed of these draws.

    Returns:
        A report that maps each group's name to its `GroupReport`.

    Raises:
        ResultsError: A column is missing or no positive number, or two trials are one point.

    Source:
        The regret and the grid's criterion: arXiv:2404.05728.

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
    given = results.defaults
    words = Words(scale or given.scale, hyperparameter or given.hyperparameter)
    share = given.threshold if threshold is None else threshold
    _check_settings(share, draws)
    return _report(results, words, _columns(results, group_by), share, draws, seed)


def _report(
    results: Results,
    words: Words,
    columns: tuple[str, ...],
    threshold: float,
    draws: int,
    seed: int,
) -> Report:
    """Fit every group, judge it, and compare the groups."""
    tables = cells_by_group(
        results, scale=words.scale, hyperparameter=words.hyperparameter, group_by=columns
    )
    fitted = {
        name: fit_group(name, cells, words=words, draws=draws, seed=seed)
        for name, cells in tables.items()
    }
    return Report(
        groups={
            name: report_group(group, threshold=threshold, words=words)
            for name, group in fitted.items()
        },
        threshold=threshold,
        scale=words.scale,
        hyperparameter=words.hyperparameter,
        group_by=columns,
        comparisons=compare(fitted, words=words, draws=draws, seed=seed),
        draws=draws,
        seed=seed,
    )


def _check_settings(threshold: float, draws: int) -> None:
    """Refuse a threshold that is no share, and too few draws."""
    if not 0 < threshold < 1:
        raise ResultsError(
            f"the threshold is {threshold:g}",
            why="it is a share of the loss: 0.01 lets the carried rate cost one percent",
            fix="threshold=0.01",
        )
    if draws < MIN_DRAWS:
        raise ResultsError(
            f"draws={draws} is fewer than {MIN_DRAWS}",
            why="the ends of the intervals would change from seed to seed",
            fix=f"draws={MIN_DRAWS}",
        )


def _columns(results: Results, group_by: str | Sequence[str] | None) -> tuple[str, ...]:
    """Choose the columns that make groups: as asked, else those of the study that exist."""
    if isinstance(group_by, str):
        return (group_by,)
    if group_by is not None:
        return tuple(group_by)
    return tuple(name for name in results.defaults.group_by if name in results.axes)
