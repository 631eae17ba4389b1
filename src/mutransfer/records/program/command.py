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
from mutransfer.records.base import InvalidValue, Problem, Record
from mutransfer.records.program.loss_source import Diverged, LossSource, Variable
from mutransfer.records.program.templates import ArgumentsText, CommandLine, Template, placeholders
from mutransfer.records.trial import AxisValue

BUILT_IN = ("checkpoint_dir", "device", "python", "trial_dir")

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
        what = f"'{duration}' is not a duration"
        raise InvalidValue((what, "write a number and a unit: '90s', '30m', '1.5h' or '2d'"))
    seconds = float(match[1]) * _UNITS[match[2]]
    if not 0 < seconds <= LONGEST_DAYS * _UNITS["d"]:
        what = f"'{duration}' is not between 0 and {LONGEST_DAYS} days"
        raise InvalidValue((what, f"write one from '1s' to '{LONGEST_DAYS}d', or none"))
    return seconds


def _duration(duration: object) -> object:
    """Validate a duration, before its type, because a number lacks a unit only."""
    if isinstance(duration, int | float) and not isinstance(duration, bool):
        raise InvalidValue(("a duration has a unit", f'write timeout = "{duration}s"'))
    if isinstance(duration, str | bool):
        parse_duration(str(duration))
    return duration


def _path(path: str) -> str:
    """Validate the length of a path and of its parts."""
    names = [len(name.encode()) for name in path.split("/")]
    if "\0" in path or max(names) > LONGEST_NAME or sum(names) > LONGEST_PATH:
        fix = f"write names of {LONGEST_NAME} bytes or less, and no zero byte"
        raise InvalidValue((f"'{path[:60]}' is not a valid path", fix))
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
    ) -> list[Problem]:
        """Return what is wrong with the placeholders: unknown ones, and axes without any.

        Args:
            axes: Axes of the study.
            derived: The names that each derived value is computed from.
        """
        clashes = [name for name in BUILT_IN if name in {*axes, *derived}]
        problems = [
            Problem(
                f"'{name}' is a built-in placeholder", f"rename the axis or derived value '{name}'"
            )
            for name in clashes
        ]
        problems += [p for name in self.arguments for p in self._argument_problems(name, axes)]
        in_some, in_all = self._names()
        valid = {*axes, *derived, *BUILT_IN}
        problems += [
            Problem(
                f"runner: there is no axis or derived value '{name}'",
                f"{name}: {nearest(name, valid)}",
            )
            for name in sorted(in_some - valid)
        ]
        # From the last to the first, because a derived value may use earlier ones only.
        for name in reversed(list(derived)):
            for used in (in_some, in_all):
                used |= derived[name] if name in used else set()
        problems += [
            Problem(f"'{name}' is not used by the command", self._use(name))
            for name in (*axes, *derived)
            if name not in in_some
        ]
        problems += [
            Problem(
                f"'{name}' is used at some values of {listed(self.arguments)} only", self._use(name)
            )
            for name in axes
            if name in in_some - in_all
        ]
        if self.loss.env in self.env:
            what = f"runner.env sets '{self.loss.env}', which loss.env also sets"
            problems.append(Problem(what, f"remove '{self.loss.env}' from runner.env"))
        loss_file = self.loss.csv or self.loss.json_file or self.loss.jsonl
        if loss_file and "trial_dir" not in in_all:
            what = f"the command cannot know where to write '{loss_file}'"
            problems.append(Problem(what, self._use("trial_dir")))
        return problems

    def _names(self) -> tuple[set[str], set[str]]:
        """Return the placeholders that are used at some point of the grid, and at every point."""
        names = set().union(*map(placeholders, (self.command, *self.env.values())))
        texts = [
            list(map(placeholders, t.values())) for n, t in self.arguments.items() if n in names
        ]
        in_some = names.union(*(name for text in texts for name in text))
        return in_some, names.union(*(set.intersection(*text) for text in texts if text))

    def _use(self, name: str) -> str:
        """Return how a value is passed to the command."""
        if re.search(rf"\$\{{?{name}\b", self.command):
            return f"write {{{name}}} for ${name}, since no shell runs the command"
        flag = "--out" if name == "trial_dir" else f"--{name}"
        return f"add {{{name}}} to the command, as in {flag}={{{name}}}"

    def _argument_problems(
        self, name: str, axes: Mapping[str, Sequence[AxisValue]]
    ) -> list[Problem]:
        """Return what is wrong with the arguments of one axis, such as a value without a text."""
        place, texts = f"runner.arguments.{name}", self.arguments[name]
        if name not in axes:
            return [Problem(f"{place}: there is no axis '{name}'", nearest(name, axes))]
        spelled = [spellings(value) for value in axes[name]]
        problems = []
        for value in spelled:
            keys = [key for key in texts if key in value]
            if not keys:
                fix = f'add {_toml_key(value[0])} = "...", or = "" if it needs no arguments'
                problems.append(Problem(f"{place} has no '{value[0]}'", fix))
            elif len(keys) > 1:
                what = f"{place} has {listed(keys)}, which are one value"
                problems.append(Problem(what, "leave one of them out"))
        problems += [
            Problem(
                f"{place} has '{key}', which is not a value of the axis",
                nearest(key, [value[0] for value in spelled]),
            )
            for key in texts
            if not any(key in value for value in spelled)
        ]
        if self.words[0] == f"{{{name}}}" and "" in map(str.strip, texts.values()):
            what = f"{place} has an empty text, but the command begins with {{{name}}}"
            problems.append(Problem(what, "write a program in every text"))
        return problems
