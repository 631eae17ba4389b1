"""Renaming of columns by the user's mapping, such as `{"width": "n_embd", "lr": "2^log2_lr"}`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mutransfer.analysis.loading.columns import closest_column, format_choices, format_mapping
from mutransfer.analysis.loading.numbers import parse_cells, power
from mutransfer.analysis.loading.table import Table
from mutransfer.analysis.results import REQUIRED, Cell, as_floats
from mutransfer.errors import ResultsError, listed

LOGARITHM = re.compile(r"(2|10|e)\^(.+)")


def rename_columns(table: Table, mapping: Mapping[str, str] | None) -> Table:
    """Rename columns to ours; a different column of the same name is left out, with a note.

    Args:
        table: The table.
        mapping: Our name -> theirs, or `BASE^theirs` to undo a logarithm.

    Raises:
        ResultsError: A column of the mapping does not exist.
    """
    if not mapping:
        return table
    origins = {ours: _split_base(theirs, table.columns) for ours, theirs in mapping.items()}
    _check_exist(table, origins)
    sources = {name for _, name in origins.values()}
    renamed = {ours: _mapped_column(table, base, name) for ours, (base, name) in origins.items()}
    others = {n: cells for n, cells in table.columns.items() if n not in {*sources, *renamed}}
    notes = [
        f"the column '{ours}' is left out: '{theirs}' is read as {ours}"
        for ours, (_, theirs) in origins.items()
        if ours in table.columns
        and ours not in sources
        and list(table.columns[ours]) != list(renamed[ours])
    ]
    return replace(table, columns={**renamed, **others}, notes=(*table.notes, *notes))


def _split_base(theirs: str, names: Mapping[str, object]) -> tuple[str | None, str]:
    """Split `2^log2_lr` into base and column, unless a column has that whole name."""
    match = LOGARITHM.fullmatch(theirs)
    return (match[1], match[2]) if match and theirs not in names else (None, theirs)


def _check_exist(table: Table, origins: Mapping[str, tuple[str | None, str]]) -> None:
    """Raise one error for all columns of the mapping that do not exist."""
    unknown = [name for _, name in origins.values() if name not in table.columns]
    if unknown:
        corrected: dict[str, str | None] = {}
        why = "a column that does not exist cannot be renamed"
        for ours, (base, name) in origins.items():
            existing = name if name in table.columns else closest_column(ours, name, table.columns)
            if name in unknown and name in (*REQUIRED, "loss") and ours in table.columns:
                why = f"mutransfer's own name comes first: {name}=COLUMN"
                ours, existing = name, closest_column(name, ours, [ours])
            corrected[ours] = f"{base}^{existing}" if base and existing else existing
        raise ResultsError(
            f"{table.source} has no column {listed(dict.fromkeys(unknown))}",
            why=why,
            fix=format_mapping(corrected) + format_choices(corrected, table.columns),
        )


def _mapped_column(table: Table, base: str | None, name: str) -> Sequence[Cell]:
    """Return a column, or a base to the power of its cells; empty cells stay empty."""
    if base is None:
        return table.columns[name]
    cells = parse_cells(table.columns[name], decimal_comma=table.decimal_comma)
    powers = [
        None if cell is None else power(base, exponent)
        for cell, exponent in zip(cells, as_floats(cells).tolist(), strict=True)
    ]
    wrong = [row for row, value in enumerate(powers) if value is not None and math.isnan(value)]
    if wrong:
        values = listed(dict.fromkeys(table.columns[name][row] for row in wrong))
        raise ResultsError(
            f"{table.source}: {base}^{name} cannot be computed: '{name}' is {values} "
            f"in {table.places.format(wrong)}",
            why="a logarithm must be a number",
            fix=f"correct {len(wrong)} of {len(powers)} values of '{name}', or leave them empty",
        )
    return powers
