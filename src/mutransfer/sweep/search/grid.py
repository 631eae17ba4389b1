"""This file is the way from a study file to the trials it names."""

from __future__ import annotations

import itertools
import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from mutransfer.errors import RuleError, StudyError, listed, nearest
from mutransfer.records import (
    AxisValue,
    CallableRunner,
    CommandRunner,
    LabRunner,
    LabSettings,
    LabTable,
    StudySpec,
    TrialSpec,
)
from mutransfer.records.base import validation_error
from mutransfer.rules.hybrids import remove_switches, switches_in_name
from mutransfer.rules.registry import get_parametrization

LARGEST_FILE = 2**20


def read_study(path: str | Path) -> StudySpec:
    """Read and validate a study file; every problem is reported at once.

    Args:
        path: A TOML file.

    Raises:
        StudyError: It cannot be read, is no TOML, or has unknown keys or wrong values.
    """
    path = Path(path)
    why = "a study file says which trials answer the question"
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise StudyError(
                f"{path} is larger than {LARGEST_FILE} bytes",
                why=why,
                fix="name a study file; the README shows one",
            )
        data = tomllib.loads(content.decode())
    except OSError as problem:
        raise StudyError(
            f"{path} cannot be read: {problem.strerror}",
            why=why,
            fix="name a study file; the README shows one",
        ) from None
    except UnicodeDecodeError as problem:
        raise StudyError(
            f"{path} is not UTF-8 text (byte {problem.start})", why=why, fix="save it as UTF-8"
        ) from None
    except (ValueError, RecursionError) as problem:  # too many digits, too deep a table
        raise StudyError(
            f"{path} is not TOML: {problem}", why=why, fix="correct the line named above"
        ) from None
    return StudySpec.read(data, error=StudyError, where=str(path))


def lab_runner(lab: LabTable, *, numerics: int, data: str, derived: dict[str, str]) -> LabRunner:
    """Record the built-in trainer's part of an identity: what differs from frozen defaults.

    Args:
        lab: The study's `[lab]` table.
        numerics: Version of the lab's arithmetic.
        data: Content hash of the training text.
        derived: The study's derived values.
    """
    settings = {
        name: value
        for name, value in lab.settings.items()
        if value != LabSettings.model_fields[name].default
    }
    return LabRunner(numerics=numerics, data=data, settings=settings, derived=derived)


def expand(study: StudySpec, runner: LabRunner | CommandRunner | CallableRunner) -> list[TrialSpec]:
    """List the grid's trials, the last axis fastest.

    Example:
        >>> study = StudySpec.model_validate_json(
        ...     '{"schema": 1, "study": {"name": "s"}, "axes": {"width": [8, 16], "lr": [1, 2]}}'
        ... )
        >>> [trial.axes for trial in expand(study, CallableRunner(name="f"))][:2]
        [{'width': 8, 'lr': 1}, {'width': 8, 'lr': 2}]
    """
    names = list(study.axes)
    return [
        TrialSpec(runner=runner, axes=dict(zip(names, point, strict=True)))
        for point in itertools.product(*study.axes.values())
    ]


def check_lab_trials(trials: Sequence[TrialSpec], *, where: str) -> None:
    """Insist that every trial is a possible run of the lab, before the first one starts.

    Raises:
        StudyError: With the distinct problems of all trials.
    """
    problems: dict[str, StudyError] = {}
    for trial in trials:
        try:
            settings = lab_settings(trial)
            get_parametrization(settings.parametrization)
            _check_switches(settings)
        except RuleError as wrong:
            error = StudyError(f"{where}: {wrong.what}", why=wrong.why, fix=wrong.fix)
            problems.setdefault(error.what, error)
        except ValidationError as refused:
            said = validation_error(refused, LabSettings, error=StudyError, where=where)
            problems.setdefault(said.what, StudyError(said.what, why=said.why, fix=said.fix))
        except ValueError as refused:
            raise StudyError(
                f"{where}: {refused}",
                why="a derived value must be a number at every point of the grid",
                fix="correct [derived] or the axes it uses",
            ) from None
    if problems:
        first = next(iter(problems.values()))
        raise StudyError(_joined(problems, where), why=first.why, fix=first.fix)


def _check_switches(settings: LabSettings) -> None:
    """Refuse a hybrid named after a switch that the lab's decoder cannot show.

    The lab's heads have one width, so 1/d and 1/√d attention stay a constant apart and `attn`
    changes nothing from width to width; without gains and biases `ln` has no parameter.
    """
    idle = {"attn": "the lab's attention is 1/d at a fixed head width"}
    if settings.norm_gains == "none" and not settings.biases:
        idle["ln"] = "the lab's norms have no gains here (norm_gains 'none', no biases)"
    name = settings.parametrization
    shown = {switch: idle[switch] for switch in switches_in_name(name) if switch in idle}
    if shown:
        raise RuleError(
            f"'{name}' names {listed(shown)}, which shows nothing in this lab",
            why=f"{' and '.join(shown.values())}, so a difference would be nil by construction",
            fix=f"write '{remove_switches(name, set(shown))}', which is the same training here",
        )


def lab_settings(trial: TrialSpec) -> LabSettings:
    """Give a lab trial's settings: the table's, and its own point on every axis."""
    assert isinstance(trial.runner, LabRunner)
    return LabSettings.model_validate({**trial.runner.settings, **trial.values})


def _joined(problems: Iterable[str], where: str) -> str:
    """Name the file once, then each problem."""
    texts = [text.removeprefix(f"{where}: ") for text in problems]
    more = f"; and {len(texts) - 3} more" if len(texts) > 3 else ""
    return f"{where}: " + "; ".join(texts[:3]) + more


def selected(
    study: StudySpec, trials: Sequence[TrialSpec], only: Mapping[str, object]
) -> list[TrialSpec]:
    """Choose the trials at some points of some axes.

    Args:
        study: The study.
        trials: All of its trials.
        only: A value or a list of values by axis; a text such as '2^-6' stands for its number.

    Raises:
        StudyError: There is no such axis, or no such point on it.
    """
    chosen = {}
    for name, asked in only.items():
        if name not in study.axes:
            raise StudyError(
                f"there is no axis '{name}'",
                why="a choice that means nothing would run every trial",
                fix=nearest(name, study.axes),
            )
        points = {point: _texts(point) for point in study.axes[name]}
        wanted = asked if isinstance(asked, list | tuple | set | range) else [asked]
        chosen[name] = [p for w in wanted for p, texts in points.items() if str(w) in texts]
        if missing := [w for w in wanted if not any(str(w) in t for t in points.values())]:
            raise StudyError(
                f"axis '{name}' has no point {listed(missing)}",
                why="a choice that means nothing would run other trials than you want",
                fix=f"choose from {listed((t[0] for t in points.values()), limit=20)}",
            )
    return [t for t in trials if all(t.axes[name] in points for name, points in chosen.items())]


def _texts(point: AxisValue) -> list[str]:
    """Give the ways to write a point."""
    texts = [str(point)]
    if isinstance(point, int | float) and not isinstance(point, bool):
        texts += [str(float(point)), f"{point:g}", f"{point:.4g}"]  # as it is listed, too
        if point > 0:
            texts.append(f"2^{math.log2(point):g}")
    return texts
