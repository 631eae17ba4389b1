"""This file is the names that other programs give to width, rate and loss."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

# Ours -> what is often used for it, the likeliest first.
KNOWN: Mapping[str, Sequence[str]] = {
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
SEEDS = ("seed", "seeds", "random_seed", "rng_seed", "rng", "manual_seed", "init_seed")
LOGARITHMS = {"log2_": "2", "log10_": "10", "ln_": "e"}
PLACEHOLDER = "COLUMN"


def proposals(missing: Iterable[str], names: Iterable[str]) -> dict[str, str | None]:
    """Find, for each of our names that is missing, the column that is likely meant.

    Example:
        >>> proposals(["width", "lr", "loss"], ["config.n_embd", "log2_lr", "eval/loss", "x"])
        {'width': 'config.n_embd', 'lr': '2^log2_lr', 'loss': 'eval/loss'}
        >>> proposals(["loss"], ["los", "width"]), proposals(["loss"], ["accuracy"])
        ({'loss': 'los'}, {'loss': None})
    """
    every = list(names)
    found = {ours: _proposal(ours, every) for ours in missing}
    seed = seed_like(every)
    return found if not found or seed in (None, "seed") else {**found, "seed": seed}


def seed_like(names: Iterable[str]) -> str | None:
    """Find the column that numbers repeated runs, whatever it is called.

    Example:
        >>> seed_like(["lr", "config.seed"]), seed_like(["lr"])
        ('config.seed', None)
    """
    for name in names:
        if re.split(r"[./]", re.sub(r"[\s-]+", "_", name.strip().lower()))[-1] in SEEDS:
            return name
    return None


def _proposal(ours: str, names: Sequence[str]) -> str | None:
    """Choose the likeliest column; an exact name before its last part."""
    spelled = {name: re.sub(r"[\s-]+", "_", name.strip().lower()) for name in names}
    ends = {name: re.split(r"[./]", text)[-1] for name, text in spelled.items()}
    joined = {name: re.sub(r"[./]", "_", text) for name, text in spelled.items()}
    for theirs in KNOWN.get(ours, (ours,)):
        for form in (spelled, joined, ends):
            if found := [name for name, text in form.items() if text == theirs]:
                return found[0]
        for prefix, base in LOGARITHMS.items():
            if found := [name for name, text in ends.items() if text == prefix + theirs]:
                return f"{base}^{found[0]}"
    return close_name(ours, names)


def close_name(name: str, names: Iterable[str]) -> str | None:
    """Give the name that was likely mistyped."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, sorted(names), n=1)), None)


def to_type(chosen: Mapping[str, str | None]) -> str:
    """Write a mapping as it is typed at the shell, and in Python.

    Example:
        >>> print(to_type({"width": "n_embd", "lr": "learning rate"}))
        --columns 'width=n_embd,lr=learning rate' (in Python: columns={"width": "n_embd", \
"lr": "learning rate"})
    """
    named = {ours: theirs or PLACEHOLDER for ours, theirs in chosen.items()}
    shell = shlex.quote(",".join(f"{ours}={theirs}" for ours, theirs in named.items()))
    return f"--columns {shell} (in Python: columns={json.dumps(named, ensure_ascii=False)})"


def shortened(names: Iterable[str], limit: int = 12) -> str:
    """Write the columns that there are, the first few only.

    Example:
        >>> shortened(["a", "b", "c"], limit=2)
        'a, b and 1 more'
    """
    every = list(names)
    more = f" and {len(every) - limit} more" if len(every) > limit else ""
    return ", ".join(every[:limit]) + more


def advice(missing: Iterable[str], names: Iterable[str]) -> str:
    """Say what to type where columns of ours are missing.

    Example:
        >>> print(advice(["loss"], ["width", "val_loss"]))
        --columns loss=val_loss (in Python: columns={"loss": "val_loss"})
        >>> print(advice(["loss"], ["width", "accuracy"]))
        --columns loss=COLUMN (in Python: columns={"loss": "COLUMN"}); there are width, accuracy
    """
    every = list(names)
    chosen = proposals(missing, every)
    there = "" if all(chosen.values()) else f"; there are {shortened(every) or 'no columns'}"
    return to_type(chosen) + there
