"""Columns that `load_results` recognizes, and suggestions where a table names them differently.

- `loss`, required: the final loss, NaN or infinite where the run diverged
- `width`, `lr`: the scale and the hyperparameter, unless others are chosen
- `diverged_at`: the step at which the run diverged
- `seed`: the number of a repetition
- `flops`, or `params` and `tokens`: the cost of the run
- `State` and other columns that say how a run ended: `run_states` describes them
- any other column: a setting, to group by

An error suggests columns under other names. They are renamed only if the user asks for it, because
a wrong guess would change the answer silently.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

from mutransfer.errors import listed

# Columns whose cells are parsed as numbers even where a format stores text, such as JSON.
NUMERIC_COLUMNS = ("width", "lr", "flops", "params", "tokens")

# Our name -> names in other people's training programs, the most likely one first [assumed].
ALIASES: Mapping[str, Sequence[str]] = {
    "width": (
        *("width", "n_embd", "d_model", "hidden_size", "model_dim", "dim", "embed_dim"),
        *("n_embed", "embedding_dim", "hidden_dim", "dim_model", "d_embed", "emb_dim"),
    ),
    "lr": (
        *("lr", "learning_rate", "max_lr", "peak_lr", "lr_peak", "lr_max", "base_lr"),
        *("peak_learning_rate", "max_learning_rate", "init_lr", "eta", "step_size"),
    ),
    "loss": (
        *("loss", "val_loss", "valid_loss", "validation_loss", "eval_loss", "test_loss"),
        *("final_val_loss", "final_loss", "final_eval_loss", "val_ce", "nll"),
        *("train_loss", "training_loss", "final_train_loss"),
    ),
}
SEED_ALIASES = ("seed", "seeds", "random_seed", "rng_seed", "rng", "manual_seed", "init_seed")
# Scores grow as a model improves: minimizing one as if it were a loss finds the worst rate.
SCORE = re.compile(r"(?<![a-z])(acc|accuracy|top_?\d+|f1|bleu|auc|auroc|score)(?![a-z])")
LOGARITHM_PREFIXES = {"log2_": "2", "log10_": "10", "ln_": "e"}
PLACEHOLDER = "COLUMN"


def suggested_columns(missing: Iterable[str], names: Iterable[str]) -> dict[str, str | None]:
    """Return the column that is probably meant for each of our columns that is missing.

    Example:
        >>> names = ["config.n_embd", "log2_lr", "eval/loss", "x"]
        >>> suggested_columns(["width", "lr", "loss"], names)
        {'width': 'config.n_embd', 'lr': '2^log2_lr', 'loss': 'eval/loss'}
        >>> suggested_columns(["loss"], ["los"]), suggested_columns(["loss"], ["accuracy"])
        ({'loss': 'los'}, {'loss': None})
    """
    available = list(names)
    suggestions = {column: _suggested_column(column, available) for column in missing}
    seed = seed_column(available)
    if suggestions and seed not in (None, "seed"):
        suggestions["seed"] = seed
    return suggestions


def seed_column(names: Iterable[str]) -> str | None:
    """Return the column that numbers repeated runs, whatever its name.

    Example:
        >>> seed_column(["lr", "config.seed"]), seed_column(["lr"])
        ('config.seed', None)
    """
    normalized = {name: re.split(r"[./]", _snake_case(name))[-1] for name in names}
    return next((name for name, text in normalized.items() if text in SEED_ALIASES), None)


def _snake_case(name: str) -> str:
    """Return a column's name in lower case, with underscores for blanks and hyphens."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _suggested_column(column: str, names: Sequence[str]) -> str | None:
    """Return the most likely column; a match of the whole name precedes one of its last part."""
    whole = {name: _snake_case(name) for name in names}
    joined = {name: re.sub(r"[./]", "_", text) for name, text in whole.items()}
    last_part = {name: re.split(r"[./]", text)[-1] for name, text in whole.items()}
    for alias in ALIASES.get(column, (column,)):
        for spelling in (whole, joined, last_part):
            if matches := [name for name, text in spelling.items() if text == alias]:
                return matches[0]
        for prefix, base in LOGARITHM_PREFIXES.items():
            if matches := [name for name, text in last_part.items() if text == prefix + alias]:
                return f"{base}^{matches[0]}"
    return closest_column(column, column, names)


def _scores(names: Iterable[str]) -> set[str]:
    """Return the columns that are scores; the error of a score, such as top1_error, is a loss."""
    texts = {name: _snake_case(name) for name in names}
    return {n for n, t in texts.items() if SCORE.search(t) and not re.search("loss|err", t)}


def closest_column(column: str, name: str, names: Iterable[str]) -> str | None:
    """Return the column that `name` probably misspells; a score is never meant by `loss`."""
    return closest_name(name, {*names} - _scores(names if column == "loss" else ()))


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


def format_suggestion(missing: Iterable[str], names: Iterable[str]) -> str:
    """Format the option to type where columns are missing.

    Example:
        >>> print(format_suggestion(["loss"], ["width", "val_loss"]))
        --columns loss=val_loss (in Python: columns={"loss": "val_loss"})
        >>> print(format_suggestion(["loss"], ["width"]))
        --columns loss=COLUMN (in Python: columns={"loss": "COLUMN"}); choose from 'width'
    """
    available = list(names)
    suggestions = suggested_columns(missing, available)
    choices = "" if all(suggestions.values()) else format_choices(suggestions, available)
    return format_mapping(suggestions) + choices


def format_choices(columns: Iterable[str], names: Iterable[str]) -> str:
    """Format the columns to choose from, and what to do with a score where the loss is missing."""
    available = list(names)
    scores = _scores(available if "loss" in columns else ())
    choices = listed((name for name in available if name not in scores), limit=12)
    hint = f"; for a score, add a column such as 1 - {min(scores)}" if scores else ""
    return f"; choose from {choices}{hint}"
