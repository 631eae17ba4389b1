"""This file is results from a folder of TensorBoard's scalar CSVs, one run per file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mutransfer.analysis.loading.column_names import KNOWN
from mutransfer.analysis.loading.csv import is_scalars, rows_of, text_of
from mutransfer.analysis.loading.json_rows import as_columns
from mutransfer.analysis.loading.numbers import number
from mutransfer.analysis.loading.table import Table
from mutransfer.analysis.results import Cell, Places
from mutransfer.errors import ResultsError, listed

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?(?=[_-]|$)", re.IGNORECASE)
POWER = re.compile(r"(?:2|10|e)(?:\^|\*\*)[+-]?\d+(?:\.\d+)?(?=[_-]|$)", re.IGNORECASE)
TAG = re.compile(r"-tag-([^/]*)$")
# Names that may follow a value after an underscore, as in `opt=adam_w_n_embd=64`.
KEYS = sorted(
    {name for names in KNOWN.values() for name in names}
    | {"seed", "depth", "n_layer", "tokens", "optimizer", "parametrization", "batch_size", "wd"}
    | {"weight_decay", "base_width", "steps"},
    key=len,
    reverse=True,
)
EXAMPLE = "width=64,lr=0.01,seed=0.csv"


def settings_of(name: str) -> dict[str, Cell]:
    """Read the settings that a path is named by, as pairs `key=value`.

    Example:
        >>> settings_of("run-width=64_lr=2e-3_seed=1")
        {'width': 64.0, 'lr': 0.002, 'seed': 1.0}
        >>> settings_of("sp/n_embd=128,lr=2^-6-seed=0 opt=adam_w_max_lr=.1")
        {'n_embd': 128.0, 'lr': 0.015625, 'seed': 0.0, 'opt': 'adam_w', 'max_lr': 0.1}
    """
    found: dict[str, Cell] = {}
    # These end a setting for certain; `_` and `-` may also be part of a name or a number.
    for piece in re.split(r"[,;/\s]+", name):
        key = ""
        parts = piece.split("=")
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            value, following = _value_and_key(part, first=not index, last=last)
            if key:
                read = number(value)
                found[key] = value if read is None else read
            key = following
    return found


def _value_and_key(part: str, *, first: bool, last: bool) -> tuple[str, str]:
    """Divide what stands between two equal signs into a value and the key after it."""
    if first:
        return "", _key_at_end(part.removeprefix("run-").removeprefix("run_")) if part else ""
    if written := POWER.match(part) or NUMBER.match(part):
        rest = part[written.end() :].lstrip("_-")
        return written[0], "" if last else _key_at_end(rest)
    if last:
        return part, ""
    for key in KEYS:
        if re.search(rf"[_-]{key}$", part, re.IGNORECASE):
            return part[: -len(key)].rstrip("_-"), part[-len(key) :]
    value, _, key = part.partition("_" if "_" in part else "-")
    return value, _key_at_end(key)


def _key_at_end(text: str) -> str:
    """Take the key from what stands before an equal sign."""
    for key in KEYS:
        if re.search(rf"(?:^|[_-]){key}$", text, re.IGNORECASE):
            return text[-len(key) :]
    return text.rpartition("-")[2]


def read_scalars(folder: Path, files: Sequence[Path]) -> Table | None:
    """Read the last loss of every curve; None where no file is one.

    Args:
        folder: Where the files are.
        files: The CSV files in it.

    Raises:
        ResultsError: Where a file's name says nothing about its run.
    """
    rows: dict[str, dict[str, Cell]] = {}
    tags: dict[str, dict[str, Cell]] = {}
    unnamed: list[str] = []
    others = 0
    for file in sorted(files):
        header, cells, lines = rows_of(file, text_of(file))
        if not is_scalars(header):
            others += 1
            continue
        name = file.relative_to(folder).as_posix()[: -len(".csv")]
        tag = TAG.search(name)
        run = TAG.sub("", name)
        rows[run] = settings_of(run)
        if not rows[run]:
            unnamed.append(f"{name}.csv")
        tags.setdefault(run, {})[tag[1] if tag else "loss"] = _last(file, cells, lines)
    if not rows:
        return None
    if unnamed:
        raise ResultsError(
            f"'{folder}': the name of {listed(unnamed, limit=3)} holds no setting",
            why="a TensorBoard curve holds losses, but neither width nor rate",
            fix=f"name every file by its run's settings, such as {EXAMPLE}",
        )
    return _as_table(folder, rows, tags, others)


def _as_table(
    folder: Path,
    rows: Mapping[str, Mapping[str, Cell]],
    tags: Mapping[str, Mapping[str, Cell]],
    others: int,
) -> Table:
    """Put settings and losses side by side; the only curve that there is is the loss."""
    every = {tag for found in tags.values() for tag in found}
    alone = len(every) == 1
    columns = as_columns(
        [
            {**settings, **({"loss": next(iter(tags[run].values()))} if alone else tags[run])}
            for run, settings in rows.items()
        ]
    )
    files = "1 CSV file is" if others == 1 else f"{others} CSV files are"
    notes = (f"{files} no TensorBoard curve and left out",) if others else ()
    return Table(f"'{folder}'", columns, Places("run", list(rows)), notes=notes)


def _last(file: Path, cells: Sequence[Sequence[str]], lines: Sequence[int]) -> Cell:
    """Give the value at the last step; of two at the same step, the later one."""
    steps = [number(row[1]) for row in cells]
    wrong = [lines[row] for row, step in enumerate(steps) if step is None or step != step]
    if wrong:
        raise ResultsError(
            f"'{file}': the step is no number in line {listed(wrong)}",
            why="the loss is the value at the last step",
            fix="download the curve again, or leave those lines out",
        )
    row = max(range(len(steps)), key=lambda k: (steps[k], k))
    value = number(cells[row][2])
    return cells[row][2] if value is None else value
