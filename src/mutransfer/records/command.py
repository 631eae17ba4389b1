"""The `[runner]` table: a command line with placeholders, and where the program writes its loss."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from mutransfer.errors import listed, nearest
from mutransfer.records.axes import spellings
from mutransfer.records.base import Record
from mutransfer.records.loss_source import Diverged, LossSource, Variable
from mutransfer.records.templates import ArgumentsText, CommandLine, Template, placeholders
from mutransfer.records.trial import AxisValue

BUILT_IN = ("device", "python", "trial_dir")

_DURATION = re.compile(r"\s*(\d+(?:\.\d*)?)\s*([smhd])\s*")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST_DAYS = 365  # no training run takes longer [assumed]
LONGEST_NAME, LONGEST_PATH = 255, 2048  # bytes; file systems allow 255, and 4096 for a path


def parse_duration(duration: str) -> float:
    """Parse a duration such as '90s', '30m', '1.5h' or '2d' into seconds.

    Example:
        >>> parse_duration("1.5h")
        5400.0
    """
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ValueError(f"'{duration}' is not a duration: write '90s', '30m', '1.5h' or '2d'")
    seconds = float(match[1]) * _UNITS[match[2]]
    if not 0 < seconds <= LONGEST_DAYS * _UNITS["d"]:
        raise ValueError(f"'{duration}' is not between 0 and {LONGEST_DAYS} days")
    return seconds


def _duration(duration: object) -> object:
    """Validate a duration, before its type, because a number lacks a unit only."""
    if isinstance(duration, int | float):
        raise ValueError(f'a duration has a unit: write "{duration}s"')
    if isinstance(duration, str):
        parse_duration(duration)
    return duration


def _path(path: str) -> str:
    """Validate the length of a path and of its parts."""
    names = [len(name.encode()) for name in path.split("/")]
    if "\0" in path or max(names) > LONGEST_NAME or sum(names) > LONGEST_PATH:
        raise ValueError(f"'{path[:60]}' is not a valid path")
    return path


def _toml_key(text: str) -> str:
    """Format a key as a TOML file spells it."""
    return text if re.fullmatch("[A-Za-z0-9_-]+", text) else json.dumps(text)


PathText = Annotated[str, AfterValidator(_path)]


class CommandTable(Record):
    """`[runner]`: a program that trains once and writes its loss."""

    command: CommandLine = Field(
        description="split into arguments before {name} is replaced; runs without a shell"
    )
    cwd: PathText = Field(".", description="working directory, relative to the study file's folder")
    env: dict[Variable, Template] = Field(
        default_factory=dict, description="added to the environment; {name} is replaced"
    )
    arguments: dict[str, dict[str, ArgumentsText]] = Field(
        default_factory=dict,
        description="axis -> its values -> the arguments that replace {axis} in the command",
    )
    loss: LossSource
    diverged: Diverged | None = Field(None, description="signals divergence, which is no failure")
    timeout: Annotated[str, BeforeValidator(_duration)] | None = Field(
        None, description="'90s', '30m', '2h'; a trial that takes longer fails"
    )
    retries: int = Field(
        0, ge=0, le=100, description="how often a failed trial is repeated before the sweep ends"
    )

    @property
    def words(self) -> list[str]:
        """Words of the command, before substitution."""
        return shlex.split(self.command)

    def texts_at(self, point: Mapping[str, AxisValue]) -> dict[str, str]:
        """Return the texts that replace values of axes at a point of the grid."""
        return {
            name: next(text for key, text in texts.items() if key in spellings(point[name]))
            for name, texts in self.arguments.items()
        }

    def problems(
        self, axes: Mapping[str, Sequence[AxisValue]], derived: Mapping[str, set[str]]
    ) -> list[str]:
        """Return what is wrong with the placeholders: unknown ones, and axes without any.

        Args:
            axes: Axes of the study.
            derived: The names that each derived value is computed from.
        """
        problems = [
            f"'{name}' is a built-in placeholder, rename the axis or derived value"
            for name in BUILT_IN
            if name in {*axes, *derived}
        ]
        problems += [p for name in self.arguments for p in self._argument_problems(name, axes)]
        names = set().union(*map(placeholders, (self.command, *self.env.values())))
        texts = [
            list(map(placeholders, t.values())) for n, t in self.arguments.items() if n in names
        ]
        in_some = names.union(*(name for text in texts for name in text))
        in_all = names.union(*(set.intersection(*text) for text in texts if text))
        valid = {*axes, *derived, *BUILT_IN}
        problems += [
            f"runner: there is no axis or derived value '{name}', {nearest(name, valid)}"
            for name in sorted(in_some - valid)
        ]
        # From the last to the first, because a derived value may use earlier ones only.
        for name in reversed(list(derived)):
            for used in (in_some, in_all):
                used |= derived[name] if name in used else set()
        problems += [
            f"'{name}' is not used by the command: add {{{name}}} to its arguments"
            for name in (*axes, *derived)
            if name not in in_some
        ]
        problems += [
            f"'{name}' is used at some values of {listed(self.arguments)} only: add {{{name}}} to "
            "the command"
            for name in axes
            if name in in_some - in_all
        ]
        if self.loss.env in self.env:
            problems.append(f"runner.env sets '{self.loss.env}', which loss.env also sets")
        loss_file = self.loss.csv or self.loss.json_file or self.loss.jsonl
        if loss_file and "trial_dir" not in in_all:
            problems.append(
                f"the command cannot know where to write '{loss_file}': pass it {{trial_dir}}"
            )
        return problems

    def _argument_problems(self, name: str, axes: Mapping[str, Sequence[AxisValue]]) -> list[str]:
        """Return what is wrong with the arguments of one axis, such as a value without a text."""
        place, texts = f"runner.arguments.{name}", self.arguments[name]
        if name not in axes:
            return [f"{place}: there is no axis '{name}', {nearest(name, axes)}"]
        values = {
            spellings(value): [k for k in texts if k in spellings(value)] for value in axes[name]
        }
        used = {key for keys in values.values() for key in keys}
        problems = [
            f"{place} has no '{spelled[0]}': add {_toml_key(spelled[0])} = \"\", if it needs no "
            "arguments"
            for spelled, keys in values.items()
            if not keys
        ]
        problems += [
            f"{place} has {listed(keys)}, which are one value"
            for keys in values.values()
            if len(keys) > 1
        ]
        problems += [
            f"{place} has '{key}', which is not a value of the axis, "
            f"{nearest(key, [spelled[0] for spelled in values])}"
            for key in texts
            if key not in used
        ]
        if self.words[0] == f"{{{name}}}" and "" in map(str.strip, texts.values()):
            problems.append(f"{place} does not name a program, with which the command begins")
        return problems
