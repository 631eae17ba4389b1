"""Columns that `load_results` recognizes, and suggestions where a table names them differently.

- `loss`, required: the final loss, NaN or infinite where the run diverged
- `width`, `lr`: the scale and the hyperparameter, unless others are chosen
- `diverged_at`: the step at which the run diverged
- `seed`: the number of a repetition
- `flops`, or `params` and `tokens`: the cost of the run
- `State` and other columns that say how a run ended: `run_states` describes them
- `sem`, or `std` and `count`: the spread of the runs behind a mean, as `spread` describes
- `largest_rise`, `roughness` and the other measures of `training_curves`, as the tables of the
  studies have them
- any other column: a setting, to group by

An error suggests columns under other names. They are renamed only if the user asks for it, because
a wrong guess would change the answer silently.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from mutransfer.analysis.loading.names import (
    LOGARITHM_PREFIXES,
    OBJECTIVES,
    Origin,
    alias_rank,
    is_partial_loss,
    loss_rank,
    name_parts,
    origin,
)
from mutransfer.analysis.loading.numbers import parse_cells
from mutransfer.analysis.results import Cell, as_floats
from mutransfer.analysis.training_curves import MEASURES
from mutransfer.analysis.types.estimates import Floats
from mutransfer.errors import listed

Columns = Mapping[str, Sequence[Cell]] | Iterable[str]

# Columns whose cells are parsed as numbers even where a format stores text, such as JSON.
NUMERIC_COLUMNS = (
    *("width", "lr", "flops", "params", "tokens", "sem", "std", "count"),
    *MEASURES,
)

# Scores grow as a model improves: minimizing one as if it were a loss finds the worst rate.
SCORE = re.compile(r"(?<![a-z])(acc|accuracy|top_?\d+|f1|bleu|auc|auroc|score)(?![a-z])")
PLACEHOLDER = "COLUMN"


def suggested_columns(missing: Iterable[str], columns: Columns) -> dict[str, str | None]:
    """Return the column that is probably meant for each of our columns that is missing.

    Args:
        missing: Our columns.
        columns: The names of the table's columns, if possible with their cells: a column of text
            holds no numbers, and a constant one holds no rates that were tuned.

    Example:
        >>> names = ["config.n_embd", "log2_lr", "train/loss", "eval/loss", "x"]
        >>> suggested_columns(["width", "lr", "loss"], names)
        {'width': 'config.n_embd', 'lr': '2^log2_lr', 'loss': 'eval/loss'}
        >>> suggested_columns(["loss"], ["los"]), suggested_columns(["loss"], ["accuracy"])
        ({'loss': 'los'}, {'loss': None})
    """
    suggestions = {column: _suggested_column(column, columns) for column in missing}
    seed = None if "seed" in columns else seed_column(columns)
    if suggestions and seed is not None:
        suggestions["seed"] = seed
    return suggestions


def seed_column(names: Iterable[str]) -> str | None:
    """Return the column that numbers repeated runs, whatever its name.

    Example:
        >>> seed_column(["lr", "config.seed"]), seed_column(["lr", "params_seed"])
        ('config.seed', 'params_seed')
    """
    return next((name for name in names if alias_rank("seed", name) is not None), None)


def _suggested_column(column: str, columns: Columns) -> str | None:
    """Return the most likely column."""
    likeliest = losses(columns) if column == "loss" else candidates(column, columns)
    return next(iter(likeliest), None) or closest_column(column, column, columns)


def candidates(column: str, columns: Columns) -> list[str]:
    """Return columns that may be ours, the likeliest first: what was set precedes what was logged.

    A logarithm is undone, as in `2^log2_lr`.
    """
    keys: dict[str, tuple[object, ...]] = {}
    for name in columns:
        is_tuned = not (isinstance(columns, Mapping) and is_constant(columns[name]))
        rank, base = alias_rank(column, name), None
        if rank is None:
            rank, base = _logarithm_rank(column, name)
        if rank is not None and _hasnumbers(columns, name):
            source = origin(name)
            expression = f"{base}^{name}" if base else name
            # What was logged is a schedule's last value, even where the setting is constant.
            keys[expression] = (
                source is Origin.LOGGED,
                not is_tuned,
                source,
                base is not None,
                rank,
            )
    return sorted(keys, key=lambda expression: keys[expression])


def _logarithm_rank(column: str, name: str) -> tuple[int | None, str | None]:
    """Return the rank of a logarithm of our column, and its base."""
    *prefixes, leaf = name_parts(name)
    for prefix, base in LOGARITHM_PREFIXES.items():
        if leaf.startswith(prefix):
            return alias_rank(column, ".".join([*prefixes, leaf.removeprefix(prefix)])), base
    return None, None


def losses(columns: Columns) -> list[str]:
    """Return columns that may be the final loss, that of the validation set first."""
    ranks = {name: rank for name in columns if (rank := loss_rank(name)) is not None}
    names = sorted(ranks, key=lambda name: ranks[name])
    if not names and any(origin(name) is Origin.SETTING for name in columns):
        names = [name for name in columns if name_parts(name)[-1] in OBJECTIVES]
    return [name for name in names if _hasnumbers(columns, name)]


def _hasnumbers(columns: Columns, name: str) -> bool:
    """Return whether a column has a number, or may have one, because its cells are not given."""
    if not isinstance(columns, Mapping):
        return True
    return bool(np.isfinite(numbers(columns[name])).any())


def numbers(cells: Sequence[Cell]) -> Floats:
    """Return the numbers of a column, NaN where a cell is none."""
    return as_floats(parse_cells(cells, decimal_comma=False))


def is_constant(cells: Sequence[Cell]) -> bool:
    """Return whether all cells that are not empty are equal."""
    return len({cell for cell in cells if cell is not None and cell == cell}) < 2


def _scores(names: Iterable[str]) -> set[str]:
    """Return the columns that are scores; the error of a score, such as top1_error, is a loss."""
    texts = {name: name.lower() for name in names}
    return {n for n, t in texts.items() if SCORE.search(t) and not re.search("loss|err", t)}


def closest_column(column: str, name: str, names: Iterable[str]) -> str | None:
    """Return the column that `name` probably misspells; `loss` never means a score."""
    if column == "loss":
        names = {*names}
        names -= _scores(names) | {n for n in names if is_partial_loss(n)}
    return closest_name(name, names)


def closest_name(name: str, names: Iterable[str]) -> str | None:
    """Return the name that `name` probably misspells."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, sorted(names), n=1)), None)


def format_mapping(mapping: Mapping[str, str | None]) -> str:
    """Format a mapping of columns as an option of the shell and an argument in Python.

    Example:
        >>> print(format_mapping({"width": "n_embd", "lr": "learning rate"}))
        --columns 'width=n_embd,lr=learning rate' (in Python: columns={"width": "n_embd", \
"lr": "learning rate"})
    """
    complete = {ours: theirs or PLACEHOLDER for ours, theirs in mapping.items()}
    option = shlex.quote(",".join(f"{ours}={theirs}" for ours, theirs in complete.items()))
    return f"--columns {option} (in Python: columns={json.dumps(complete, ensure_ascii=False)})"


def format_suggestion(
    missing: Iterable[str], columns: Columns, mapping: Mapping[str, str] | None = None
) -> str:
    """Format the option to type where columns are missing, with those that were mapped already.

    Example:
        >>> print(format_suggestion(["loss"], ["width", "val_loss"]))
        --columns loss=val_loss (in Python: columns={"loss": "val_loss"})
        >>> print(format_suggestion(["loss"], ["width"]))
        --columns loss=COLUMN (in Python: columns={"loss": "COLUMN"}); choose from 'width'
    """
    own, suggestions = mapping or {}, suggested_columns(missing, columns)
    text = format_mapping({**own, **suggestions, **own})
    rate = suggestions.get("lr")
    if rate is not None and origin(rate) is Origin.LOGGED:
        text += f"; '{rate}' was probably logged: choose the rate that was set, if there is one"
    return text if all(suggestions.values()) else text + format_choices(suggestions, columns)


def format_choices(columns: Iterable[str], names: Iterable[str]) -> str:
    """Format the columns to choose from, and what to do with a score where the loss is missing."""
    available = list(names)
    scores = _scores(available if "loss" in columns else ())
    choices = listed((name for name in available if name not in scores), limit=12)
    hint = f"; for a score, add a column such as 1 - {min(scores)}" if scores else ""
    return f"; choose from {choices}{hint}"
