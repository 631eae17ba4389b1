"""Trials of the built-in trainer: their identity, their settings, and checks before they start."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from mutransfer.errors import RuleError, StudyError, listed
from mutransfer.records import LabRunner, LabSettings, LabTable, TrialSpec
from mutransfer.records.base import validation_error
from mutransfer.rules.hybrids import remove_switches, switches_in_name
from mutransfer.rules.registry import get_parametrization


def lab_runner(lab: LabTable, *, numerics: int, data: str, derived: dict[str, str]) -> LabRunner:
    """Return the trainer's part of a trial's identity: the settings that differ from defaults.

    Args:
        lab: The study's `[lab]` table.
        numerics: Version of the lab's arithmetic.
        data: Content hash of the training text.
        derived: Derived values of the study.
    """
    settings = {
        name: value
        for name, value in lab.settings.items()
        if value != LabSettings.model_fields[name].default
    }
    return LabRunner(numerics=numerics, data=data, settings=settings, derived=derived)


def lab_settings(trial: TrialSpec) -> LabSettings:
    """Return the settings of a trial: those of the table, and its point on every axis."""
    assert isinstance(trial.runner, LabRunner)
    return LabSettings.model_validate({**trial.runner.settings, **trial.values})


def check_lab_trials(trials: Sequence[TrialSpec], *, where: str) -> None:
    """Check that the lab can run every trial, before the first one starts.

    Raises:
        StudyError: Lists the distinct problems of all trials.
    """
    problems: dict[str, StudyError] = {}
    for trial in trials:
        try:
            settings = lab_settings(trial)
            get_parametrization(settings.parametrization)
            _check_switches(settings)
        except RuleError as error:
            problems.setdefault(error.what, StudyError(error.what, why=error.why, fix=error.fix))
        except ValidationError as invalid:
            converted = validation_error(invalid, LabSettings, error=StudyError, where=where)
            what = converted.what.removeprefix(f"{where}: ")
            problems.setdefault(what, StudyError(what, why=converted.why, fix=converted.fix))
        except ValueError as error:
            raise StudyError(
                f"{where}: {error}",
                why="a derived value must be a number at every point of the grid",
                fix="correct [derived] or the axes it uses",
            ) from None
    if problems:
        first = next(iter(problems.values()))
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        what = f"{where}: " + "; ".join(list(problems)[:3]) + more
        raise StudyError(what, why=first.why, fix=first.fix)


def _check_switches(settings: LabSettings) -> None:
    """Reject a hybrid named after a switch that changes nothing in the lab's decoder."""
    # The head width is the same at every width, so 1/d and 1/√d attention differ by a constant.
    # Without gains and biases, `ln` applies to no parameter.
    idle = {"attn": "the lab's attention is 1/d at a fixed head width"}
    if settings.norm_gains == "none" and not settings.biases:
        idle["ln"] = "the lab's norms have no gains here (norm_gains 'none', no biases)"
    name = settings.parametrization
    reasons = {switch: idle[switch] for switch in switches_in_name(name) if switch in idle}
    if reasons:
        raise RuleError(
            f"'{name}' names {listed(reasons)}, which has no effect in the lab",
            why=f"{' and '.join(reasons.values())}, so nothing would differ",
            fix=f"write '{remove_switches(name, set(reasons))}', which is the same training",
        )
