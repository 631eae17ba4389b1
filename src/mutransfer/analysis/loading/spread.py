"""Tables of means: cells such as `3.21 ± 0.02`, and columns of standard errors, under any name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from mutransfer.analysis.loading.names import name_parts
from mutransfer.analysis.loading.numbers import is_missing, parse_cells, parse_number
from mutransfer.analysis.loading.table import Table
from mutransfer.analysis.results import Cell, as_floats

PLUS_MINUS = re.compile(r"±|\+/-|\+-|\\pm")
# Words that a column of the spread has beside the words of the loss, joined by blanks.
SPELLINGS: Mapping[str, str] = {
    **dict.fromkeys(("sem", "se", "stderr", "std err", "std error", "stderror"), "sem"),
    **dict.fromkeys(("standard error", "standard error of the mean", "s e m"), "sem"),
    **dict.fromkeys(("std", "sd", "stdev", "std dev", "stddev", "standard deviation"), "std"),
    **dict.fromkeys(("count", "n", "n seeds", "num seeds", "seeds", "n runs", "num runs"), "count"),
    **dict.fromkeys(("runs", "nseeds", "replicates", "n replicates", "num replicates"), "count"),
}
MAX_COUNT = 50  # runs behind one mean; a larger integer is a width or a step [assumed]


def split_uncertainties(table: Table) -> Table:
    """Split columns of cells such as `3.21 ± 0.02` into means and what follows the sign.

    The header says what the second number is, as in `loss (mean ± SEM)`; otherwise its column is
    called `±`.

    Example:
        >>> from mutransfer.analysis.results import Places
        >>> cells = {"lr": [0.1], "loss (mean ± SEM)": ["3.21 ± 0.02"]}
        >>> dict(split_uncertainties(Table("t", cells, Places("line", [2]))).columns)
        {'lr': [0.1], 'loss': [3.21], 'loss sem': [0.02]}
    """
    columns: dict[str, Sequence[Cell]] = {}
    for name, cells in table.columns.items():
        pairs = _pairs(cells, decimal_comma=table.decimal_comma)
        if pairs is None:
            columns[name] = cells
            continue
        head, kind = _split_header(name)
        mean = head if head not in table.columns else name
        error = f"{mean} {kind}" if kind else "±"
        if error in table.columns or error in columns:
            error = f"{name} ±"
        columns |= {mean: [value for value, _ in pairs], error: [error for _, error in pairs]}
    return replace(table, columns=columns)


def _pairs(
    cells: Sequence[Cell], *, decimal_comma: bool
) -> list[tuple[float | None, float | None]] | None:
    """Return mean and uncertainty of every cell, or None where a cell is neither."""
    if not any(isinstance(cell, str) and PLUS_MINUS.search(cell) for cell in cells):
        return None
    pairs: list[tuple[float | None, float | None]] = []
    for cell in cells:
        text = "" if cell is None else str(cell).replace("$", "")
        parts = [] if is_missing(text) else PLUS_MINUS.split(text)
        numbers = [parse_number(part, decimal_comma=decimal_comma) for part in parts]
        if None in numbers or len(numbers) > 2:
            return None
        mean, error = (*numbers, None, None)[:2]
        pairs.append((mean, error))
    return pairs


def _split_header(name: str) -> tuple[str, str | None]:
    """Return the name of the mean, and 'sem' or 'std' where the header says which one it is."""
    head = re.split(r"[(\[]|±|\+/-|\+-|\\pm", name)[0].strip() or name
    words = " ".join(name_parts(name.replace(head, "", 1))).replace("_", " ")
    kinds = [
        kind
        for text, kind in SPELLINGS.items()
        if kind != "count" and re.search(rf"\b{text}\b", words)
    ]
    return head, ("sem" if "sem" in kinds else kinds[0]) if kinds else None


def with_constant_count(table: Table, mapping: Mapping[str, str]) -> tuple[Table, dict[str, str]]:
    """Add the column `count` where the user typed a number, as in `count=3`."""
    rest = dict(mapping)
    text = rest.get("count", "")
    if not text.isdigit() or text in table.columns:
        return table, rest
    del rest["count"]
    cells: list[Cell] = [int(text)] * len(table.places.names)
    return replace(table, columns={**table.columns, "count": cells}), rest


def spread_columns(
    columns: Mapping[str, Sequence[Cell]], loss: str, names: Iterable[str] = ()
) -> dict[str, str]:
    """Return the columns of the loss's standard error, standard deviation and number of runs.

    Args:
        columns: The table, with our names.
        loss: The name of the loss in the file.
        names: The names of all columns in the file.

    Example:
        >>> table = {"width": [64], "loss": [3.1], "val_loss_stderr": [0.02], "n_seeds": [3]}
        >>> spread_columns({**table, "acc_std": [0.1]}, "val_loss")
        {'sem': 'val_loss_stderr', 'count': 'n_seeds'}
    """
    loss_words, others = _words(loss), {_words(name) for name in names if name != loss}
    found: dict[str, tuple[int, str]] = {}
    for name, cells in columns.items():
        words = _words(name)
        own = tuple(word for word in words if word in loss_words)
        kind = SPELLINGS.get(" ".join(word for word in words if word not in loss_words))
        # `loss_std` is that of a column `loss`, where there is one beside `val_loss`.
        if kind is None or (own != loss_words and own in others) or not _is_spread(cells, kind):
            continue
        found[kind] = max(found.get(kind, (-1, "")), (len(own), name), key=lambda pair: pair[0])
    exact = {kind: kind for kind in ("sem", "std", "count") if kind in columns}
    spread = {kind: name for kind, (_, name) in found.items()} | exact
    return spread if {"sem", "std"} & spread.keys() else {}


def _words(name: str) -> tuple[str, ...]:
    """Return the words of a name."""
    return tuple("_".join(name_parts(name)).split("_"))


def _is_spread(cells: Sequence[Cell], kind: str) -> bool:
    """Return whether cells may be numbers of runs, or errors, which are not negative."""
    numbers = as_floats(parse_cells(cells, decimal_comma=False))
    numbers = numbers[np.isfinite(numbers)]
    if not len(numbers) or numbers.min() < 0:
        return False
    return kind != "count" or bool(
        numbers.min() >= 1 and numbers.max() <= MAX_COUNT and (numbers % 1 == 0).all()
    )
