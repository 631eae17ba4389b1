"""This file is results from a Parquet file, where pyarrow is installed."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

from mutransfer.analysis.loading.table import Table
from mutransfer.analysis.results import Cell, Places
from mutransfer.errors import ResultsError

MAGIC = b"PAR1"
DEEPEST = 8
ROW_NUMBER = re.compile(r"__index_level_\d+__")  # where pandas keeps its row numbers


def read_parquet(path: Path) -> Table:
    """Read the columns of numbers, text, true and false; what is nested gets a name with dots.

    Raises:
        ResultsError: Without pyarrow, or where the file is damaged.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ResultsError(
            f"'{path}' is a Parquet file, and pyarrow is not installed",
            why="Parquet is read by pyarrow, which is large and comes as an extra",
            fix="pip install 'mutransfer[parquet]'",
        ) from None
    data = path.read_bytes()
    try:
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(data))
        for _ in range(DEEPEST):
            table = table.flatten()
        columns = {name: _cells(column) for name, column in _kept(table)}
    except (pyarrow.ArrowException, OSError, ValueError) as refused:
        raise ResultsError(
            f"'{path}' is no Parquet file that can be read: {str(refused).splitlines()[0]}",
            why="results that cannot be read would be missing from the answer",
            fix="write the file anew, or give it as CSV with columns width, lr, loss",
        ) from None
    if not table.num_rows:
        raise ResultsError(
            f"'{path}' has no rows",
            why="there is nothing to analyze",
            fix="write one row per training run, with columns width, lr, loss",
        )
    return Table(f"'{path}'", columns, Places("row", range(1, table.num_rows + 1)))


def _kept(table: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - pyarrow has no types
    """Give the columns that can be settings or losses, by name."""
    named = list(zip(table.column_names, table.columns, strict=True))
    if twice := sorted({name for name, _ in named if table.column_names.count(name) > 1}):
        raise ValueError(f"the column '{twice[0]}' is there twice")
    import pyarrow.types as kinds

    plain = (
        *(kinds.is_integer, kinds.is_floating, kinds.is_boolean, kinds.is_decimal),
        *(kinds.is_string, kinds.is_large_string, kinds.is_null, kinds.is_string_view),
    )

    def readable(kind: Any) -> bool:  # noqa: ANN401 - pyarrow has no types
        inner = kind.value_type if kinds.is_dictionary(kind) else kind
        return any(test(inner) for test in plain)

    return [
        (name, column)
        for name, column in named
        if readable(column.type) and not ROW_NUMBER.fullmatch(name)
    ]


def _cells(column: Any) -> list[Cell]:  # noqa: ANN401 - pyarrow has no types
    """Turn a column into Python's own values."""
    cells = column.to_pylist()
    return [float(cell) if isinstance(cell, Decimal) else cell for cell in cells]
