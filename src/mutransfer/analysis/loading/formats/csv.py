"""CSV files as programs and spreadsheets write them."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from mutransfer.analysis.loading.formats.text import read_text
from mutransfer.analysis.loading.numbers import parse_columns
from mutransfer.analysis.loading.table import Table
from mutransfer.analysis.results import Places
from mutransfer.errors import ResultsError, listed

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
CURVE_HEADER = ["wall time", "step", "value"]  # of a curve downloaded from TensorBoard


def read_csv(path: Path) -> Table:
    """Read a CSV file with a header; columns of numbers become numbers.

    Raises:
        ResultsError: The file is not a table, or holds curves instead of runs.
    """
    header, rows, lines = read_rows(path)
    _check_not_curves(path, header)
    source, places = f"'{path}'", Places("line", lines)
    columns, decimal_comma = parse_columns(list(zip(*rows, strict=True)), source, places)
    # pandas and R write row numbers as a column without a name.
    named = {name: cells for name, cells in zip(header, columns, strict=True) if name}
    return Table(source, named, places, decimal_comma)


def read_rows(path: Path) -> tuple[list[str], list[list[str]], list[int]]:
    """Read a header and rows of the same length; blank lines are skipped.

    Returns:
        The header, the rows, and the number of the line on which each row ends.

    Raises:
        ResultsError: Rows, names or quotes are malformed.
    """
    text = read_text(path)
    separator = detect_separator(text)
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
    except csv.Error as error:
        raise ResultsError(
            f"'{path}', line {reader.line_num}: {error}",
            why="the columns of all later lines would be uncertain",
            fix=f"separate columns with {SEPARATORS[separator]} and close every quote",
        ) from None
    _check_shape(path, header, uneven, SEPARATORS[separator])
    if not rows:
        raise ResultsError(
            f"'{path}' has {'no rows' if header else 'no header'}",
            why="there is nothing to analyze",
            fix="write a header such as width,lr,seed,loss and one line per training run",
        )
    return header, rows, lines


def detect_separator(text: str) -> str:
    r"""Return the separator that is most frequent in the first line that is not blank.

    Example:
        >>> detect_separator('"a,b";lr;loss\n'), detect_separator("width\tlr"), detect_separator("")
        (';', '\t', ',')
    """
    for line in io.StringIO(text):
        if line.strip(" \t\r\n,;"):
            return max(SEPARATORS, key=re.sub(r'"[^"]*"', "", line).count)
    return ","


def _check_shape(path: Path, header: list[str], uneven: list[int], separators: str) -> None:
    """Raise an error for rows of another length than the header, and for repeated names."""
    if uneven:
        raise ResultsError(
            f"'{path}' has {len(header)} columns, but not in "
            f"{Places('line', uneven).format(range(len(uneven)))}",
            why="values would be read into the wrong columns",
            fix=f"write one value per column in every line, separated by {separators}",
        )
    if repeated := sorted({name for name in header if name and header.count(name) > 1}):
        raise ResultsError(
            f"'{path}' has the column {listed(repeated)} twice",
            why="one of the two would be ignored silently",
            fix="give every column its own name",
        )


def is_curve(header: list[str]) -> bool:
    """Return whether a header is that of a curve downloaded from TensorBoard.

    Example:
        >>> is_curve(["Wall time", "Step", "Value"]), is_curve(["Step", "Value"])
        (True, False)
    """
    return [name.lower() for name in header] == CURVE_HEADER


def _check_not_curves(path: Path, header: list[str]) -> None:
    """Raise an error for exported charts: they hold losses over steps, but no width and no rate."""
    if is_curve(header):
        raise ResultsError(
            f"'{path}' is a single curve downloaded from TensorBoard",
            why="it holds a loss per step, but neither width nor learning rate of any run",
            fix="download the table of the HPARAMS tab as CSV, or pass a folder of such files "
            "whose names hold the settings, such as width=64,lr=0.01,seed=0.csv",
        )
    names = set(header)
    if any({f"{name}__MIN", f"{name}__MAX"} <= names for name in header):
        raise ResultsError(
            f"'{path}' is a chart exported from W&B",
            why="it holds losses per step, but neither width nor learning rate of any run",
            fix="export the runs table instead: open the project's table of runs, show the columns "
            'of width, learning rate and loss, and choose "Export as CSV"',
        )
