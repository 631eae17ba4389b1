"""Names of columns in other programs: what they hold, and whether it was set or logged.

`config.lr` of W&B, `params.lr` of MLflow, `params_lr` of Optuna and `config/lr` of Ray Tune were
set before the run. `summary.lr`, `train/lr` and `lr-AdamW` of Lightning were logged during the
run, so their last value is that of the schedule's end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import IntEnum
from functools import lru_cache

# Our name -> names in other people's training programs, the most likely one first [assumed].
# A peak is always set; `learning_rate` is set in most programs, and `lr` is logged in many.
ALIASES: Mapping[str, Sequence[str]] = {
    "width": (
        *("width", "n_embd", "d_model", "hidden_size", "model_dim", "dim", "embed_dim"),
        *("n_embed", "embedding_dim", "hidden_dim", "dim_model", "d_embed", "emb_dim"),
        *("model_width", "hidden_width", "embed_size", "embedding_size", "dmodel", "d_hidden"),
        *("n_hidden", "num_hidden", "hidden_units", "hidden", "units", "n_units", "n_channels"),
        *("base_channels", "channels", "width_mult", "width_multiplier"),
    ),
    "lr": (
        *("peak_lr", "lr_peak", "max_lr", "lr_max", "peak_learning_rate", "max_learning_rate"),
        *("learning_rate", "base_lr", "base_learning_rate", "init_lr", "initial_lr", "lr_init"),
        *("initial_learning_rate", "lr0", "lr", "eta", "η", "step_size"),
    ),
    "loss": (
        *("loss", "val_loss", "valid_loss", "validation_loss", "eval_loss", "test_loss"),
        *("final_val_loss", "final_loss", "final_eval_loss", "val_ce", "nll"),
        *("train_loss", "training_loss", "final_train_loss"),
    ),
    "seed": ("seed", "seeds", "random_seed", "rng_seed", "rng", "manual_seed", "init_seed"),
}
# Names of sizes other than the width -> those that published laws use. [assumed]
SIZES: Mapping[str, str] = {
    **{name: name for name in ("params", "tokens", "batch", "flops")},
    **dict.fromkeys(
        ("N", "parameters", "num_params", "n_params", "non_embedding_params"), "params"
    ),
    **dict.fromkeys(("D", "num_tokens", "n_tokens", "train_tokens", "training_tokens"), "tokens"),
    **dict.fromkeys(("B", "bs", "batch_size", "global_batch_size"), "batch"),
    **dict.fromkeys(("C", "compute"), "flops"),
}
LOGARITHM_PREFIXES = {"log2_": "2", "log10_": "10", "ln_": "e"}
SETTINGS = frozenset(
    {"config", "configs", "cfg", "conf", "params", "param", "parameters", "hparams", "hyperparams"}
    | {"hyperparameters", "hyper_parameters", "args", "arguments", "flags", "settings", "general"}
)
LOGGED = frozenset(
    {"summary", "summary_metrics", "metrics", "metric", "history", "logs", "log", "logged"}
    | {"charts", "last", "last_result", "scheduler", "lr_scheduler"}
)
# `train/lr` was logged, but `train.lr` is the entry of a configuration file.
LOGGED_BEFORE_SLASH = frozenset(
    {"train", "training", "trainer", "val", "valid", "validation", "eval", "test", "perf"}
    | {"optimizer", "optim", "opt", "monitor"}
)
LOGGED_RATES = frozenset({"train_lr", "current_lr", "cur_lr", "last_lr", "final_lr"})
# `lr-AdamW/pg1` of Lightning, `lr-DecoupledAdamW/group0` of Composer, `lr/pg0` of Ultralytics.
RATE_OF_OPTIMIZER = re.compile(r"(?:.*[./])?lr[-/]\w+(?:[-/]\w+)*")
MEGATRON_RATE = "learning-rate"  # its setting is `lr`
SETTINGS_OF_OPTUNA = re.compile(r"(config|params|hparams|args|user_attrs)_(.+)")

LOSS_MEASURES = {
    **dict.fromkeys(("loss", "losses"), 0),
    **dict.fromkeys(("ce", "xent", "nll", "crossentropy"), 1),
    **dict.fromkeys(("bpb", "bpc"), 2),
    **dict.fromkeys(("ppl", "perplexity"), 3),
    **dict.fromkeys(("mse", "rmse", "mae"), 4),
}
# The split that a loss was measured on, the best one first; 2 where the name has no such word.
SPLITS = {
    **dict.fromkeys(("val", "valid", "validation", "eval", "evaluation", "dev", "heldout"), 0),
    **dict.fromkeys(("held", "holdout"), 0),
    "test": 1,
    **dict.fromkeys(("train", "training"), 3),
}
UNKNOWN_SPLIT = 2
# A minimum over the steps, a moving average and a single batch are no final losses.
NOT_FINAL = frozenset({"best", "min", "lowest", "ema", "smoothed", "running", "step", "batch"})
FINAL = frozenset({"final", "last", "mean", "avg", "average", "total", "lm", "epoch"})
# Words of columns that are no loss, or only a part of one.
NO_LOSS = frozenset(
    {"scale", "scaler", "aux", "auxiliary", "z", "zloss", "router", "balance", "balancing", "load"}
    | {"lb", "moe", "kl", "kld", "reg", "regularization", "penalty", "commit", "commitment"}
    | {"weight", "weights", "coef", "coeff", "lambda", "fn", "func", "function", "type", "name"}
    | {"std", "stderr", "sem", "se", "err", "sd", "var", "variance", "ci", "count", "num", "time"}
    | {"grad", "norm", "ratio", "delta", "diff", "gap", "max", "initial", "init", "untrained"}
    | {"first", "start", "target", "threshold", "spike", "spikes", "patience", "distill"}
    | {"acc", "accuracy", "score"}
)
# The loss of tuners that have one unnamed objective.
OBJECTIVES = frozenset({"value", "values_0", "objective", "hp_metric"})


class Origin(IntEnum):
    """Whether a column was set before the run or logged during it."""

    SETTING = 0
    UNKNOWN = 1
    LOGGED = 2


@lru_cache(maxsize=4096)
def name_parts(name: str) -> tuple[str, ...]:
    """Split a name at dots, slashes and colons; words are lower case, joined by underscores.

    Example:
        >>> name_parts("summary.val/loss"), name_parts("params_hiddenSize"), name_parts("Val Loss")
        (('summary', 'val', 'loss'), ('params', 'hidden_size'), ('val_loss',))
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    parts = [re.sub(r"\W+", "_", part).strip("_").lower() for part in re.split(r"[./:]", words)]
    parts = [part for part in parts if part] or [name.strip().lower()]
    if match := SETTINGS_OF_OPTUNA.fullmatch(parts[0]):
        parts[:1] = [match[1], match[2]]
    return tuple(parts)


def origin(name: str) -> Origin:
    """Return whether a column was set or logged, by its name.

    Example:
        >>> [origin(name).name for name in ("config.lr", "train/lr", "lr-AdamW/pg1", "lr")]
        ['SETTING', 'LOGGED', 'LOGGED', 'UNKNOWN']
    """
    *prefixes, leaf = name_parts(name)
    if SETTINGS.intersection(prefixes):
        return Origin.SETTING
    is_logged = (
        LOGGED.intersection(prefixes)
        or ("/" in name and LOGGED_BEFORE_SLASH.intersection(prefixes))
        or leaf in LOGGED_RATES
        or _is_rate_of_optimizer(name)
        or name.strip().lower() == MEGATRON_RATE
    )
    return Origin.LOGGED if is_logged else Origin.UNKNOWN


def _is_rate_of_optimizer(name: str) -> bool:
    """Return whether a monitor of learning rates wrote this name."""
    leaf = name_parts(name)[-1]
    return leaf not in ALIASES["lr"] and RATE_OF_OPTIMIZER.fullmatch(name.strip()) is not None


def alias_rank(column: str, name: str) -> int | None:
    """Return the place of a name among the aliases of our column, or None.

    Example:
        >>> alias_rank("width", "config.d_model"), alias_rank("lr", "min_lr")
        (2, None)
    """
    aliases, parts = ALIASES.get(column, (column,)), name_parts(name)
    for text in (parts[-1], "_".join(parts)):
        if text in aliases:
            return aliases.index(text)
    if column == "lr" and (parts[-1] in LOGGED_RATES or _is_rate_of_optimizer(name)):
        return len(aliases)
    return None


def loss_rank(name: str) -> tuple[int, ...] | None:
    """Return how well a name fits the final validation loss, lowest first, or None.

    Example:
        >>> sorted(["train/loss", "loss", "val/loss"], key=loss_rank)
        ['val/loss', 'loss', 'train/loss']
        >>> loss_rank("val_accuracy"), loss_rank("loss_scale"), loss_rank("config.loss")
        (None, None, None)
    """
    if origin(name) is Origin.SETTING:
        return None
    parts = name_parts(name)
    words = _words([part for part in parts if part not in LOGGED] or parts)
    measures = [LOSS_MEASURES[word] for word in words if word in LOSS_MEASURES]
    if not measures or NO_LOSS.intersection(words):
        return None
    # `eval/train_loss` is the loss on the training set: the last part decides first.
    splits = [SPLITS[w] for w in _words(parts[-1:]) if w in SPLITS]
    splits = splits or [SPLITS[word] for word in words if word in SPLITS]
    extra = [w for w in words if w not in SPLITS and w not in LOSS_MEASURES and w not in FINAL]
    return (
        min(splits, default=UNKNOWN_SPLIT),
        len(NOT_FINAL.intersection(extra)),
        min(measures),
        len(extra),
    )


def is_final_validation_loss(name: str) -> bool:
    """Return whether a name is that of a loss on held-out data, and of no best or smoothed one."""
    rank = loss_rank(name)
    return rank is not None and rank[:3] == (0, 0, 0)


def is_partial_loss(name: str) -> bool:
    """Return whether a name is that of a part or a property of the loss.

    Example:
        >>> [is_partial_loss(name) for name in ("z_loss", "loss_scale", "top1_err", "los")]
        [True, True, False, False]
    """
    words = {*_words(name_parts(name))}
    return bool(words & LOSS_MEASURES.keys() and words & NO_LOSS)


def _words(parts: Sequence[str]) -> list[str]:
    """Return the words of the parts of a name."""
    return "_".join(parts).replace("cross_entropy", "crossentropy").split("_")
