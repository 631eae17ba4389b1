"""This file is a table that was read, before its columns have our names."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from mutransfer.analysis.loading.column_names import advice, close_name, shortened, to_type
from mutransfer.analysis.loading.numbers import BASES, is_nothing, number
from mutransfer.analysis.results import NEEDED, OUTCOMES, Cell, Places, Results, as_floats
from mutransfer.analysis.types.estimates import Bools
from mutransfer.errors import ResultsError, listed

# Columns that are numbers whatever else stands in them.
# What W&B calls a run.
STATES = frozenset({"finished", "running", "crashed", "failed", "killed", "preempted", "pending"})
NUMBERS = ("width", "lr", "flops", "params", "tokens")
LOGARITHM = re.compile(r"(2|10|e)\^(.+)")


@dataclass(frozen=True, slots=True)
class Table:
    """Columns as a file holds them.

    Args:
        source: What was read, quoted.
        columns: Column -> one cell per run.
        places: Where each run stands.
        comma: Whether the file writes decimal commas.
        notes: What was left out already.
        unfinished: Runs that are there without a result.
    """

    source: str
    columns: Mapping[str, Sequence[Cell]]
    places: Places
    comma: bool = False
    notes: tuple[str, ...] = ()
    unfinished: int = 0


def as_results(table: Table, columns: Mapping[str, str] | None) -> Results:
    """Give columns our names and turn the table into results.

    Raises:
        ResultsError: Where a column is missing or holds what it cannot, or no run is left.
    """
    named = renamed(table, columns)
    if "loss" not in named.columns:
        missing = [name for name in ("width", "lr", "loss") if name not in named.columns]
        raise ResultsError(
            f"{table.source} has no column {listed(missing)}",
            why="rates are compared by the final loss of every width and rate"
            if len(missing) > 1
            else "the loss is what rates are compared by",
            fix=advice(missing, table.columns),
        )
    read = {name: _cells(named, name) for name in named.columns}
    unique = _once(replace(named, columns=read))
    results = Results.from_columns(
        unique.columns, source=table.source, places=unique.places, notes=unique.notes
    )
    results = replace(results, provenance=replace(results.provenance, unfinished=table.unfinished))
    return results.without(_unfinished(results), "not finished", ", by the column State")


def _unfinished(results: Results) -> Bools:
    """Find the runs that a tracker calls something else than finished; a diverged one counts."""
    state = next((values for name, values in results.axes.items() if name.lower() == "state"), None)
    named = [str(value).strip().lower() for value in state or ()]
    if "finished" not in named or not {*named} <= STATES:
        return np.zeros(len(results), dtype=np.bool_)
    return np.array([each != "finished" for each in named]) & ~results.diverged


def renamed(table: Table, columns: Mapping[str, str] | None) -> Table:
    """Give columns our names; what a mapped name would hide is kept out.

    Raises:
        ResultsError: Where a name is no column.
    """
    if not columns:
        return table
    _refuse_unknown(table, columns)
    found = {ours: _split(theirs, table.columns) for ours, theirs in columns.items()}
    taken = {name for _, name in found.values()}
    made = {ours: _power_of(table, *theirs) for ours, theirs in found.items()}
    kept = {name: cells for name, cells in table.columns.items() if name not in {*taken, *made}}
    hidden = [
        f"the column '{ours}' is kept out: '{theirs}' is read as {ours}"
        for ours, (_, theirs) in found.items()
        if ours in table.columns
        and ours not in taken
        and list(table.columns[ours]) != list(made[ours])
    ]
    return replace(table, columns={**made, **kept}, notes=(*table.notes, *hidden))


def _split(theirs: str, names: Mapping[str, object]) -> tuple[str | None, str]:
    """Take `2^log2_lr` apart into base and column, unless a column is called so."""
    written = LOGARITHM.fullmatch(theirs)
    return (written[1], written[2]) if written and theirs not in names else (None, theirs)


def _refuse_unknown(table: Table, columns: Mapping[str, str]) -> None:
    """Refuse names that are no columns, all at once."""
    bases = {ours: _split(theirs, table.columns) for ours, theirs in columns.items()}
    unknown = [name for _, name in bases.values() if name not in table.columns]
    if unknown:
        meant: dict[str, str | None] = {}
        for ours, (base, name) in bases.items():
            there = name if name in table.columns else close_name(name, table.columns)
            meant[ours] = f"{base}^{there}" if base and there else there
        raise ResultsError(
            f"{table.source} has no column {listed(dict.fromkeys(unknown))}",
            why="a column that is not there cannot be read under another name",
            fix=f"{to_type(meant)}; there are {shortened(table.columns)}",
        )


def _power_of(table: Table, base: str | None, name: str) -> Sequence[Cell]:
    """Raise a base to a column; None stays None."""
    if base is None:
        return table.columns[name]
    cells = _numbers(table.columns[name], comma=table.comma)
    exponents = as_floats(cells).tolist()
    powers = [
        None if cell is None else _power(BASES[base], x)
        for cell, x in zip(cells, exponents, strict=True)
    ]
    wrong = [row for row, power in enumerate(powers) if power is not None and power != power]
    if wrong:
        shown = listed(dict.fromkeys(table.columns[name][row] for row in wrong))
        raise ResultsError(
            f"{table.source}: {base}^{name} cannot be computed: '{name}' is {shown} "
            f"in {table.places.of(wrong)}",
            why="a logarithm is a number",
            fix=f"correct {len(wrong)} of {len(powers)} values of '{name}', or leave them empty",
        )
    return powers


def _power(base: float, exponent: float) -> float:
    """Raise a base to a number; what is too large is infinite."""
    try:
        return float(base**exponent)
    except OverflowError:
        return math.inf


def _cells(table: Table, name: str) -> Sequence[Cell]:
    """Read a column of ours as what it must be; other columns stay as they are."""
    cells = table.columns[name]
    if name in OUTCOMES:
        return _outcomes(table, name)
    if name in NUMBERS:
        # A rate that is not a number is a cell that somebody's program left empty.
        read = _numbers(cells, comma=table.comma)
        if not np.isnan(as_floats(read)).any():
            return read
        return [None if isinstance(cell, float) and math.isnan(cell) else cell for cell in read]
    return cells


def _numbers(cells: Sequence[Cell], *, comma: bool) -> list[Cell]:
    """Read what is a number as one and nothing as None; the rest stays, for an error to name."""
    if str not in set(map(type, cells)):
        return list(cells)
    read: list[Cell] = []
    for cell in cells:
        if isinstance(cell, str):
            found = number(cell, comma=comma)
            read.append(None if is_nothing(cell) else cell if found is None else found)
        else:
            read.append(cell)
    return read


def _outcomes(table: Table, name: str) -> Sequence[Cell]:
    """Read a column of numbers in which a cell may be empty."""
    cells = _numbers(table.columns[name], comma=table.comma)
    if {str, bool} & set(map(type, cells)):
        wrong = [row for row, cell in enumerate(cells) if isinstance(cell, str | bool)]
        shown = listed(dict.fromkeys(cells[row] for row in wrong))
        raise ResultsError(
            f"{table.source}: column '{name}' has what is no number: {shown} "
            f"in {table.places.of(wrong)}",
            why="a run without a number cannot be compared",
            fix="write a number, nan where the run diverged, or nothing where it has no result"
            if name == "loss"
            else "write a number, or leave the cell empty if the run did not diverge",
        )
    return cells


def _once(table: Table) -> Table:
    """Count rows that stand there twice once, and say so."""
    # Two NaN are never equal, but two runs that diverged alike are.
    alike = [
        ["nan" if cell != cell else cell for cell in cells]
        if float in set(map(type, cells)) and np.isnan(as_floats(cells)).any()
        else cells
        for cells in table.columns.values()
    ]
    if len(set(zip(*alike, strict=True))) == len(table.places.names):
        return table
    # A row without a result, width or rate is no run, and is counted as that later.
    needed = [cells for name, cells in table.columns.items() if name in (*NEEDED, *OUTCOMES[:1])]
    seen: set[tuple[Cell, ...]] = set()
    chosen = []
    for row, key in zip(zip(*alike, strict=True), zip(*needed, strict=True), strict=True):
        chosen.append(row not in seen or None in key)
        seen.add(row)
    twice = chosen.count(False)
    if not twice:
        return table
    stand = "1 row stands" if twice == 1 else f"{twice} rows stand"
    note = f"{stand} there twice and {'is' if twice == 1 else 'are'} counted once"
    columns = {name: list(compress(cells, chosen)) for name, cells in table.columns.items()}
    kept = table.places.kept(chosen)
    return replace(table, columns=columns, places=kept, notes=(*table.notes, note))
