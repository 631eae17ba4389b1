"""Trials of the built-in trainer: their identity, their settings, and checks before they start."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from mutransfer.errors import RuleError, StudyError
from mutransfer.records import (
    LabRunner,
    LabSettings,
    LabTable,
    StudySpec,
    TrialSpec,
    lab_settings,
)
from mutransfer.records.base import validation_error
from mutransfer.records.lab import TOKEN_FILES
from mutransfer.rules.hybrids import HYBRIDS, hybrid_name, switches_of
from mutransfer.rules.plan import can_be_tied
from mutransfer.rules.power import HALF
from mutransfer.rules.registry import PARAMETRIZATIONS, TABLES, get_parametrization
from mutransfer.sweep.search.grid import grid_trials


def lab_runner(lab: LabTable, *, numerics: int, data: str, derived: dict[str, str]) -> LabRunner:
    """Return the trainer's part of a trial's identity: the settings that differ from defaults.

    Args:
        lab: The study's `[lab]` table.
        numerics: Version of the lab's arithmetic.
        data: Content hash of what is trained on.
        derived: Derived values of the study.
    """
    settings = {
        name: value
        for name, value in lab.settings.items()
        if value != LabSettings.model_fields[name].default
    }
    if lab.tokens is not None:
        settings["tokenizer"] = TOKEN_FILES
    return LabRunner(numerics=numerics, data=data, settings=settings, derived=derived)


def lab_trials(study: StudySpec, runner: LabRunner) -> list[TrialSpec]:
    """Return the trials of a study of the built-in trainer.

    Where the study does not set `attention_scale`, a trial has that of its parametrization, which
    its identity states if it is not the default.
    """
    trials = grid_trials(study, runner)
    assert study.lab is not None
    if "attention_scale" in {*study.variables, *study.derived, *study.lab.settings}:
        return trials
    changed = {"settings": {**runner.settings, "attention_scale": "1/sqrt(d)"}}
    with_root = runner.model_copy(update=changed)
    return [
        TrialSpec(runner=with_root, axes=trial.axes) if _divides_by_root(trial) else trial
        for trial in trials
    ]


def _divides_by_root(trial: TrialSpec) -> bool:
    """Return whether the trial's parametrization divides attention logits by √d."""
    values = {**trial.runner.settings, **trial.axes}  # type: ignore[union-attr]
    name = values.get("parametrization", LabSettings.model_fields["parametrization"].default)
    table = PARAMETRIZATIONS.get(str(name))  # an unknown name is refused later
    return table is not None and table.attention == -HALF


def check_lab_trials(trials: Sequence[TrialSpec], *, where: str) -> None:
    """Check that the lab can run every trial, before the first one starts.

    Raises:
        StudyError: Lists the distinct problems of all trials.
    """
    problems: dict[str, StudyError] = {}
    for trial in trials:
        try:
            settings = lab_settings(trial)
            _check_parametrization(settings)
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


def _check_parametrization(settings: LabSettings) -> None:
    """Refuse an unknown name, and a shared table whose two uses have different rules.

    Raises:
        RuleError: There is no such parametrization, or it cannot share the table.
    """
    table = get_parametrization(settings.parametrization)
    if not settings.tied or settings.width == settings.base_width:
        return  # at the base width every factor is 1
    if not can_be_tied(table, settings.optimizer):
        ties = [name for name in ("sp", "mup") if can_be_tied(TABLES[name], settings.optimizer)]
        names = " or ".join(f'"{name}"' for name in ties)
        raise RuleError(
            f"tied = true shares one table between embedding and readout, and '{table.name}' gives "
            "them another init or rate",
            why="one table has one init and one rate",
            fix="write tied = false" + (f", or parametrization = {names}" if ties else ""),
        )


def equivalent_parametrization(settings: LabSettings) -> str:
    """Return one name for all hybrids between SP and µP that are the same training.

    Unless heads widen, `attn` changes nothing beyond the setting `attention_scale`, and `ln`
    changes nothing where no vector trains at a rate of its own.

    Example:
        >>> settings = LabSettings(width=64, base_width=32, lr=0.1, parametrization="sp+embd+ln")
        >>> equivalent_parametrization(settings)
        'sp+embd'
    """
    name = settings.parametrization
    if name not in HYBRIDS:
        return name
    return hybrid_name(switches_of(name) - _idle_switches(settings).keys())


def sharing_notes(trials: Sequence[TrialSpec]) -> list[str]:
    """Return a sentence for each pair of parametrizations of a study that are the same training.

    Trials of one of them run, and those of the other share their results.
    """
    names: dict[LabSettings, str] = {}
    notes = {}
    for settings in map(lab_settings, (t for t in trials if t.runner.kind == "lab")):
        name, same = settings.parametrization, equivalent_parametrization(settings)
        first = names.setdefault(settings.model_copy(update={"parametrization": same}), name)
        if first != name:
            idle = _idle_switches(settings)
            switches = switches_of(first) ^ switches_of(name)
            reasons = ", and ".join(idle[switch] for switch in sorted(switches))
            notes[first, name] = f"'{name}' shares the trials of '{first}': {reasons}"
    return list(notes.values())


def _idle_switches(settings: LabSettings) -> dict[str, str]:
    """Return the switches of hybrids that have no effect on a trial, and the reason."""
    idle = {}
    if settings.heads is None:
        idle["attn"] = "heads do not widen, so their attention differs by attention_scale only"
    if settings.norm_gains != "vector" and not settings.biases:
        idle["ln"] = "without vector gains or biases, 'ln' applies to no parameter"
    return idle
