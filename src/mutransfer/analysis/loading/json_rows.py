"""This file is results from JSON: one object per line, or one list of objects."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mutransfer.analysis.loading.csv import text_of
from mutransfer.analysis.loading.table import Table
from mutransfer.analysis.results import Cell, Places
from mutransfer.errors import ResultsError

DEEPEST = 8  # names of more parts are nobody's settings
WRAPPED = {"value", "desc"}  # how W&B keeps a setting
INTERNAL = "_wandb"  # what W&B notes for itself
NESTED = frozenset({dict, list})


def read_json(path: Path) -> Table:
    """Read objects; what is nested gets a name with dots.

    Raises:
        ResultsError: Where a line is no object, naming it.
    """
    text = text_of(path)
    rows: list[Mapping[str, Cell]] = []
    numbers: list[int] = []
    whole = text.lstrip().startswith("[")
    unit = "entry" if whole else "line"
    for number, written in _whole(path, text) if whole else _lines(path, text):
        if not isinstance(written, dict):
            raise _no_object(f"'{path}', {unit} {number} holds {_kind(written)}")
        try:
            rows.append(flat(written))
        except ValueError as refused:
            raise _refusal(path, f"{unit} {number}", str(refused)) from None
        numbers.append(number)
    if not rows:
        raise _no_object(f"'{path}' has no rows")
    return Table(f"'{path}'", as_columns(rows), Places(unit, numbers))


def flat(written: Mapping[str, Any]) -> dict[str, Cell]:
    """Flatten one object; lists, and what is nested too deeply, are dropped.

    Raises:
        ValueError: Where two values get the same name.

    Example:
        >>> flat({"config": {"lr": {"value": 0.01, "desc": None}}, "tags": ["a"], "loss": 3})
        {'config.lr': 0.01, 'loss': 3}
    """
    if not NESTED.intersection(map(type, written.values())):
        return {name: value for name, value in written.items() if name != INTERNAL}
    found: dict[str, Cell] = {}
    # A stack instead of recursion: nesting is the file's choice.
    stack: list[tuple[tuple[str, ...], Any]] = [((), written)]
    while stack:
        parts, value = stack.pop()
        if isinstance(value, dict) and parts and "value" in value and value.keys() <= WRAPPED:
            value = value["value"]
        if isinstance(value, dict):
            if len(parts) < DEEPEST:
                below = [((*parts, key), item) for key, item in value.items()]
                stack.extend(reversed([pair for pair in below if pair[0][-1] != INTERNAL]))
        elif not isinstance(value, list):
            name = ".".join(parts)
            if name in found:
                raise ValueError(f"'{name}' is there twice")
            found[name] = value
    return found


def as_columns(rows: Sequence[Mapping[str, Cell]]) -> dict[str, list[Cell]]:
    """Turn rows into columns; what a row does not have is None.

    Example:
        >>> as_columns([{"lr": 0.1}, {"lr": 0.2, "seed": 1}])
        {'lr': [0.1, 0.2], 'seed': [None, 1]}
    """
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def parsed(text: str) -> object:
    """Parse JSON in which NaN may stand; a ValueError says what is wrong.

    Example:
        >>> parsed('{"lr": 1, "lr": 2}')
        Traceback (most recent call last):
        ValueError: the key 'lr' is there twice
    """
    try:
        return DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except json.JSONDecodeError as refused:
        raise ValueError(f"not JSON: {refused}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice: one of the two would be ignored silently."""
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key '{next(k for k in keys if keys.count(k) > 1)}' is there twice")
    return made


DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def _whole(path: Path, text: str) -> Iterable[tuple[int, object]]:
    """Give the entries of a list, counted from one."""
    try:
        written = parsed(text)
    except ValueError as refused:
        raise _refusal(path, "list", str(refused)) from None
    assert isinstance(written, list)  # it begins with a bracket
    return enumerate(written, 1)


def _lines(path: Path, text: str) -> Iterator[tuple[int, object]]:
    """Give what each line holds; blank lines are skipped."""
    # Not splitlines: a string may hold separators that only some programs take for line ends.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, parsed(line)
            except ValueError as refused:
                raise _refusal(path, f"line {number}", str(refused)) from None


def _refusal(path: Path, place: str, problem: str) -> ResultsError:
    """Make the error of a line that cannot be read."""
    return ResultsError(
        f"'{path}', {place}: {problem}",
        why="a run that cannot be read would be missing from the answer",
        fix="write one JSON object per line, each key once, such as "
        '{"width": 64, "lr": 0.01, "loss": 3.1}',
    )


def _no_object(what: str) -> ResultsError:
    """Make the error of a file whose entries are no runs."""
    return ResultsError(
        what,
        why="a run is an object whose keys are columns",
        fix='write one JSON object per line, such as {"width": 64, "lr": 0.01, "loss": 3.1}',
    )


def _kind(value: object) -> str:
    """Name a JSON type as people do."""
    if value is None:
        return "null"
    names = {bool: "true or false", str: "text", list: "a list"}
    return names.get(type(value), "a number")
