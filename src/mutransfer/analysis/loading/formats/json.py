"""JSON files: one object per line, one array of objects, or a data frame of pandas."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mutransfer.analysis.loading.formats.text import read_text
from mutransfer.analysis.loading.table import Table, columns_from_rows
from mutransfer.analysis.results import Cell, Places
from mutransfer.errors import ResultsError

MAX_DEPTH = 8  # settings are never nested so deeply [assumed]
# W&B's format: a setting is {"value": ..., "desc": ...}, and its own notes are under "_wandb".
WANDB_SETTING = {"value", "desc"}
WANDB_INTERNAL = "_wandb"


def read_json(path: Path) -> Table:
    """Read objects; a nested value gets a dotted name, such as `config.lr`.

    Raises:
        ResultsError: A line is not an object; the message names it.
    """
    text = read_text(path)
    rows: list[Mapping[str, Cell]] = []
    numbers: list[int] = []
    is_array = text.lstrip().startswith("[")
    unit = "entry" if is_array else "line"
    entries = _array_entries(path, text) if is_array else _lines(path, text)
    if not is_array and (frame := _frame_entries(text)):
        unit, entries = "entry", enumerate(frame, 1)
    for number, value in entries:
        if not isinstance(value, dict):
            raise _error(f"'{path}', {unit} {number} is {json_kind(value)}")
        try:
            rows.append(flatten(value))
        except ValueError as error:
            raise _error(f"'{path}', {unit} {number}: {error}") from None
        numbers.append(number)
    if not rows:
        raise _error(f"'{path}' has no rows")
    return Table(f"'{path}'", columns_from_rows(rows), Places(unit, numbers))


def flatten(data: Mapping[str, Any]) -> dict[str, Cell]:
    """Flatten an object into dotted names; lists and values nested too deeply are dropped.

    Raises:
        ValueError: Two values have the same name.

    Example:
        >>> flatten({"config": {"lr": {"value": 0.01, "desc": None}}, "tags": ["a"], "loss": 3})
        {'config.lr': 0.01, 'loss': 3}
    """
    if not {dict, list}.intersection(map(type, data.values())):
        return {name: value for name, value in data.items() if name != WANDB_INTERNAL}
    flat: dict[str, Cell] = {}
    # A stack instead of recursion, because the file decides how deeply it is nested.
    stack: list[tuple[tuple[str, ...], Any]] = [((), data)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict) and path and "value" in value and value.keys() <= WANDB_SETTING:
            value = value["value"]
        if isinstance(value, dict):
            if len(path) < MAX_DEPTH:
                children = [((*path, k), v) for k, v in value.items() if k != WANDB_INTERNAL]
                stack.extend(reversed(children))
        elif not isinstance(value, list):
            name = ".".join(path)
            if name in flat:
                raise ValueError(f"'{name}' occurs twice")
            flat[name] = value
    return flat


def parse_json(text: str) -> object:
    """Parse JSON, including NaN and infinity; raise ValueError with the problem.

    Example:
        >>> parse_json('{"lr": 1, "lr": 2}')
        Traceback (most recent call last):
        ValueError: the key 'lr' occurs twice
    """
    try:
        return DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object; raise for a repeated key, since one value would be ignored silently."""
    data = dict(pairs)
    if len(data) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key '{next(k for k in keys if keys.count(k) > 1)}' occurs twice")
    return data


DECODER = json.JSONDecoder(object_pairs_hook=_object)


def json_kind(value: object) -> str:
    """Describe the type of a JSON value, or the number, in words.

    Example:
        >>> json_kind(None), json_kind([1]), json_kind(3.5)
        ('null', 'a list', 'the number 3.5')
    """
    if value is None:
        return "null"
    names = {bool: "true or false", str: "text", dict: "a table", list: "a list"}
    return names.get(type(value), f"the number {value!r:.20}")


def _array_entries(path: Path, text: str) -> Iterable[tuple[int, object]]:
    """Return the entries of an array, counted from 1."""
    try:
        array = parse_json(text)
    except ValueError as error:
        raise _error(f"'{path}', list: {error}") from None
    assert isinstance(array, list)  # the text begins with a bracket
    return enumerate(array, 1)


def _frame_entries(text: str) -> Sequence[object]:
    """Return the rows of a data frame that pandas wrote as one object; empty for any other text."""
    try:
        data = parse_json(text)
    except ValueError:
        return []
    if not isinstance(data, dict):
        return []
    rows, names = data.get("data"), data.get("columns")
    if isinstance(rows, list) and data.keys() == {"schema", "data"}:  # orient="table"
        return rows
    if isinstance(rows, list) and isinstance(names, list):  # orient="split"
        is_row = [isinstance(row, list) and len(row) == len(names) for row in rows]
        return [
            dict(zip(names, row, strict=True)) if is_whole else row
            for row, is_whole in zip(rows, is_row, strict=True)
        ]
    parts = list(data.values())
    if not all(isinstance(part, dict) and part.keys() == parts[0].keys() for part in parts):
        return []
    if all(name.isdigit() for name in data):  # orient="index"
        return parts
    if parts and parts[0] and all(name.isdigit() for name in parts[0]):  # the default
        return [{name: cells[row] for name, cells in data.items()} for row in parts[0]]
    return []


def _lines(path: Path, text: str) -> Iterator[tuple[int, object]]:
    """Yield number and value of every line that is not blank."""
    # Not splitlines(), which would split a JSON string at U+2028.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, parse_json(line)
            except ValueError as error:
                raise _error(f"'{path}', line {number}: {error}") from None


def _error(what: str) -> ResultsError:
    """Return the error for a file or a line that does not hold runs."""
    return ResultsError(
        what,
        why="a run is an object whose keys are columns",
        fix="write one JSON object per line, each key once, such as "
        '{"width": 64, "lr": 0.01, "loss": 3.1}',
    )
