"""Tables as files hold them, before columns are renamed and values are parsed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mutransfer.analysis.loading.names import alias_rank
from mutransfer.analysis.results import Cell, Places


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of a file or a folder, one row per run.

    Args:
        source: Quoted path, for messages.
        columns: Column -> one cell per run.
        places: Where each run stands in the source.
        decimal_comma: Whether the file writes decimal commas.
        notes: Sentences on what the reader left out.
        unfinished: Number of runs without a result, which have no row.
    """

    source: str
    columns: Mapping[str, Sequence[Cell]]
    places: Places
    decimal_comma: bool = False
    notes: tuple[str, ...] = ()
    unfinished: int = 0


def columns_from_rows(rows: Sequence[Mapping[str, Cell]]) -> dict[str, list[Cell]]:
    """Transpose rows into columns, with None where a row lacks a column.

    Example:
        >>> columns_from_rows([{"lr": 0.1}, {"lr": 0.2, "seed": 1}])
        {'lr': [0.1, 0.2], 'seed': [None, 1]}
    """
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def join_logged(settings: Mapping[str, Cell], logged: Mapping[str, Cell]) -> dict[str, Cell]:
    """Join what was set for a run and what it logged; a logged rate is renamed.

    The last rate of a schedule becomes `summary.lr`. A setting `loss` is the name of a function, so
    it becomes `config.loss`.

    Example:
        >>> join_logged({"learning_rate": 0.1, "loss": "ce"}, {"lr": 0.0, "loss": 3.1})
        {'learning_rate': 0.1, 'config.loss': 'ce', 'summary.lr': 0.0, 'loss': 3.1}
    """
    row = {f"config.{n}" if n == "loss" and n in logged else n: v for n, v in settings.items()}
    has_rate = any(alias_rank("lr", name) is not None for name in settings)
    return row | {
        f"summary.{n}" if n in row or (has_rate and alias_rank("lr", n) is not None) else n: v
        for n, v in logged.items()
    }
