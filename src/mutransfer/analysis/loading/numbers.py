"""This file is numbers as people and programs write them in a cell."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mutransfer.analysis.results import Cell, Places
from mutransfer.errors import ResultsError

# What stands for "nothing here". A run that diverged has `nan` or `inf`, which are numbers.
NOTHING = frozenset({"", "none", "null", "na", "n/a", "#n/a", "-"})

GROUPED = re.compile(r"[1-9]\d{0,2}(\.\d{3})+(,\d+)?")
POWER = re.compile(r"(2|10|e)\s*(?:\^|\*\*)\s*([+-]?[\d.,]+)", re.IGNORECASE)
BASES = {"2": 2.0, "10": 10.0, "e": 2.718281828459045}


def is_nothing(text: str) -> bool:
    """Whether a cell stands for no value.

    Example:
        >>> is_nothing(" N/A "), is_nothing("nan"), is_nothing("0")
        (True, False, False)
    """
    return text.strip().lower() in NOTHING


def number(text: str, *, comma: bool = False) -> float | None:
    """Read a number; None where it is none.

    Args:
        text: The cell.
        comma: Whether commas are decimal here; dots then group thousands.

    Example:
        >>> number(" 2^-6 "), number("nan"), number("3,14"), number("1_000")
        (0.015625, nan, None, None)
        >>> number("1,00E-03", comma=True), number("1.024", comma=True)
        (0.001, 1024.0)
        >>> number("3.14", comma=True) is None
        True
    """
    text = text.strip()
    if "_" in text:  # Python's own way to group digits, and nobody's way to write a result
        return None
    if comma:
        if GROUPED.fullmatch(text):
            text = text.replace(".", "")
        elif "." in text:
            return None
        text = text.replace(",", ".")
    try:
        return float(text)
    except ValueError:
        power = POWER.fullmatch(text)
        return _power(power[1].lower(), power[2]) if power else None


def _power(base: str, exponent: str) -> float | None:
    """Raise 2, 10 or e to what is written."""
    try:
        return float(BASES[base] ** float(exponent))
    except OverflowError:
        return float("inf")
    except ValueError:
        return None


def columns_of_numbers(
    columns: Sequence[Sequence[str]], source: str, places: Places
) -> tuple[list[list[Cell]], bool]:
    """Turn columns of cells into numbers where all of a column is, else into text.

    Returns:
        The columns, and whether the file writes decimal commas.

    Raises:
        ResultsError: Where some numbers have a decimal comma and others a decimal point.

    Example:
        >>> columns_of_numbers([["3,5", "-"], ["1.024", "64"]], "x", Places("line", [2, 3]))
        ([[3.5, None], [1024.0, 64.0]], True)
    """
    plain = [_floats(column) for column in columns]
    rest = {k: _distinct(columns[k]) for k, floats in enumerate(plain) if floats is None}
    comma = any(_has_commas(cells) for cells in rest.values())
    if comma:
        # What reads as a point may be a thousand: every column is looked at again.
        numeric = [k for k, floats in enumerate(plain) if floats is not None or _numeric(rest[k])]
        _refuse_mixture([columns[k] for k in numeric], source, places)
        plain = [_floats(column, comma=True) for column in columns]
    return [
        _convert(column, comma=comma) if floats is None else floats
        for column, floats in zip(columns, plain, strict=True)
    ], comma


def _floats(column: Sequence[str], *, comma: bool = False) -> list[Cell] | None:
    """Read a whole column at once, or None where a cell needs a closer look."""
    joined = "".join(column)
    if "_" in joined or (comma and "." in joined):
        return None
    try:
        if comma:
            return [float(cell.replace(",", ".")) for cell in column]
        return [float(cell) for cell in column]
    except ValueError:
        return None


def _distinct(column: Sequence[str]) -> list[str]:
    """Give every cell that holds something, once."""
    return [cell for cell in dict.fromkeys(column) if not is_nothing(cell)]


def _numeric(cells: Sequence[str]) -> bool:
    """Whether every cell is a number, with a comma or with a point."""
    return bool(cells) and (
        _floats(cells, comma=True) is not None
        or all(number(cell) is not None or number(cell, comma=True) is not None for cell in cells)
    )


def _has_commas(cells: Sequence[str]) -> bool:
    """Whether this is a column of numbers, some of which have a decimal comma."""
    return _numeric(cells) and any("," in cell and number(cell) is None for cell in cells)


def _convert(column: Sequence[str], *, comma: bool) -> list[Cell]:
    """Read every distinct cell once: numbers where all are, else text."""
    read = {cell: number(cell, comma=comma) for cell in _distinct(column)}
    if read and None not in read.values():
        return [read.get(cell) for cell in column]
    return [cell.strip() or None for cell in column]


def _refuse_mixture(columns: Sequence[Sequence[str]], source: str, places: Places) -> None:
    """Refuse numbers of both kinds in one file: a dot would be a point here, a thousand there."""
    points = [
        (row, cell)
        for column in columns
        if "." in "".join(column)
        for row, cell in enumerate(column)
        if "." in cell and number(cell) is not None and number(cell, comma=True) is None
    ]
    if points:
        commas = (
            (row, cell)
            for column in columns
            for row, cell in enumerate(column)
            if "," in cell and number(cell, comma=True) is not None
        )
        chosen = [next(commas), *points[:2]]
        shown = [f"'{cell.strip()}' in {places.of([row])}" for row, cell in chosen]
        raise ResultsError(
            f"{source} mixes decimal commas and decimal points: {', '.join(shown)}",
            why="one would be read as a thousand times the other",
            fix="write every number with a point, such as 0.5 and 1024, "
            "or every number with a comma, such as 0,5",
        )
