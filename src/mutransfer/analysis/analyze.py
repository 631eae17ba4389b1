"""This file is the analysis of results: `analyze`, from trials to verdicts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mutransfer.analysis.curves.fit import WINDOW
from mutransfer.analysis.curves.group import Question, fitted_groups
from mutransfer.analysis.format import Words
from mutransfer.analysis.results import Results
from mutransfer.analysis.transfer.asymptotic_gap import asymptotic_gaps
from mutransfer.analysis.transfer.comparison import compare
from mutransfer.analysis.transfer.group_report import report_group
from mutransfer.analysis.transfer.scaling import optima
from mutransfer.analysis.types.report import Report
from mutransfer.errors import ResultsError

MIN_DRAWS = 1000  # below, the ends of a 90 % interval are noise themselves [DESIGN section 9]


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
        reference: The group that R(∞) is measured from; by default the lower envelope of all.
        window: Half-width, in ln(rate), of what the parabola of a width is fitted to.
        draws: Draws behind each interval, 1,000 or more.
        seed: Seed of these draws.

    Returns:
        A report that maps each group's name to its `GroupReport`.

    Raises:
        ResultsError: A column is missing or no positive number, or two trials are one point.

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
    share = results.defaults.threshold if threshold is None else threshold
    _check_threshold(share)
    question = asked(results, scale, hyperparameter, group_by, window, draws, seed)
    words = question.words
    if {words.scale, words.hyperparameter} <= results.axes.keys():
        results = results.having(words.scale, words.hyperparameter)  # notes what it leaves out
    return _report(results, question, share, reference)


def _report(
    results: Results, question: Question, threshold: float, reference: str | None
) -> Report:
    """Fit every group, judge it, and compare the groups."""
    words = question.words
    fitted = fitted_groups(results, question)
    found = {name: optima(group, words) for name, group in fitted.items()}
    told, gaps = asymptotic_gaps(found, reference, words)
    return Report(
        groups={
            name: report_group(group, found[name], threshold=threshold, gap=gaps[name], words=words)
            for name, group in fitted.items()
        },
        threshold=threshold,
        scale=words.scale,
        hyperparameter=words.hyperparameter,
        group_by=question.group_by,
        comparisons=compare(fitted, words=words, draws=question.draws, seed=question.seed),
        reference=told,
        window=question.window,
        notes=results.notes,
        draws=question.draws,
        seed=question.seed,
    )


def asked(
    results: Results,
    scale: str | None,
    hyperparameter: str | None,
    group_by: str | Sequence[str] | None,
    window: float,
    draws: int,
    seed: int,
) -> Question:
    """Fill in what was not asked from the study; refuse what cannot be."""
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
    given = results.defaults
    words = Words(scale or given.scale, hyperparameter or given.hyperparameter)
    return Question(words, _columns(results, group_by), window, draws, seed)


def _check_threshold(threshold: float) -> None:
    """Refuse a threshold that is no share."""
    if not 0 < threshold < 1:
        raise ResultsError(
            f"the threshold is {threshold:g}",
            why="it is a share of the loss: 0.01 lets the carried rate cost one percent",
            fix="--threshold 0.01 (in Python: threshold=0.01)",
        )


def _columns(results: Results, group_by: str | Sequence[str] | None) -> tuple[str, ...]:
    """Choose the columns that make groups: as asked, else those of the study that exist."""
    if isinstance(group_by, str):
        return (group_by,)
    if group_by is not None:
        return tuple(group_by)
    return tuple(name for name in results.defaults.group_by if name in results.axes)
