"""This file is `[runner]`: any program as a template of arguments, and where it leaves its loss."""

from __future__ import annotations

import re
import shlex
import warnings
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from mutransfer.errors import listed, nearest
from mutransfer.records.base import Record, plain_number

ODD_NUMBERS = ("nan", "1.5e-05")  # what a diverged run prints, and a very good one
BUILT_IN = ("device", "python", "trial_dir")

_BRACES = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}|[{}]")
_DURATION = re.compile(r"\s*(\d+(?:\.\d*)?)\s*([smhd])\s*")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST_DAYS = 365
LONGEST_NAME, LONGEST_PATH = 255, 2048  # bytes; systems refuse longer names, and twice the path


def placeholders(text: str) -> set[str]:
    """Name what a text asks for in braces; `{{` and `}}` are braces.

    Raises:
        ValueError: A brace that is neither `{name}` nor doubled.

    Example:
        >>> sorted(placeholders("--lr={lr} --out={trial_dir} {{x}}"))
        ['lr', 'trial_dir']
    """
    found = set()
    for match in _BRACES.finditer(text):
        if match[0] in "{}":
            near = text[match.start() : match.start() + 20]
            raise ValueError(
                f"a lone brace at {near!r}: write {{name}}, or {{{{ and }}}} for braces"
            )
        if match[1]:
            found.add(match[1])
    return found


def filled(text: str, values: Mapping[str, object]) -> str:
    """Put values in place of `{name}`; numbers as Python writes them.

    Example:
        >>> filled("--lr={lr} --heads={heads} {{}}", {"lr": 2**-10, "heads": 4.0})
        '--lr=0.0009765625 --heads=4 {}'
    """

    def one(match: re.Match[str]) -> str:
        return str(plain_number(values[match[1]])) if match[1] else match[0][0]

    return _BRACES.sub(one, text)


def seconds(duration: str) -> float:
    """Read '90s', '30m', '1.5h' or '2d'.

    Example:
        >>> seconds("1.5h")
        5400.0
    """
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ValueError(f"'{duration}' is no duration: write '90s', '30m', '1.5h' or '2d'")
    found = float(match[1]) * _UNITS[match[2]]
    if not 0 < found <= LONGEST_DAYS * _UNITS["d"]:
        raise ValueError(f"'{duration}' is not between 0 and {LONGEST_DAYS} days")
    return found


def _duration(text: str) -> str:
    """Accept a duration."""
    seconds(text)
    return text


def _template(text: str) -> str:
    """Accept a text with placeholders that a program can be given."""
    if "\0" in text:
        raise ValueError("holds a zero byte, which no program can be given")
    placeholders(text)
    return text


def _command(text: str) -> str:
    """Accept a command line that splits into arguments."""
    try:
        arguments = shlex.split(_template(text))
    except ValueError as problem:
        raise ValueError(f"cannot be split into arguments: {problem}") from None
    if not arguments or not arguments[0]:
        raise ValueError("names no program")
    return text


def _path(path: str) -> str:
    """Accept a path that the system can look for."""
    names = [len(name.encode()) for name in path.split("/")]
    if "\0" in path or max(names) > LONGEST_NAME or sum(names) > LONGEST_PATH:
        raise ValueError(f"'{path[:60]}' is no path")
    return path


def _inside(path: str) -> str:
    """Accept a path that stays inside the trial's folder, on any system."""
    parts = {*PurePosixPath(path).parts, *PureWindowsPath(path).parts}
    absolute = PurePosixPath(path).is_absolute() or PureWindowsPath(path).anchor
    if not path.strip() or "\0" in path or absolute or ".." in parts:
        raise ValueError(f"'{path}' must be the name of a file inside the trial's folder")
    return path


def _regex(pattern: str) -> str:
    """Accept a regular expression."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)  # another Python would read it otherwise
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError, FutureWarning) as problem:
        raise ValueError(f"'{pattern[:60]}' is no regular expression: {problem}") from None
    return pattern


def _group_takes(pattern: str, text: str) -> bool:
    """Tell whether the only group of a pattern can be a text."""
    escaped, in_class, opened = False, False, -1
    depth = start = 0
    for place, letter in enumerate(pattern):
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = True
        elif in_class:
            in_class = letter != "]"
        elif letter == "[":
            in_class = True
        elif letter == "(":
            depth += 1
            if pattern[place + 1 : place + 2] != "?" or pattern[place + 1 : place + 4] == "?P<":
                opened, start = depth, place + 1
        elif letter == ")":
            if depth == opened:
                inside = re.sub(r"^\?P<\w+>", "", pattern[start:place])
                try:
                    return re.fullmatch(inside, text, re.IGNORECASE) is not None
                except re.error:
                    return True  # it leans on what stands outside
            depth -= 1
    return True


def _variable(name: str) -> str:
    """Accept the name of an environment variable."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f"'{name}' is no name of an environment variable")
    return name


PathText = Annotated[str, AfterValidator(_path)]
Inside = Annotated[str, AfterValidator(_inside)]
Regex = Annotated[str, AfterValidator(_regex)]
Variable = Annotated[str, AfterValidator(_variable)]
Template = Annotated[str, AfterValidator(_template)]


class LossSource(Record):
    """Where a command leaves its loss: exactly one of csv, json, jsonl, regex or env."""

    csv: Inside | None = Field(None, description="file in the trial's folder with a header line")
    json_file: Inside | None = Field(None, alias="json", description="file in the trial's folder")
    jsonl: Inside | None = Field(None, description="file with one JSON object per line")
    regex: Regex | None = Field(
        None,
        description="searched in each line of stdout; its ( ) is the loss, as in 'loss (\\S+)'",
    )
    env: Variable | None = Field(
        None, description="variable that names the file to write: a number, or JSON with `key`"
    )
    column: str | None = Field(None, description="csv: the column; 'loss' if not said")
    key: str | None = Field(None, description="json, jsonl, env: 'loss' if not said; 'eval.loss'")
    reduce: Literal["last", "min", "mean"] = Field("last", description="of several values")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        """Insist on exactly one place to read from, and on no setting without effect."""
        sources = ("csv", "json_file", "jsonl", "regex", "env")
        given = [name for name in sources if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError("name exactly one of csv, json, jsonl, regex, env")
        if self.column is not None and self.csv is None:
            raise ValueError("'column' belongs to csv; elsewhere it is 'key'")
        if self.key is not None and given[0] in ("csv", "regex"):
            raise ValueError(f"'key' has no effect on {given[0]}")
        if self.regex is not None:
            if re.compile(self.regex).groups != 1:
                raise ValueError(f"put the number of '{self.regex}', and only it, in ( )")
            missed = [text for text in ODD_NUMBERS if not _group_takes(self.regex, text)]
            if missed:
                raise ValueError(
                    f"the ( ) of '{self.regex}' does not take {listed(missed)}: such a loss would "
                    r"be overlooked, or cut short; write (\S+)"
                )
        return self


class Diverged(Record):
    """What a command does when it diverges: prints something, or exits with a status."""

    regex: Regex | None = Field(None, description="searched in each line of stdout and stderr")
    exit: int | None = Field(None, ge=1, le=255, description="exit status")

    @model_validator(mode="after")
    def _something(self) -> Self:
        """Refuse a table that says nothing."""
        if self.regex is None and self.exit is None:
            raise ValueError("say a regex, an exit status, or both")
        return self


class CommandTable(Record):
    """`[runner]`: any program that trains once and leaves a loss behind."""

    command: Annotated[str, AfterValidator(_command)] = Field(
        description="split into arguments first, then {name} is filled in; no shell runs it"
    )
    cwd: PathText = Field(".", description="where it runs; relative to the study file's folder")
    env: dict[Variable, Template] = Field(
        default_factory=dict, description="added to the environment; {name} is filled in"
    )
    loss: LossSource
    diverged: Diverged | None = Field(None, description="a diverged trial is a result, no failure")
    timeout: Annotated[str, AfterValidator(_duration)] | None = Field(
        None, description="'90s', '30m', '2h'; a trial that takes longer has failed"
    )
    retries: int = Field(
        0, ge=0, le=100, description="times a failed trial is tried again before the sweep ends"
    )

    @property
    def arguments(self) -> list[str]:
        """The command's arguments, before substitution."""
        return shlex.split(self.command)

    @property
    def names(self) -> set[str]:
        """Every placeholder of the command and its environment."""
        return set().union(*map(placeholders, (self.command, *self.env.values())))

    def problems(self, axes: Iterable[str], derived: Mapping[str, set[str]]) -> list[str]:
        """Check placeholders both ways: each is known, and every axis reaches the program.

        Args:
            axes: The study's axes.
            derived: What each derived value is computed from.
        """
        known = {*axes, *derived, *BUILT_IN}
        found = [
            f"runner: no axis or derived value '{name}', {nearest(name, known)}"
            for name in sorted(self.names - known)
        ]
        found += [
            f"'{name}' is a name of ours, call the axis or derived value otherwise"
            for name in BUILT_IN
            if name in set(axes) | set(derived)
        ]
        used = set(self.names)
        for name in reversed(list(derived)):  # a derived value may use earlier ones only
            used |= derived[name] if name in used else set()
        found += [
            f"'{name}' does not reach the command: write {{{name}}} where it belongs"
            for name in (*axes, *derived)
            if name not in used
        ]
        if self.loss.env in self.env:
            found.append(f"runner.env sets '{self.loss.env}', which loss.env sets too")
        in_folder = self.loss.csv or self.loss.json_file or self.loss.jsonl
        if in_folder and "trial_dir" not in self.names:
            found.append(
                f"the command never learns where to write '{in_folder}': use {{trial_dir}}"
            )
        return found
