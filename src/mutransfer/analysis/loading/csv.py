"""This file is results from a CSV file, as programs and spreadsheets write it."""

from __future__ import annotations

import codecs
import csv
import io
import re
from contextlib import suppress
from pathlib import Path

from mutransfer.analysis.loading.numbers import columns_of_numbers
from mutransfer.analysis.loading.table import Table
from mutransfer.analysis.results import Cell, Places
from mutransfer.errors import ResultsError, listed

CONTROLS = bytes({*range(32)} - {*b"\t\n\r\f"})
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
WANTED = "write a header such as width,lr,seed,loss and one line per training run"
SCALARS = ("wall time", "step", "value")  # TensorBoard's download of one curve


def read_csv(path: Path) -> Table:
    """Read a CSV file with a header line; columns of numbers become numbers.

    Raises:
        ResultsError: Where the file is no table, or holds curves instead of runs.
    """
    header, rows, lines = rows_of(path, text_of(path))
    _refuse_curves(path, header)
    source, places = f"'{path}'", Places("line", lines)
    cells, comma = columns_of_numbers(list(zip(*rows, strict=True)), source, places)
    columns: dict[str, list[Cell]] = {
        # A column without a name is the row number that some programs write.
        name: column
        for name, column in zip(header, cells, strict=True)
        if name
    }
    return Table(source, columns, places, comma)


def text_of(path: Path) -> str:
    """Read a file as UTF-8, with or without a byte-order mark, as UTF-16 with one, or as cp1252.

    The last is what Excel writes where it is told nothing else; it has letters for most bytes,
    so a file with control characters is refused.

    Raises:
        ResultsError: Where it is none of them.
    """
    data = path.read_bytes()
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as refused:
        if not wide and not any(byte in data for byte in CONTROLS):
            with suppress(UnicodeDecodeError):
                return data.decode("cp1252")
        byte = refused.object[refused.start]
        raise ResultsError(
            f"'{path}' is not {'UTF-16' if wide else 'UTF-8'} text: "
            f"byte {refused.start} is 0x{byte:02x}",
            why="letters would be read as other letters, or it is no CSV file at all",
            fix="export a table as CSV: in Excel 'Save as', 'CSV UTF-8 (comma delimited)'",
        ) from None


def separator_of(text: str) -> str:
    r"""Choose what separates columns by the first line that holds something.

    Example:
        >>> separator_of('"a,b";lr;loss\n'), separator_of("width\tlr"), separator_of("loss")
        (';', '\t', ',')
    """
    for line in io.StringIO(text):
        bare = re.sub(r'"[^"]*"', "", line)
        if line.strip(" \t\r\n,;"):
            return max(SEPARATORS, key=bare.count)
    return ","


def rows_of(path: Path, text: str) -> tuple[list[str], list[list[str]], list[int]]:
    """Split into a header and rows of the same length; blank lines are skipped.

    Returns:
        The header, the rows, and the line on which each row ends.

    Raises:
        ResultsError: Where lines, names or quotes do not fit.
    """
    separator = separator_of(text)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    header: list[str] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    uneven: list[int] = []
    try:
        for row in reader:
            if not "".join(row).strip():
                continue
            if not header:
                header = [name.strip() for name in row]
            elif len(row) == len(header):
                rows.append(row)
                lines.append(reader.line_num)
            else:
                uneven.append(reader.line_num)
    except csv.Error as refused:
        raise ResultsError(
            f"'{path}', line {reader.line_num}: {refused}",
            why="from there on columns cannot be told apart",
            fix=f"separate columns with {SEPARATORS[separator]} and close every quote",
        ) from None
    _refuse_unlike(path, header, uneven, SEPARATORS[separator])
    if not rows:
        raise ResultsError(
            f"'{path}' has {'no rows' if header else 'no header'}",
            why="there is nothing to analyze",
            fix=WANTED,
        )
    return header, rows, lines


def _refuse_unlike(path: Path, header: list[str], uneven: list[int], separators: str) -> None:
    """Refuse lines of another length than the header, and names that stand twice."""
    if uneven:
        raise ResultsError(
            f"'{path}' has {len(header)} columns, but not in line {listed(uneven)}",
            why="values would fall into the wrong columns",
            fix=f"give every line one value per column of the header, separated by {separators}",
        )
    if twice := sorted({name for name in header if name and header.count(name) > 1}):
        raise ResultsError(
            f"'{path}' has the column {listed(twice)} twice",
            why="one of the two would be ignored silently",
            fix="give every column its own name",
        )


def is_scalars(header: list[str]) -> bool:
    """Whether this is TensorBoard's download of one curve.

    Example:
        >>> is_scalars(["Wall time", "Step", "Value"]), is_scalars(["Step", "Value"])
        (True, False)
    """
    return tuple(name.lower() for name in header) == SCALARS


def _refuse_curves(path: Path, header: list[str]) -> None:
    """Refuse exports of charts: they hold losses over steps, but no width and no rate."""
    if is_scalars(header):
        raise ResultsError(
            f"'{path}' is one curve that was downloaded from TensorBoard",
            why="it holds a loss per step, but neither width nor rate of any run",
            fix="take the table of the HPARAMS tab (download as CSV), or a folder of such files "
            "that are named by their settings, such as width=64,lr=0.01,seed=0.csv",
        )
    names = set(header)
    if any({f"{name}__MIN", f"{name}__MAX"} <= names for name in header):
        raise ResultsError(
            f"'{path}' is a chart that was exported from W&B",
            why="it holds losses per step, but neither width nor rate of any run",
            fix="take the runs table instead: open the project's table of runs, show the columns "
            'of width, rate and loss, and choose "Export as CSV"',
        )
