"""Conversion of a table to results: parse numbers, drop duplicate rows and unfinished runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import compress

import numpy as np

from mutransfer.analysis.loading.ambiguity import check_columns
from mutransfer.analysis.loading.columns import NUMERIC_COLUMNS
from mutransfer.analysis.loading.dictionaries import expand_dictionaries
from mutransfer.analysis.loading.mapping import rename_columns
from mutransfer.analysis.loading.numbers import parse_cells
from mutransfer.analysis.loading.run_states import mark_diverged, without_unfinished
from mutransfer.analysis.loading.spread import (
    split_uncertainties,
    spread_columns,
    with_constant_count,
)
from mutransfer.analysis.loading.table import Table
from mutransfer.analysis.results import OUTCOMES, REQUIRED, Cell, Results, as_floats
from mutransfer.errors import ResultsError, listed

# Columns of `dvc exp show` that name a row: the workspace repeats the run that it was applied from.
DVC_LABELS = frozenset({"Experiment", "rev", "typ", "Created", "parent", "State", "Executor"})


def results_from_table(table: Table, mapping: Mapping[str, str] | None) -> Results:
    """Rename columns, parse their values and return the finished runs.

    Raises:
        ResultsError: A column is missing or holds an invalid value, or no run remains.
    """
    table = split_uncertainties(expand_dictionaries(table, mapping or {}))
    table, mapping = with_constant_count(table, mapping or {})
    renamed = check_columns(table, rename_columns(table, mapping), mapping)
    parsed = {name: _parsed_column(renamed, name) for name in renamed.columns}
    unique = mark_diverged(_without_duplicates(replace(renamed, columns=parsed)))
    results = Results.from_columns(
        unique.columns, source=table.source, places=unique.places, notes=unique.notes
    )
    results = replace(
        results,
        provenance=replace(results.provenance, unfinished=table.unfinished),
        spread=spread_columns(renamed.columns, mapping.get("loss", "loss"), table.columns),
    )
    return without_unfinished(results)


def _parsed_column(table: Table, name: str) -> Sequence[Cell]:
    """Return a column with its numbers parsed; an unrecognized column stays as it is."""
    cells = table.columns[name]
    if name in OUTCOMES:
        return _parsed_outcomes(table, name)
    if name not in NUMERIC_COLUMNS:
        return cells
    numbers = parse_cells(cells, decimal_comma=table.decimal_comma)
    if not np.isnan(as_floats(numbers)).any():
        return numbers
    # Programs such as pandas write an empty cell as NaN. Only a loss of NaN means a divergence.
    return [None if isinstance(cell, float) and math.isnan(cell) else cell for cell in numbers]


def _parsed_outcomes(table: Table, name: str) -> Sequence[Cell]:
    """Return `loss` or `diverged_at`, whose cells are numbers or empty."""
    cells = parse_cells(table.columns[name], decimal_comma=table.decimal_comma)
    if {str, bool} & set(map(type, cells)):
        wrong = [row for row, cell in enumerate(cells) if isinstance(cell, str | bool)]
        values = listed(dict.fromkeys(cells[row] for row in wrong))
        fix = "write a number, or leave the cell empty if the run did not diverge"
        if all(str(cells[row]).strip().endswith("%") for row in wrong):
            fix = "remove the % sign"
        elif name == "loss":
            fix = "write a number, nan if the run diverged, or nothing if it has no result"
        raise ResultsError(
            f"{table.source}: column '{name}' must hold numbers, not {values} in "
            f"{table.places.format(wrong)}",
            why="runs are compared by numbers",
            fix=fix,
        )
    return cells


def _without_duplicates(table: Table) -> Table:
    """Return a table without repetitions of identical rows, with a note that counts them."""
    is_of_dvc = table.columns.keys() >= {"rev", "typ"}
    # NaN is unequal to itself, but two equal runs that diverged are duplicates.
    comparable = [
        ["nan" if cell != cell else cell for cell in cells]
        if float in set(map(type, cells)) and np.isnan(as_floats(cells)).any()
        else cells
        for name, cells in table.columns.items()
        if not (is_of_dvc and name in DVC_LABELS)
    ]
    if len(set(zip(*comparable, strict=True))) == len(table.places.names):
        return table
    # Rows without loss, width or rate stay: `Results` leaves them out and counts them itself.
    required = [cells for name, cells in table.columns.items() if name in (*REQUIRED, "loss")]
    earlier: set[tuple[Cell, ...]] = set()
    is_kept = []
    for row, values in zip(zip(*comparable, strict=True), zip(*required, strict=True), strict=True):
        is_kept.append(row not in earlier or None in values)
        earlier.add(row)
    count = is_kept.count(False)
    if not count:
        return table
    note = f"{count} duplicate {'row is' if count == 1 else 'rows are'} left out"
    columns = {name: list(compress(cells, is_kept)) for name, cells in table.columns.items()}
    places = table.places.select(is_kept)
    return replace(table, columns=columns, places=places, notes=(*table.notes, note))
