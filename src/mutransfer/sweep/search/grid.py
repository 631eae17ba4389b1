"""Grid search: one trial per combination of the axes' values."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from mutransfer.errors import StudyError, listed, nearest
from mutransfer.records import (
    AxisValue,
    CallableRunner,
    CommandRunner,
    LabRunner,
    StudySpec,
    TrialSpec,
)


def grid_trials(
    study: StudySpec, runner: LabRunner | CommandRunner | CallableRunner
) -> list[TrialSpec]:
    """Return the trials of the grid; the last axis varies fastest.

    Example:
        >>> study = StudySpec.model_validate_json(
        ...     '{"schema": 1, "study": {"name": "s"}, "axes": {"width": [8, 16], "lr": [1, 2]}}'
        ... )
        >>> [trial.axes for trial in grid_trials(study, CallableRunner(name="f"))][:2]
        [{'width': 8, 'lr': 1}, {'width': 8, 'lr': 2}]
    """
    names = list(study.axes)
    return [
        TrialSpec(runner=runner, axes=dict(zip(names, point, strict=True)))
        for point in itertools.product(*study.axes.values())
    ]


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
        if name not in study.axes:
            raise StudyError(
                f"there is no axis '{name}'",
                why="all trials would run if an unknown axis were ignored",
                fix=nearest(name, study.axes),
            )
        spellings = {point: _spellings(point) for point in study.axes[name]}
        values = choice if isinstance(choice, list | tuple | set | range) else [choice]
        if missing := [v for v in values if not any(str(v) in s for s in spellings.values())]:
            raise StudyError(
                f"axis '{name}' has no point {listed(missing)}",
                why="fewer trials than requested would run if an unknown point were ignored",
                fix=f"choose from {listed((s[0] for s in spellings.values()), limit=20)}",
            )
        texts = set(map(str, values))
        selection[name] = [point for point, s in spellings.items() if not texts.isdisjoint(s)]
    return [t for t in trials if all(t.axes[name] in points for name, points in selection.items())]


def _spellings(point: AxisValue) -> list[str]:
    """Return the accepted spellings of a point: its number, rounded ones, and a power of 2."""
    texts = [str(point)]
    if isinstance(point, int | float) and not isinstance(point, bool):
        texts += [str(float(point)), f"{point:g}", f"{point:.4g}"]
        if point > 0:
            texts.append(f"2^{math.log2(point):g}")
    return texts
