"""Folders of TensorBoard's scalar CSVs, one curve per file, with the settings in its name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mutransfer.analysis.loading.formats.csv import is_curve, read_rows
from mutransfer.analysis.loading.names import ALIASES
from mutransfer.analysis.loading.numbers import parse_number
from mutransfer.analysis.loading.table import Table, columns_from_rows, join_logged
from mutransfer.analysis.results import Cell, Places
from mutransfer.errors import ResultsError, listed

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?(?=[_-]|$)", re.IGNORECASE)
POWER = re.compile(r"(?:2|10|e)(?:\^|\*\*)[+-]?\d+(?:\.\d+)?(?=[_-]|$)", re.IGNORECASE)
TAG = re.compile(r"-tag-([^/]*)$")
# Keys that may follow a value after an underscore, as in `opt=adam_w_n_embd=64`; the longest
# first, since `lr` also ends `max_lr`.
KEYS = sorted(
    {alias for aliases in ALIASES.values() for alias in aliases}
    | {"seed", "depth", "n_layer", "tokens", "optimizer", "parametrization", "batch_size", "wd"}
    | {"weight_decay", "base_width", "steps"},
    key=len,
    reverse=True,
)
EXAMPLE = "width=64,lr=0.01,seed=0.csv"


def settings_from_name(name: str) -> dict[str, Cell]:
    """Parse the pairs `key=value` in a path.

    Example:
        >>> settings_from_name("run-width=64_lr=2e-3_seed=1")
        {'width': 64.0, 'lr': 0.002, 'seed': 1.0}
        >>> settings_from_name("sp/n_embd=128,lr=2^-6-seed=0 opt=adam_w_max_lr=.1")
        {'n_embd': 128.0, 'lr': 0.015625, 'seed': 0.0, 'opt': 'adam_w', 'max_lr': 0.1}
    """
    settings: dict[str, Cell] = {}
    # These characters always end a setting; `_` and `-` may also be part of a key or a value.
    for piece in re.split(r"[,;/\s]+", name):
        key = ""
        parts = piece.split("=")
        for index, part in enumerate(parts):
            is_last = index == len(parts) - 1
            value, next_key = _split_value_and_key(part, is_first=index == 0, is_last=is_last)
            if key:
                number = parse_number(value)
                settings[key] = value if number is None else number
            key = next_key
    return settings


def _split_value_and_key(part: str, *, is_first: bool, is_last: bool) -> tuple[str, str]:
    """Split the text between two equal signs into a value and the key that follows it."""
    if is_first:
        return "", _key_at_end(part.removeprefix("run-").removeprefix("run_")) if part else ""
    if match := POWER.match(part) or NUMBER.match(part):
        rest = part[match.end() :].lstrip("_-")
        return match[0], "" if is_last else _key_at_end(rest)
    if is_last:
        return part, ""
    for key in KEYS:
        if re.search(rf"[_-]{key}$", part, re.IGNORECASE):
            return part[: -len(key)].rstrip("_-"), part[-len(key) :]
    value, _, key = part.partition("_" if "_" in part else "-")
    return value, _key_at_end(key)


def _key_at_end(text: str) -> str:
    """Return the key at the end of a text."""
    for key in KEYS:
        if re.search(rf"(?:^|[_-]){key}$", text, re.IGNORECASE):
            return text[-len(key) :]
    return text.rpartition("-")[2]


def read_curves(folder: Path, files: Sequence[Path]) -> Table | None:
    """Read the last value and the last step of every curve; None where no file is a curve.

    Args:
        folder: Folder of the files.
        files: CSV files below it.

    Raises:
        ResultsError: The name of a file holds no setting, or a curve is damaged.
    """
    settings: dict[str, Mapping[str, Cell]] = {}
    values: dict[str, dict[str, Cell]] = {}  # run -> tag -> last value
    steps: dict[str, float] = {}  # run -> last step of all its tags
    unnamed: list[str] = []
    num_other_files = 0
    for file in sorted(files):
        header, cells, lines = read_rows(file)
        if not is_curve(header):
            num_other_files += 1
            continue
        name = file.relative_to(folder).as_posix()[: -len(".csv")]
        tag = TAG.search(name)
        run = TAG.sub("", name)
        settings[run] = settings_from_name(run)
        if not settings[run]:
            unnamed.append(f"{name}.csv")
        step, value = _last_point(file, cells, lines)
        values.setdefault(run, {})[tag[1] if tag else "loss"] = value
        steps[run] = max(step, steps.get(run, step))
    if not settings:
        return None
    if unnamed:
        raise ResultsError(
            f"'{folder}': the name of {listed(unnamed, limit=3)} holds no setting",
            why="a curve of TensorBoard holds losses, but neither width nor learning rate",
            fix=f"name every file by the settings of its run, such as {EXAMPLE}",
        )
    # A single tag is the loss, whatever its name.
    tags = {tag for tagged in values.values() for tag in tagged}
    names = {tag: "loss" if len(tags) == 1 else tag for tag in tags}
    rows: list[dict[str, Cell]] = []
    for run, own in settings.items():
        logged = {names[tag]: value for tag, value in values[run].items()}
        rows.append({"step": steps[run], **join_logged(own, logged)})
    verb = "1 CSV file is" if num_other_files == 1 else f"{num_other_files} CSV files are"
    notes = (f"{verb} not a TensorBoard curve and left out",) if num_other_files else ()
    places = Places("run", list(settings))
    return Table(f"'{folder}'", columns_from_rows(rows), places, notes=notes)


def _last_point(
    file: Path, cells: Sequence[Sequence[str]], lines: Sequence[int]
) -> tuple[float, Cell]:
    """Return the last step and the value there; of several lines with that step, the last."""
    parsed = [parse_number(row[1]) for row in cells]
    wrong = [row for row, step in enumerate(parsed) if step is None or step != step]
    if wrong:
        raise ResultsError(
            f"'{file}': the step is not a number in {Places('line', lines).format(wrong)}",
            why="the loss is the value at the last step",
            fix="download the curve again, or remove those lines",
        )
    step, last = max((step, row) for row, step in enumerate(parsed) if step is not None)
    number = parse_number(cells[last][2])
    return step, cells[last][2] if number is None else number
