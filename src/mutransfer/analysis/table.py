"""This file is results from a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from mutransfer.analysis.results import Cell, Results
from mutransfer.errors import ResultsError, listed

# What people and programs write for "no number"; all of it means a diverged run.
EMPTY = frozenset({"", "nan", "none", "null", "na", "n/a"})


def read_csv(path: Path) -> Results:
    """Read a CSV file with a header line; columns of numbers become numbers."""
    header, rows = _rows(path, _text(path))
    cells: dict[str, Sequence[Cell]] = {
        name: _numbers(values) for name, values in zip(header, zip(*rows, strict=True), strict=True)
    }
    for name in ("loss", "diverged_at"):
        if name in cells:
            cells[name] = _outcomes(path, name, cells[name])
    return Results.from_columns(cells, source=f"'{path}'")


def _text(path: Path) -> str:
    """Read a file as UTF-8, with or without a byte-order mark."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as refused:
        byte = refused.object[refused.start]
        raise ResultsError(
            f"'{path}' is not UTF-8 text: byte {refused.start} is 0x{byte:02x}",
            why="letters would be read as other letters, or it is no CSV file at all",
            fix="save it as CSV with encoding UTF-8",
        ) from None


def _rows(path: Path, text: str) -> tuple[list[str], list[list[str]]]:
    """Split into a header and rows of the same length; blank lines are skipped."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    rows: list[list[str]] = []
    uneven: list[int] = []
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if not header:
                header = [name.strip() for name in row]
            elif len(row) == len(header):
                rows.append(row)
            else:
                uneven.append(reader.line_num)
    except csv.Error as refused:
        raise ResultsError(
            f"'{path}', line {reader.line_num}: {refused}",
            why="from there on columns cannot be told apart",
            fix="separate columns with commas and close every quote",
        ) from None
    if uneven:
        raise ResultsError(
            f"'{path}' has {len(header)} columns, but not in line {listed(uneven)}",
            why="values would fall into the wrong columns",
            fix="give every line one value per column of the header, separated by commas",
        )
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise ResultsError(
            f"'{path}' has the column {listed(twice)} twice",
            why="one of the two would be ignored silently",
            fix="give every column its own name",
        )
    if not rows:
        raise ResultsError(
            f"'{path}' has {'no rows' if header else 'no header'}",
            why="there is nothing to analyze",
            fix="write a header such as width,lr,seed,loss and one line per training run",
        )
    return header, rows


def _numbers(values: Sequence[str]) -> Sequence[Cell]:
    """Turn a column into numbers if all of it is, else into stripped text."""
    try:
        return [float(value) for value in values]
    except ValueError:
        return [value.strip() for value in values]


def _outcomes(path: Path, name: str, values: Sequence[Cell]) -> Sequence[Cell]:
    """Read a column of numbers in which a cell may be empty."""
    numbers: list[Cell] = []
    wrong = []
    for value in values:
        if not isinstance(value, str):
            numbers.append(None if value != value else value)
        elif value.lower() in EMPTY:
            numbers.append(None)
        else:
            try:
                numbers.append(float(value))
            except ValueError:
                wrong.append(value)
    if wrong:
        raise ResultsError(
            f"'{path}': column '{name}' has what is no number: {listed(dict.fromkeys(wrong))}",
            why="a run without a number cannot be compared",
            fix="write a number, or leave the cell empty"
            + (" if the run diverged" if name == "loss" else " if the run did not diverge"),
        )
    return numbers
