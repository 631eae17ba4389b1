"""Loss of a finished program, read from the file or the output that the study names."""

from __future__ import annotations

import csv
import json
import math
import os
import re
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from mutransfer.errors import TrialError, counted, listed
from mutransfer.records.program.loss_source import LossSource, MeanOfLast

STDOUT, STDERR = "stdout.txt", "stderr.txt"
OWN_FILES = (STDOUT, STDERR, "ended.json", "error.txt", "process.json", ".reserve")  # of the sweep
ENV_FILE = "loss"  # its path is the value of the variable `loss.env`
MAX_JSON_BYTES = 2**28  # a JSON file is parsed as a whole, in memory


def read_loss(source: LossSource, attempt: Path) -> float:
    """Read the loss of a finished program; it is NaN or infinite if training diverged.

    Args:
        source: Place of the loss, from the study.
        attempt: Folder of the attempt.

    Raises:
        TrialError: The loss is missing or not a number.
    """
    path, parse = loss_path(source, attempt), _from_json
    if source.csv is not None:
        parse = _from_csv
    elif source.jsonl is not None:
        parse = _from_jsonl
    elif source.regex is not None:
        parse = _from_lines
    try:
        with _open_inside(path, attempt) as file:
            values = array("d", parse(file, source))
        if not values:
            raise ValueError(_missing(source))
    except (OSError, ValueError, csv.Error) as error:
        problem = error.strerror if isinstance(error, OSError) else error
        raise TrialError(
            f"no loss in {_file_name(source, path)}: {problem}",
            why="a trial without a loss cannot be analyzed",
            fix=f"compare [runner] loss with what the program writes: {_written(source, attempt)}",
        ) from None
    if source.reduce == "last" or not math.isfinite(values[-1]):
        return values[-1]  # a run that ends without a finite loss diverged, whatever came before
    if source.reduce == "min":
        return min(v for v in values if math.isfinite(v))
    if isinstance(source.reduce, MeanOfLast):
        count = source.reduce.mean
        if len(values) < count:
            raise TrialError(
                f"{_file_name(source, path)} has {counted(len(values), 'value')} of the loss, "
                f"fewer than the {count} of reduce = {{mean = {count}}}",
                why="a mean that reaches further back in training is higher, and not comparable",
                fix=f"write reduce = {{mean = {len(values)}}} or less, and run the same command: "
                "programs that ended are read again, not run again",
            )
        values = values[-count:]
    return sum(values) / len(values)


def loss_path(source: LossSource, attempt: Path) -> Path:
    """Return the file that has the loss of a finished program."""
    return attempt / (
        source.csv or source.jsonl or source.json_file or (STDOUT if source.regex else ENV_FILE)
    )


def _written(source: LossSource, attempt: Path) -> str:
    """Describe what a program wrote, where its loss is missing."""
    if source.regex is not None:
        if any_line_matches(source.regex, [attempt / STDERR]):
            return "the pattern matches in stderr.txt; write sh -c '... 2>&1' to search that too"
        if line := _last_line(attempt / STDOUT):
            return f"the last line of stdout.txt is {line!r}"
        return "stdout.txt is empty, and a regex is not searched for in stderr.txt"
    if source.env is None:
        names = sorted(path.name for path in attempt.iterdir() if path.name not in OWN_FILES)
        if not names:
            return "it wrote no file into {trial_dir}, " + str(attempt)
        return f"{{trial_dir}} has {listed(names, limit=10)}"
    return "see its stdout.txt and stderr.txt"


def _last_line(path: Path) -> str:
    """Return the last line of a log that is not blank, shortened."""
    with suppress(OSError), path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 2**12))
        lines = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
        return next((line[:100] for line in reversed(lines) if line), "")
    return ""


def _file_name(source: LossSource, path: Path) -> str:
    """Return the name of the file with the loss, or the variable that names it."""
    return path.name if source.env is None else f"the file that ${source.env} names"


def _missing(source: LossSource) -> str:
    """Describe the missing loss."""
    if source.csv is not None:
        return f"no number in column '{source.column or 'loss'}'"
    if source.regex is not None:
        return f"no line matches '{source.regex}'"
    return f"no '{source.key or 'loss'}'"


def _from_csv(file: IO[str], source: LossSource) -> Iterator[float]:
    """Yield the numbers of a column; an empty cell is a line without an evaluation."""
    column, header = source.column or "loss", file.readline()
    separators = [s for s in ",;\t" if column in next(csv.reader([header], delimiter=s), [])]
    if not separators:
        raise ValueError(f"no column '{column}' in its header {header.strip()!r}")
    names = next(csv.reader([header], delimiter=separators[0]))
    index = names.index(column)
    for number, row in enumerate(csv.reader(file, delimiter=separators[0]), start=2):
        # The last row of a program that was killed may have fewer cells.
        if len(row) > index and row[index].strip():
            yield _parse(row[index], number)


def _from_jsonl(file: IO[str], source: LossSource) -> Iterator[float]:
    """Yield the number at a key of every line that has it."""
    has_values, keys = False, dict[str, None]()
    for number, line in enumerate(file, start=1):
        try:
            data = json.loads(line) if line.strip() else None
        except (ValueError, RecursionError):
            if not line.endswith("\n"):
                return  # the last line of a program that was killed
            raise ValueError(f"line {number} is not JSON") from None
        for value in _at_key(data, source, number):
            has_values = True
            yield value
        if not has_values and isinstance(data, dict) and len(keys) < 20:
            keys.update(dict.fromkeys(data))
    if keys and not has_values:
        raise ValueError(f"no '{source.key or 'loss'}', its lines have {listed(keys, limit=10)}")


def _from_json(file: IO[str], source: LossSource) -> Iterator[float]:
    """Yield the number in a file, or at a key of an object."""
    if os.fstat(file.fileno()).st_size > MAX_JSON_BYTES:
        raise ValueError(f"the file is larger than {MAX_JSON_BYTES} bytes")
    text = file.read()
    if source.env is not None and source.key is None:
        with suppress(ValueError):
            yield float(text)
            return
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("the file is not JSON") from None
    yield from _at_key(data, source, 1)


def _from_lines(file: IO[str], source: LossSource) -> Iterator[float]:
    """Yield the number that a pattern captures last in every line that matches."""
    assert source.regex is not None
    pattern = re.compile(source.regex)
    for number, line in enumerate(file, start=1):
        last = None
        for match in pattern.finditer(line.rstrip("\r\n") + "\n"):
            # A pattern such as (.*) also matches the empty rest of the line.
            if last is None or match[0] or match[1]:
                last = match[1] or ""
        if last is not None:
            yield _parse(last.rstrip(",;"), number)


def _at_key(data: object, source: LossSource, line: int) -> Iterator[float]:
    """Yield the number at a dotted key; the whole key may also be one name."""
    key = source.key or "loss"
    if isinstance(data, dict) and key in data:
        yield _parse(data[key], line)
        return
    for part in key.split("."):
        if not isinstance(data, dict) or part not in data:
            return
        data = data[part]
    yield _parse(data, line)


def _parse(value: object, line: int) -> float:
    """Parse a number; null is NaN, as many programs write NaN as null."""
    if value is None:
        return math.nan
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        return float(value)
    except (ValueError, OverflowError):
        raise ValueError(f"line {line} has {repr(value)[:40]}, which is not a number") from None


def _open_inside(path: Path, attempt: Path) -> IO[str]:
    """Open a file that is inside the attempt's folder when links are resolved."""
    if not path.resolve().is_relative_to(attempt.resolve()):
        raise ValueError("the file is outside the trial's folder")
    return open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), errors="replace", newline="")


def any_line_matches(pattern: str, paths: Iterable[Path]) -> bool:
    """Return whether a pattern matches in a line of some files."""
    compiled = re.compile(pattern)
    for path in paths:
        with suppress(FileNotFoundError), path.open(errors="replace") as file:
            if any(compiled.search(line) for line in file):
                return True
    return False
