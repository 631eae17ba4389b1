"""This file is reading a program's loss from what it left behind."""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from mutransfer.errors import TrialError, listed
from mutransfer.records.command import LossSource

STDOUT = "stdout.txt"
ENV_FILE = "loss"  # the file whose path `loss.env` holds
LARGEST_JSON = 2**28


def read_loss(source: LossSource, attempt: Path) -> float:
    """Read the loss of a finished program; NaN and infinity are what a diverged one left.

    Args:
        source: Where the study says it is.
        attempt: The attempt's folder.

    Raises:
        TrialError: It is not there, or no number.
    """
    if source.csv is not None:
        path, found = attempt / source.csv, _from_csv
    elif source.jsonl is not None:
        path, found = attempt / source.jsonl, _from_jsonl
    elif source.json_file is not None:
        path, found = attempt / source.json_file, _from_json
    elif source.regex is not None:
        path, found = attempt / STDOUT, _from_lines
    else:
        path, found = attempt / ENV_FILE, _from_json
    try:
        with _opened(path, attempt) as file:
            values = list(found(file, source))
        if not values:
            raise ValueError(_sought(source))
    except (OSError, ValueError, csv.Error) as problem:
        what = problem.strerror if isinstance(problem, OSError) else problem
        name = path.name if source.env is None else f"the file that ${source.env} names"
        raise TrialError(
            f"no loss in {name}: {what}",
            why="a trial without a loss answers nothing",
            fix="compare [runner] loss with what the program writes; see its stdout.txt and "
            "stderr.txt",
        ) from None
    if source.reduce == "last" or not math.isfinite(values[-1]):
        return values[-1]  # a run that ends without a loss has diverged, whatever it once had
    if source.reduce == "min":
        return min(v for v in values if math.isfinite(v))
    return sum(values) / len(values)


def _sought(source: LossSource) -> str:
    """Name what was looked for."""
    if source.csv is not None:
        return f"no number in column '{source.column or 'loss'}'"
    if source.regex is not None:
        return f"no line matches '{source.regex}'"
    return f"no '{source.key or 'loss'}'"


def _from_csv(file: IO[str], source: LossSource) -> Iterator[float]:
    """Read a column; empty cells are evaluations that were not made."""
    column, header = source.column or "loss", file.readline()
    separators = [s for s in ",;\t" if column in next(csv.reader([header], delimiter=s), [])]
    if not separators:
        raise ValueError(f"no column '{column}' in its header {header.strip()!r}")
    names = next(csv.reader([header], delimiter=separators[0]))
    place = names.index(column)
    for number, row in enumerate(csv.reader(file, delimiter=separators[0]), start=2):
        # A row that a killed program did not finish has fewer cells.
        if len(row) > place and row[place].strip():
            yield _number(row[place], file, number)


def _from_jsonl(file: IO[str], source: LossSource) -> Iterator[float]:
    """Read a key of every line that has it."""
    found, keys = False, dict[str, None]()
    for number, line in enumerate(file, start=1):
        try:
            data = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            if not line.endswith("\n"):
                return  # the last line of a program that was cut off
            raise ValueError(f"line {number} is not JSON") from None
        for value in _under(data, source, file, number):
            found = True
            yield value
        if not found and isinstance(data, dict) and len(keys) < 20:
            keys.update(dict.fromkeys(data))
    if keys and not found:
        raise ValueError(f"no '{source.key or 'loss'}', its lines have {listed(keys, limit=10)}")


def _from_json(file: IO[str], source: LossSource) -> Iterator[float]:
    """Read a number, or a key of an object."""
    if os.fstat(file.fileno()).st_size > LARGEST_JSON:
        raise ValueError(f"it is larger than {LARGEST_JSON} bytes")
    text = file.read()
    if source.env is not None and source.key is None:
        with suppress(ValueError):
            yield float(text)
            return
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    yield from _under(data, source, file, 1)


def _from_lines(file: IO[str], source: LossSource) -> Iterator[float]:
    """Search every line."""
    assert source.regex is not None
    pattern = re.compile(source.regex)
    for number, line in enumerate(file, start=1):
        if match := pattern.search(line):
            yield _number((match[1] or "").rstrip(",;"), file, number)


def _under(data: object, source: LossSource, file: IO[str], line: int) -> Iterator[float]:
    """Follow a dotted key; the whole key may be one name."""
    key = source.key or "loss"
    if isinstance(data, dict) and key in data:
        yield _number(data[key], file, line)
        return
    for part in key.split("."):
        if not isinstance(data, dict) or part not in data:
            return
        data = data[part]
    yield _number(data, file, line)


def _number(value: object, file: IO[str], line: int) -> float:
    """Read a number; null is what JSON writers make of NaN."""
    if value is None:
        return math.nan
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        return float(value)
    except (ValueError, OverflowError):
        shown = repr(value)[:40]
        raise ValueError(f"line {line} has {shown}, which is no number") from None


def _opened(path: Path, attempt: Path) -> IO[str]:
    """Open a file that lies inside the attempt's folder, links followed."""
    if not path.resolve().is_relative_to(attempt.resolve()):
        raise ValueError("it lies outside the trial's folder")
    return open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), errors="replace", newline="")


def matches(pattern: str, paths: Iterable[Path]) -> bool:
    """Search every line of some files."""
    compiled = re.compile(pattern)
    for path in paths:
        with path.open(errors="replace") as file:
            if any(compiled.search(line) for line in file):
                return True
    return False
