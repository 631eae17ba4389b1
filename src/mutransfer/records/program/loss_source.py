"""The `loss` and `diverged` tables of `[runner]`: where a program writes its loss."""

from __future__ import annotations

import re
import warnings
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mutransfer.errors import listed
from mutransfer.records.base import InvalidValue, Record

# A diverged run prints 'nan', and a very small loss looks like '1.5e-05'. A regex that matched
# neither would silently report an earlier loss, or only the mantissa.
ODD_NUMBERS = ("nan", "1.5e-05")
REDUCTIONS = ("last", "min", "mean")
MOST_VALUES = 10**9  # no program evaluates its loss so often [assumed]


def _inside(path: str) -> str:
    """Validate that a path stays inside the trial's folder, on any system."""
    parts = {*PurePosixPath(path).parts, *PureWindowsPath(path).parts}
    absolute = PurePosixPath(path).is_absolute() or PureWindowsPath(path).anchor
    if not path.strip() or "\0" in path or absolute or ".." in parts:
        what = f"'{path}' must be a file inside the trial's folder"
        raise InvalidValue((what, "let the program write it to {trial_dir}, and name it 'log.csv'"))
    return path


def _regex(pattern: str) -> str:
    """Validate a regular expression."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)  # its meaning may change with Python
            re.compile(pattern)
    except (re.error, OverflowError, RecursionError, FutureWarning) as problem:
        what = f"'{pattern[:60]}' is not a regular expression: {problem}"
        fix = r"write one such as 'loss (\S+)', in single quotes, which keep backslashes"
        raise InvalidValue((what, fix)) from None
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
        what = f"'{name}' is not the name of an environment variable"
        raise InvalidValue((what, "use letters, digits and '_', without a digit at the start"))
    return name


def _reduction(reduce: object) -> object:
    """Validate how values are reduced, in one message for both forms."""
    count = reduce.get("mean") if isinstance(reduce, dict) and len(reduce) == 1 else None
    if reduce not in REDUCTIONS and not (type(count) is int and 0 < count <= MOST_VALUES):
        raise InvalidValue(
            (
                "must be 'last', 'min', 'mean', or { mean = 50 } for that of the last 50 values",
                'write reduce = "last", or reduce = { mean = 50 }',
            )
        )
    return reduce


InsidePath = Annotated[str, AfterValidator(_inside)]
Regex = Annotated[str, AfterValidator(_regex)]
Variable = Annotated[str, AfterValidator(_variable)]


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
            named = listed(n.removesuffix("_file") for n in chosen) or "none"
            what = f"must name exactly one of csv, json, jsonl, regex, env, and names {named}"
            raise InvalidValue((what, 'write one, as in loss = { csv = "log.csv" }'))
        if self.column is not None and self.csv is None:
            what = f"'column' has no effect with {chosen[0].removesuffix('_file')}"
            raise InvalidValue((what, "write column with csv, key with json, jsonl and env"))
        if self.key is not None and chosen[0] in ("csv", "regex"):
            fix = "write column with csv, key with json, jsonl and env"
            raise InvalidValue((f"'key' has no effect with {chosen[0]}", fix))
        one_value = chosen[0] in ("json_file", "env")
        if one_value and isinstance(self.reduce, MeanOfLast) and self.reduce.mean > 1:
            what = f"'{chosen[0].removesuffix('_file')}' names a file with one value of the loss"
            fix = "leave reduce out, and let the program write the mean; or name a csv or jsonl log"
            raise InvalidValue((f"{what}, not {self.reduce.mean}", fix))
        if self.regex is not None:
            if re.compile(self.regex).groups != 1:
                what = f"'{self.regex}' must have exactly one group, around the loss"
                fix = r"write one group as in 'loss (\S+)'; others do not capture: (?:...)"
                raise InvalidValue((what, fix))
            unmatched = [text for text in ODD_NUMBERS if not _group_matches(self.regex, text)]
            if unmatched:
                what = (
                    f"the group of '{self.regex}' does not match {listed(unmatched)}, so such a "
                    "loss would be missed or truncated"
                )
                raise InvalidValue((what, r"write (\S+) for the group, as in 'loss (\S+)'"))
        return self


class Diverged(Record):
    """How a command signals divergence: by a line that it prints, or by its exit status."""

    regex: Regex | None = Field(None, description="searched in each line of stdout and stderr")
    exit: int | None = Field(None, ge=1, le=255, description="exit status")

    @model_validator(mode="after")
    def _check_not_empty(self) -> Self:
        """Check that the table is not empty."""
        if self.regex is None and self.exit is None:
            fix = "write diverged = { regex = 'loss is nan' }, or diverged = { exit = 3 }"
            raise InvalidValue(("has neither a regex nor an exit status", fix))
        return self
