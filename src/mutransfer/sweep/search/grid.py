"""The trials of a study: one per point of its grid, or per point and random sample."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mutransfer.errors import StudyError, listed, nearest
from mutransfer.records import (
    CallableRunner,
    CommandRunner,
    LabRunner,
    StudySpec,
    TrialSpec,
)
from mutransfer.records.axes import spellings
from mutransfer.records.trial import AxisValue
from mutransfer.sweep.search.random import random_points


def grid_trials(
    study: StudySpec, runner: LabRunner | CommandRunner | CallableRunner
) -> list[TrialSpec]:
    """Return the trials of a study, one per point of its grid, or per point and random sample.

    Example:
        >>> study = StudySpec.model_validate_json(
        ...     '{"schema": 1, "study": {"name": "s"}, "axes": {"width": [8, 16], "lr": [1, 2]}}'
        ... )
        >>> [trial.axes for trial in grid_trials(study, CallableRunner(name="f"))][:2]
        [{'width': 8, 'lr': 1}, {'width': 8, 'lr': 2}]
    """
    points = study_points(study)
    if study.runner is None or not isinstance(runner, CommandRunner):
        return [TrialSpec(runner=runner, axes=point) for point in points]
    # Trials with the same texts share a runner, whose part of the identity is computed once.
    runners: dict[tuple[str, ...], CommandRunner] = {}
    trials = []
    for point in points:
        texts = study.runner.texts_at(point)
        own = runners.setdefault(
            tuple(texts.values()),
            CommandRunner(command=runner.command, derived=runner.derived, arguments=texts),
        )
        trials.append(TrialSpec(runner=own, axes=point))
    return trials


def study_points(study: StudySpec) -> list[dict[str, AxisValue]]:
    """Return the values of every trial; random points are the same at every point of the grid.

    Those of a bracket are all that it may choose from.
    """
    if study.search.strategy == "bracket":
        name = str(study.analysis.hyperparameter)
        first, *_ = axis = study.axes[name]
        points = (point for point in study.points if point[name] == first)
        rates = lattice([float(rate) for rate in axis])
        return [{**point, name: rate} for point in points for rate in rates]
    if study.search.strategy == "grid":
        return list(study.points)
    samples = random_points(study.search)
    return [{**point, **sample} for point in study.points for sample in samples]


def lattice(rates: Sequence[float]) -> list[float]:
    """Return the rates of an axis, after and before as many further ones at the same steps.

    Example:
        >>> lattice([0.25, 0.5])
        [0.0625, 0.125, 0.25, 0.5, 1.0, 2.0]
        >>> lattice([0.001, 0.01])
        [1e-05, 0.0001, 0.001, 0.01, 0.1, 1.0]
    """
    count = len(rates)
    log2_first = math.log2(rates[0])
    step = (math.log2(rates[-1]) - log2_first) / (count - 1)

    def rate(number: int) -> float:
        return float(2.0 ** round(log2_first + number * step, 9))

    # A trial's id contains its rate: a longer axis of the user must have the same numbers, which
    # are exact powers of two, or decimals.
    is_power = all(rate(number) == rates[number] for number in range(count))
    further = [rate(number) for number in (*range(-count, 0), *range(count, 2 * count))]
    if not is_power:
        further = [float(f"{value:.6g}") for value in further]
    return [*further[:count], *rates, *further[count:]]


def select_trials(
    study: StudySpec, trials: Sequence[TrialSpec], only: Mapping[str, object]
) -> list[TrialSpec]:
    """Return the trials at the selected points of axes.

    Args:
        study: The study.
        trials: All of its trials.
        only: Axis -> a value or a list of values; a text such as '2^-6' stands for its number.

    Raises:
        StudyError: An axis or a point does not exist.
    """
    selection = {}
    for name, choice in only.items():
        if name in study.search.ranges:
            raise StudyError(
                f"'{name}' is drawn from a range, so its trials cannot be selected by value",
                why="a random point has a value of its own",
                fix=f"leave it out, or lower 'samples': it is {study.search.samples}",
            )
        if name not in study.axes:
            raise StudyError(
                f"there is no axis '{name}'",
                why="all trials would run if an unknown axis were ignored",
                fix=nearest(name, study.axes),
            )
        spelled = [(point, spellings(point)) for point in study.axes[name]]
        values = choice if isinstance(choice, list | tuple | set | range) else [choice]
        if missing := [v for v in values if not any(str(v) in s for _, s in spelled)]:
            raise StudyError(
                f"axis '{name}' has no point {listed(missing)}",
                why="fewer trials than requested would run if an unknown point were ignored",
                fix=f"choose from {listed((s[0] for _, s in spelled), limit=20)}",
            )
        texts = set(map(str, values))
        # In Python True equals 1.
        selection[name] = {(type(p), p) for p, s in spelled if not texts.isdisjoint(s)}
    return [
        trial
        for trial in trials
        if all((type(trial.axes[n]), trial.axes[n]) in points for n, points in selection.items())
    ]
