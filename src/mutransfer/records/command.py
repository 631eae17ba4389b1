"""The `[runner]` table: a command line with placeholders, and where the program writes its loss."""

from __future__ import annotations

import re
import shlex
import warnings
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mutransfer.errors import listed, nearest
from mutransfer.records.base import Record, plain_number

# A diverged run prints 'nan', and a very small loss looks like '1.5e-05'. A regex that matched
# neither would silently report an earlier loss, or only the mantissa.
ODD_NUMBERS = ("nan", "1.5e-05")
BUILT_IN = ("device", "python", "trial_dir")

_BRACES = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}|[{}]")
_DURATION = re.compile(r"\s*(\d+(?:\.\d*)?)\s*([smhd])\s*")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST_DAYS = 365  # no training run takes longer [assumed]
REDUCTIONS = ("last", "min", "mean")
MOST_VALUES = 10**9  # no program evaluates its loss so often [assumed]
LONGEST_NAME, LONGEST_PATH = 255, 2048  # bytes; file systems allow 255, and 4096 for a path


def placeholders(text: str) -> set[str]:
    """Return the names in braces in a text; `{{` and `}}` stand for literal braces.

    Raises:
        ValueError: A brace that is neither `{name}` nor doubled.

    Example:
        >>> sorted(placeholders("--lr={lr} --out={trial_dir} {{x}}"))
        ['lr', 'trial_dir']
    """
    names = set()
    for match in _BRACES.finditer(text):
        if match[0] in "{}":
            excerpt = text[match.start() : match.start() + 20]
            raise ValueError(
                f"unmatched brace at {excerpt!r}: write {{name}}, or {{{{ and }}}} for braces"
            )
        if match[1]:
            names.add(match[1])
    return names


def substitute(text: str, values: Mapping[str, object]) -> str:
    """Replace `{name}` by values, with numbers as Python prints them.

    Example:
        >>> substitute("--lr={lr} --heads={heads} {{}}", {"lr": 2**-10, "heads": 4.0})
        '--lr=0.0009765625 --heads=4 {}'
    """

    # Not `str.format`, whose fields can reach attributes of the values.
    def value_of(match: re.Match[str]) -> str:
        return str(plain_number(values[match[1]])) if match[1] else match[0][0]

    return _BRACES.sub(value_of, text)


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


def _template(text: str) -> str:
    """Validate a text with placeholders that is passed to a program."""
    if "\0" in text:
        raise ValueError("contains a zero byte, which cannot be passed to a program")
    placeholders(text)
    return text


def _command(text: str) -> str:
    """Validate that a command line splits into arguments."""
    try:
        arguments = shlex.split(_template(text))
    except ValueError as problem:
        raise ValueError(f"cannot be split into arguments: {problem}") from None
    if not arguments or not arguments[0]:
        raise ValueError("does not name a program")
    return text


def _path(path: str) -> str:
    """Validate the length of a path and of its parts."""
    names = [len(name.encode()) for name in path.split("/")]
    if "\0" in path or max(names) > LONGEST_NAME or sum(names) > LONGEST_PATH:
        raise ValueError(f"'{path[:60]}' is not a valid path")
    return path


def _inside(path: str) -> str:
    """Validate that a path stays inside the trial's folder, on any system."""
    parts = {*PurePosixPath(path).parts, *PureWindowsPath(path).parts}
    absolute = PurePosixPath(path).is_absolute() or PureWindowsPath(path).anchor
    if not path.strip() or "\0" in path or absolute or ".." in parts:
        raise ValueError(f"'{path}' must be a file inside the trial's folder")
    return path


def _regex(pattern: str) -> str:
    """Validate a regular expression."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)  # its meaning may change with Python
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError, FutureWarning) as problem:
        raise ValueError(f"'{pattern[:60]}' is not a regular expression: {problem}") from None
    return pattern


def _group_matches(pattern: str, text: str) -> bool:
    """Return whether the only group of a pattern can match a text."""
    # The group is matched alone, because the lines that the program will print around it are
    # unknown.
    group = _capturing_group(pattern)
    try:
        return group is None or re.fullmatch(group, text, re.IGNORECASE) is not None
    except re.error:
        return True  # the group refers to something outside of it


def _capturing_group(pattern: str) -> str | None:
    """Return the text inside the only capturing group of a valid pattern."""
    escaped, in_class, group_depth = False, False, -1
    depth = start = 0
    for position, letter in enumerate(pattern):
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
            following = pattern[position + 1 : position + 4]  # "(?:" and its like do not capture
            if not following.startswith("?") or following == "?P<":
                group_depth, start = depth, position + 1
        elif letter == ")":
            if depth == group_depth:
                return re.sub(r"^\?P<\w+>", "", pattern[start:position])
            depth -= 1
    return None


def _variable(name: str) -> str:
    """Validate the name of an environment variable."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f"'{name}' is not the name of an environment variable")
    return name


def _reduction(reduce: object) -> object:
    """Validate how values are reduced, in one message for both forms."""
    count = reduce.get("mean") if isinstance(reduce, dict) and len(reduce) == 1 else None
    if reduce not in REDUCTIONS and not (type(count) is int and 0 < count <= MOST_VALUES):
        raise ValueError(
            "must be 'last', 'min', 'mean', or { mean = 50 } for the mean of the last 50 values"
        )
    return reduce


PathText = Annotated[str, AfterValidator(_path)]
InsidePath = Annotated[str, AfterValidator(_inside)]
Regex = Annotated[str, AfterValidator(_regex)]
Variable = Annotated[str, AfterValidator(_variable)]
Template = Annotated[str, AfterValidator(_template)]


class MeanOfLast(Record):
    """Mean of the last values, for a loss that fluctuates from one batch to the next."""

    mean: int = Field(ge=1, description="number of values")


class LossSource(Record):
    """Where a command writes its loss: exactly one of csv, json, jsonl, regex or env."""

    csv: InsidePath | None = Field(None, description="CSV file in the trial's folder")
    json_file: InsidePath | None = Field(
        None, alias="json", description="JSON file in the trial's folder"
    )
    jsonl: InsidePath | None = Field(None, description="JSON lines in the trial's folder")
    regex: Regex | None = Field(
        None,
        description="searched in each line of stdout; its group is the loss, as in 'loss (\\S+)', "
        "and the last match in a line counts",
    )
    env: Variable | None = Field(
        None, description="variable with the path of the file to write: a number, or JSON"
    )
    column: str | None = Field(None, description="csv: column of the loss; 'loss' by default")
    key: str | None = Field(
        None, description="json, jsonl, env: key, as 'eval.loss'; 'loss' by default"
    )
    reduce: Annotated[Literal["last", "min", "mean"] | MeanOfLast, BeforeValidator(_reduction)] = (
        Field("last", description="how several values are reduced; {mean = 50} takes the last 50")
    )

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        """Check that there is exactly one source and no setting without effect."""
        sources = ("csv", "json_file", "jsonl", "regex", "env")
        chosen = [name for name in sources if getattr(self, name) is not None]
        if len(chosen) != 1:
            raise ValueError("name exactly one of csv, json, jsonl, regex, env")
        if self.column is not None and self.csv is None:
            raise ValueError("'column' is for csv only; the other sources use 'key'")
        if self.key is not None and chosen[0] in ("csv", "regex"):
            raise ValueError(f"'key' has no effect with {chosen[0]}")
        if self.regex is not None:
            if re.compile(self.regex).groups != 1:
                raise ValueError(f"'{self.regex}' must have exactly one group, around the loss")
            unmatched = [text for text in ODD_NUMBERS if not _group_matches(self.regex, text)]
            if unmatched:
                raise ValueError(
                    f"the group of '{self.regex}' does not match {listed(unmatched)}, so such a "
                    r"loss would be missed or truncated; write (\S+)"
                )
        return self


class Diverged(Record):
    """How a command signals divergence: by a line that it prints, or by its exit status."""

    regex: Regex | None = Field(None, description="searched in each line of stdout and stderr")
    exit: int | None = Field(None, ge=1, le=255, description="exit status")

    @model_validator(mode="after")
    def _check_not_empty(self) -> Self:
        """Check that the table is not empty."""
        if self.regex is None and self.exit is None:
            raise ValueError("set a regex, an exit status, or both")
        return self


class CommandTable(Record):
    """`[runner]`: a program that trains once and writes its loss."""

    command: Annotated[str, AfterValidator(_command)] = Field(
        description="split into arguments before {name} is replaced; runs without a shell"
    )
    cwd: PathText = Field(".", description="working directory, relative to the study file's folder")
    env: dict[Variable, Template] = Field(
        default_factory=dict, description="added to the environment; {name} is replaced"
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
    def arguments(self) -> list[str]:
        """Arguments of the command, before substitution."""
        return shlex.split(self.command)

    @property
    def names(self) -> set[str]:
        """All placeholders of the command and its environment."""
        return set().union(*map(placeholders, (self.command, *self.env.values())))

    def problems(self, axes: Iterable[str], derived: Mapping[str, set[str]]) -> list[str]:
        """Return what is wrong with the placeholders: unknown ones, and axes without any.

        Args:
            axes: Axes of the study.
            derived: The names that each derived value is computed from.
        """
        valid = {*axes, *derived, *BUILT_IN}
        problems = [
            f"runner: there is no axis or derived value '{name}', {nearest(name, valid)}"
            for name in sorted(self.names - valid)
        ]
        problems += [
            f"'{name}' is a built-in placeholder, rename the axis or derived value"
            for name in BUILT_IN
            if name in set(axes) | set(derived)
        ]
        used = set(self.names)
        # From the last to the first, because a derived value may use earlier ones only.
        for name in reversed(list(derived)):
            used |= derived[name] if name in used else set()
        problems += [
            f"'{name}' is not used by the command: add {{{name}}} to its arguments"
            for name in (*axes, *derived)
            if name not in used
        ]
        if self.loss.env in self.env:
            problems.append(f"runner.env sets '{self.loss.env}', which loss.env also sets")
        loss_file = self.loss.csv or self.loss.json_file or self.loss.jsonl
        if loss_file and "trial_dir" not in self.names:
            problems.append(
                f"the command cannot know where to write '{loss_file}': pass it {{trial_dir}}"
            )
        return problems
