"""Parquet files, read by pyarrow where it is installed."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

from mutransfer.analysis.loading.table import Table
from mutransfer.analysis.results import Cell, Places
from mutransfer.errors import ResultsError

MAGIC = b"PAR1"
MAX_DEPTH = 8  # of nested columns, as for JSON [assumed]
PANDAS_INDEX = re.compile(r"__index_level_\d+__")


def read_parquet(path: Path) -> Table:
    """Read columns of numbers, text and booleans; a nested column gets a dotted name.

    Raises:
        ResultsError: pyarrow is not installed, or the file is damaged or empty.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise ResultsError(
            f"'{path}' is a Parquet file, and pyarrow is not installed",
            why="Parquet is read by pyarrow, which is large and therefore optional",
            fix="pip install 'mutransfer[parquet]'",
        ) from None
    data = path.read_bytes()
    try:
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(data))
        for _ in range(MAX_DEPTH):
            table = table.flatten()
        columns: dict[str, list[Cell]] = {
            name: [
                float(cell) if isinstance(cell, Decimal) else cell for cell in column.to_pylist()
            ]
            for name, column in _readable_columns(table)
        }
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        raise ResultsError(
            f"'{path}' cannot be read as Parquet: {str(error).splitlines()[0]}",
            why="results that cannot be read would be missing from the analysis",
            fix="write the file again, or as CSV with columns width, lr, loss",
        ) from None
    if not table.num_rows:
        raise ResultsError(
            f"'{path}' has no rows",
            why="there is nothing to analyze",
            fix="write one row per training run, with columns width, lr, loss",
        )
    return Table(f"'{path}'", columns, Places("row", range(1, table.num_rows + 1)))


def _readable_columns(table: Any) -> list[tuple[str, Any]]:  # noqa: ANN401 - pyarrow has no types
    """Return name and column of everything that may be a setting or a loss."""
    import pyarrow.types as kinds

    named = list(zip(table.column_names, table.columns, strict=True))
    if repeated := sorted({name for name, _ in named if table.column_names.count(name) > 1}):
        raise ValueError(f"the column '{repeated[0]}' occurs twice")
    is_scalar = (
        *(kinds.is_integer, kinds.is_floating, kinds.is_boolean, kinds.is_decimal),
        *(kinds.is_string, kinds.is_large_string, kinds.is_null, kinds.is_string_view),
    )

    def is_readable(kind: Any) -> bool:  # noqa: ANN401 - pyarrow has no types
        value_kind = kind.value_type if kinds.is_dictionary(kind) else kind
        return any(test(value_kind) for test in is_scalar)

    return [(n, c) for n, c in named if is_readable(c.type) and not PANDAS_INDEX.fullmatch(n)]
