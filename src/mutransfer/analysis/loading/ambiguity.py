"""Columns that may be meant where another one has our name: a rate that was set, a validation loss.

W&B exports of many programs have `learning_rate`, which was set, beside `lr`, which was logged, and
Keras calls the loss on the training set `loss`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mutransfer.analysis.format import format_value
from mutransfer.analysis.loading.columns import (
    candidates,
    format_mapping,
    format_suggestion,
    is_constant,
    losses,
    numbers,
)
from mutransfer.analysis.loading.names import is_final_validation_loss
from mutransfer.analysis.loading.table import Table
from mutransfer.analysis.results import REQUIRED, Cell
from mutransfer.analysis.rounding import ROUNDING
from mutransfer.analysis.types.estimates import Bools
from mutransfer.errors import ResultsError, listed


def check_columns(table: Table, renamed: Table, mapping: Mapping[str, str]) -> Table:
    """Return the renamed table, with a note on a validation loss that is not used.

    Args:
        table: The table as it was read.
        renamed: The table with our names.
        mapping: Our name -> theirs, as the user typed it.

    Raises:
        ResultsError: There is no loss, or another column than `lr` holds the rates that were set.
    """
    missing = [name for name in (*REQUIRED, "loss") if name not in renamed.columns]
    rate = None if "lr" in mapping else rate_that_was_set(renamed.columns)
    loss = None if "loss" in mapping else validation_loss(renamed.columns)
    if "loss" not in missing and rate is None:
        return renamed if loss is None else _with_note(renamed, loss, mapping)
    doubtful = [ours for ours, theirs in (("lr", rate), ("loss", loss)) if theirs is not None]
    fix = format_suggestion([*missing, *doubtful], table.columns, mapping)
    if rate is not None:
        fix += "; if 'lr' is the rate that was set: lr=lr"
    if "loss" in missing:
        raise ResultsError(
            f"{table.source} has no column {listed(missing)}",
            why="learning rates are compared by the final loss"
            + (" at every width and rate" if len(missing) > 1 else ""),
            fix=fix,
        )
    row = int(np.flatnonzero(_differ(renamed.columns, "lr", str(rate)))[0])
    cells = " and ".join(format_value(renamed.columns[name][row]) for name in ("lr", str(rate)))
    raise ResultsError(
        f"{table.source}: 'lr' and '{rate}' hold different rates, such as {cells} in "
        f"{table.places.format([row])}",
        why="the rates that were set are compared, and one that was logged is its schedule's last",
        fix=fix,
    )


def rate_that_was_set(columns: Mapping[str, Sequence[Cell]]) -> str | None:
    """Return the column of rates that were probably set, if those of the column `lr` differ.

    Numbers that agree to the precision of float32 do not differ.

    Example:
        >>> rate_that_was_set({"lr": [1e-5, 2e-5], "learning_rate": [1e-3, 2e-3]})
        'learning_rate'
        >>> rate_that_was_set({"lr": [1e-3, 2e-3], "train/lr": [0.0, 0.0]})
    """
    best = next((name for name in candidates("lr", columns) if name in columns), "lr")
    if best == "lr" or "lr" not in columns or is_constant(columns[best]):
        return None
    return best if _differ(columns, "lr", best).any() else None


def validation_loss(columns: Mapping[str, Sequence[Cell]]) -> str | None:
    """Return the column of final validation losses, if those of the column `loss` differ.

    Example:
        >>> validation_loss({"loss": [2.0, 2.1], "val_loss": [3.0, 2.9]})
        'val_loss'
        >>> validation_loss({"loss": [3.0, 2.9], "train_loss": [2.0, 2.1]})
    """
    best = next(iter(losses(columns)), "loss")
    if "loss" not in columns or not is_final_validation_loss(best):
        return None
    return best if _differ(columns, "loss", best).any() else None


def _differ(columns: Mapping[str, Sequence[Cell]], first: str, second: str) -> Bools:
    """Return the rows in which two columns hold different numbers."""
    pair = numbers(columns[first]), numbers(columns[second])
    is_close = np.isclose(*pair, rtol=ROUNDING, atol=0.0)
    return np.asarray(np.isfinite(pair[0]) & np.isfinite(pair[1]) & ~is_close)


def _with_note(table: Table, loss: str, mapping: Mapping[str, str]) -> Table:
    """Return a table with a note on a validation loss beside the column `loss`."""
    option = format_mapping({**mapping, "loss": loss})
    note = (
        f"the column 'loss' is compared, not '{loss}', which may be the validation loss: {option}"
    )
    return replace(table, notes=(*table.notes, note))
