"""Columns of dictionaries, as pandas writes them: one column per key, such as `config.lr`.

The export that the documentation of W&B shows has the columns `summary`, `config` and `name`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mutransfer.analysis.loading.formats.dictionary import parse_dictionary
from mutransfer.analysis.loading.formats.json import flatten
from mutransfer.analysis.loading.numbers import is_missing
from mutransfer.analysis.loading.table import Table, columns_from_rows
from mutransfer.analysis.results import REQUIRED, Cell
from mutransfer.errors import ResultsError

MAX_KEYS = 10_000  # of one column; a run has hardly more settings and results [assumed]
BEGINNINGS = ("{", "Namespace(", "OrderedDict(", "namespace(")


def expand_dictionaries(table: Table, mapping: Mapping[str, str]) -> Table:
    """Replace each column of dictionaries by one column per key; lists are left out.

    Args:
        table: The table; columns that `mapping` names stay as they are.
        mapping: Our name -> theirs.

    Raises:
        ResultsError: A dictionary cannot be read, and width, rate or loss are no other columns.
    """
    columns: dict[str, Sequence[Cell]] = {}
    notes = list(table.notes)
    sources = {name: name for name in (*REQUIRED, "loss")} | dict(mapping)
    is_complete = all(text.split("^")[-1] in table.columns for text in sources.values())
    for name, cells in table.columns.items():
        new: Mapping[str, Sequence[Cell]] = {name: cells}
        if name not in mapping.values() and _is_dictionary(cells):
            try:
                new = _expanded(name, cells, table)
            except ValueError as error:
                problem = f"the dictionaries in column '{name}' cannot be read: {error}"
                if not is_complete:
                    raise _error(table, problem, name) from None
                notes.append(problem)
        if twice := columns.keys() & new.keys():
            raise _error(table, f"the column '{min(twice)}' occurs twice", name)
        columns |= new
    return replace(table, columns=columns, notes=tuple(notes))


def _is_dictionary(cells: Sequence[Cell]) -> bool:
    """Return whether every cell that is not empty begins as a dictionary does."""
    filled = [c for c in cells if c is not None and not (isinstance(c, str) and is_missing(c))]
    return bool(filled) and all(
        isinstance(cell, str) and cell.lstrip().startswith(BEGINNINGS) for cell in filled
    )


def _expanded(name: str, cells: Sequence[Cell], table: Table) -> Mapping[str, Sequence[Cell]]:
    """Return one column per key; raise ValueError with the problem and the row."""
    rows: list[Mapping[str, Cell]] = []
    names: set[str] = set()
    for row, cell in enumerate(cells):
        text = "{}" if cell is None or is_missing(str(cell)) else str(cell)
        try:
            rows.append(flatten({name: parse_dictionary(text)}))
        except ValueError as error:
            raise ValueError(f"{error}, in {table.places.format([row])}") from None
        names |= rows[-1].keys()
        if len(names) > MAX_KEYS:
            raise ValueError(f"more than {MAX_KEYS} different keys")
    return columns_from_rows(rows)


def _error(table: Table, problem: str, name: str) -> ResultsError:
    """Return the error for dictionaries that cannot be read."""
    return ResultsError(
        f"{table.source}: {problem}",
        why="the settings and losses in it would be missing from the analysis",
        fix="write one column per key, in pandas: "
        f"df.join(pandas.json_normalize(df[{name!r}]).add_prefix({name + '.'!r}))",
    )
