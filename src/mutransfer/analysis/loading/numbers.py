"""Numbers as people and programs write them in a cell: `2^-6`, `1.234,5`, `nan`, `n/a`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import suppress

from mutransfer.analysis.results import Cell, Places
from mutransfer.errors import ResultsError

# Spellings of an empty cell. `nan` and `inf` are numbers: the loss of a run that diverged.
MISSING = frozenset({"", "none", "null", "na", "n/a", "#n/a", "-"})
GROUPED = re.compile(r"[1-9]\d{0,2}(\.\d{3})+(,\d+)?")  # 1.234.567,8
POWER = re.compile(r"(2|10|e)\s*(?:\^|\*\*)\s*([+-]?[\d.,]+)", re.IGNORECASE)
BASES = {"2": 2.0, "10": 10.0, "e": math.e}


def is_missing(text: str) -> bool:
    """Return whether a cell stands for no value.

    Example:
        >>> is_missing(" N/A "), is_missing("nan"), is_missing("0")
        (True, False, False)
    """
    return text.strip().lower() in MISSING


def parse_number(text: str, *, decimal_comma: bool = False) -> float | None:
    """Parse a number; None where the text is not one.

    Args:
        text: A cell.
        decimal_comma: Whether commas are decimal; dots then group thousands.

    Example:
        >>> parse_number(" 2^-6 "), parse_number("nan"), parse_number("3,14"), parse_number("1_000")
        (0.015625, nan, None, None)
        >>> [parse_number(text, decimal_comma=True) for text in ("1,00E-03", "1.024", "3.14")]
        [0.001, 1024.0, None]
    """
    text = text.strip()
    if "_" in text:  # Python accepts 1_000, but in a table that is text such as a name
        return None
    if decimal_comma:
        if GROUPED.fullmatch(text):
            text = text.replace(".", "")
        elif "." in text:
            return None
        text = text.replace(",", ".")
    try:
        return float(text)
    except ValueError:
        match = POWER.fullmatch(text)
    with suppress(ValueError):
        return power(match[1].lower(), float(match[2])) if match else None
    return None


def power(base: str, exponent: float) -> float:
    """Return a power of '2', '10' or 'e', infinite where it overflows."""
    try:
        return float(BASES[base] ** exponent)
    except OverflowError:
        return math.inf


def parse_cells(cells: Sequence[Cell], *, decimal_comma: bool) -> list[Cell]:
    """Parse the cells that are text; a text that is not a number stays, for the error message."""
    if str not in set(map(type, cells)):
        return list(cells)
    parsed: list[Cell] = []
    for cell in cells:
        if isinstance(cell, str):
            number = parse_number(cell, decimal_comma=decimal_comma)
            parsed.append(None if is_missing(cell) else cell if number is None else number)
        else:
            parsed.append(cell)
    return parsed


def parse_columns(
    columns: Sequence[Sequence[str]], source: str, places: Places
) -> tuple[list[list[Cell]], bool]:
    """Convert columns of text into numbers where all of a column's cells are numbers.

    Returns:
        The columns, and whether the file writes decimal commas.

    Raises:
        ResultsError: Some numbers have a decimal comma and others a decimal point.

    Example:
        >>> parse_columns([["3,5", "-"], ["1.024", "64"]], "x", Places("line", [2, 3]))
        ([[3.5, None], [1024.0, 64.0]], True)
    """
    numbers = [_parse_fast(column) for column in columns]
    texts = {k: _distinct(columns[k]) for k, parsed in enumerate(numbers) if parsed is None}
    decimal_comma = any(_has_decimal_comma(cells) for cells in texts.values())
    if decimal_comma:
        # What looked like a decimal point may group thousands: parse every column again.
        numeric = [k for k, n in enumerate(numbers) if n is not None or _is_numeric(texts[k])]
        _check_not_mixed([columns[k] for k in numeric], source, places)
        numbers = [_parse_fast(column, decimal_comma=True) for column in columns]
    return [
        _parse_column(column, decimal_comma=decimal_comma) if parsed is None else parsed
        for column, parsed in zip(columns, numbers, strict=True)
    ], decimal_comma


def _parse_fast(column: Sequence[str], *, decimal_comma: bool = False) -> list[Cell] | None:
    """Parse a column of plain numbers; None where a cell is anything else."""
    joined = "".join(column)
    if "_" in joined or (decimal_comma and "." in joined):
        return None
    try:
        return [float(cell.replace(",", ".")) if decimal_comma else float(cell) for cell in column]
    except ValueError:
        return None


def _distinct(column: Sequence[str]) -> list[str]:
    """Return the distinct cells that are not empty."""
    return [cell for cell in dict.fromkeys(column) if not is_missing(cell)]


def _is_numeric(cells: Sequence[str]) -> bool:
    """Return whether every cell is a number, with a comma or with a point."""
    return bool(cells) and (
        _parse_fast(cells, decimal_comma=True) is not None
        or all(
            parse_number(cell) is not None or parse_number(cell, decimal_comma=True) is not None
            for cell in cells
        )
    )


def _has_decimal_comma(cells: Sequence[str]) -> bool:
    """Return whether all cells are numbers and some have a decimal comma."""
    return _is_numeric(cells) and any("," in cell and parse_number(cell) is None for cell in cells)


def _parse_column(column: Sequence[str], *, decimal_comma: bool) -> list[Cell]:
    """Parse each distinct cell once; the column stays text unless all are numbers."""
    numbers = {cell: parse_number(cell, decimal_comma=decimal_comma) for cell in _distinct(column)}
    if numbers and None not in numbers.values():
        return [numbers.get(cell) for cell in column]
    return [cell.strip() or None for cell in column]


def _check_not_mixed(columns: Sequence[Sequence[str]], source: str, places: Places) -> None:
    """Raise an error where commas are decimal in some cells and points in others."""
    points = [
        (row, cell)
        for column in columns
        if "." in "".join(column)
        for row, cell in enumerate(column)
        if "." in cell
        and parse_number(cell) is not None
        and parse_number(cell, decimal_comma=True) is None
    ]
    if points:
        comma = next(
            (row, cell)
            for column in columns
            for row, cell in enumerate(column)
            if "," in cell and parse_number(cell, decimal_comma=True) is not None
        )
        examples = [f"'{cell.strip()}' in {places.format([k])}" for k, cell in (comma, *points[:2])]
        raise ResultsError(
            f"{source} mixes decimal commas and decimal points: {', '.join(examples)}",
            why="one of them would be read a thousand times too large",
            fix="write every number with a point, such as 0.5 and 1024, "
            "or every number with a comma, such as 0,5",
        )
