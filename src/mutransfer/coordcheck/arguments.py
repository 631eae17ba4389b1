"""Validation of the arguments of `coord_check`, before any model is built."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress

import numpy as np
import torch
from torch.utils.data import DataLoader

from mutransfer.coordcheck.runs.optimizers import Rate
from mutransfer.errors import ModelError, RoleError, RuleError
from mutransfer.parametrize.model.device import available_device

MIN_STEPS = 3  # behind a zero init the first update has no effect [derived: the chain rule]
MAX_REPR = 60  # characters of a value that an error message repeats
PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)  # autocast accepts no others
TRAINS = "the check trains the model for a few steps"
STEPS_WITH_IT = "the check takes a few steps with it"


def check_types(
    build: object,
    batch: object,
    loss: object,
    parametrization: object,
    optimizer: object,
    form: object,
    roles: object,
    dtype: object,
) -> None:
    """Raise unless the arguments of `coord_check` that need no conversion have valid types."""
    _check_functions(build, loss)
    _check_batch(batch)
    _check_names(parametrization, form)
    _check_roles(roles)
    _check_optimizer(optimizer, is_own=parametrization is None)
    _check_dtype(dtype)


def _check_functions(build: object, loss: object) -> None:
    """Raise unless both are callable. A model instead of its factory is refused when built."""
    if not callable(build):
        raise ModelError(
            f"build={_short_repr(build)} is not callable",
            why="models are built at several widths",
            fix="pass a function: coord_check(lambda width: MyModel(width), ...)",
        )
    if not callable(loss):
        raise ModelError(
            f"loss={_short_repr(loss)} is not callable",
            why="the check calls loss(model, batch) at every step",
            fix="pass a function: loss=lambda model, batch: "
            "torch.nn.functional.cross_entropy(model(batch[0]), batch[1])",
        )


def _check_batch(batch: object) -> None:
    """Raise if the batch is an iterator of batches, or a function."""
    if isinstance(batch, DataLoader | Iterator):
        raise ModelError(
            f"batch= is a {type(batch).__name__}, which yields one batch after another",
            why="sizes can be compared only if every step of every model uses the same batch",
            fix="batch=next(iter(loader))",
        )
    if isinstance(batch, type | functools.partial) or inspect.isroutine(batch):
        raise ModelError(
            "batch= is a function, not a batch",
            why="the batch is passed to loss(model, batch) as it is",
            fix="call it: batch=make_batch()",
        )


def _check_names(parametrization: object, form: object) -> None:
    """Raise unless parametrization and form are names."""
    if parametrization is not None and not isinstance(parametrization, str):
        raise RuleError(
            f"parametrization={_short_repr(parametrization)} is not a name",
            why="every parametrization has its own learning rates",
            fix="parametrization='mup', or None to check your own implementation",
        )
    if not isinstance(form, str):
        raise RuleError(
            f"form={_short_repr(form)} is not a name",
            why="a plan names its form, because clipping and logged weights depend on it",
            fix="form='table-3' (no multipliers) or form='table-8'",
        )


def _check_roles(roles: object) -> None:
    """Raise unless the roles are a mapping from patterns."""
    is_mapping = isinstance(roles, Mapping) and all(isinstance(k, str | re.Pattern) for k in roles)
    if roles is not None and not is_mapping:
        raise RoleError(
            f"roles={_short_repr(roles)} is not a mapping from names to roles",
            why="a role applies to all parameters whose names match a pattern",
            fix="roles={'head.weight': Role.OUTPUT}",
        )


def _check_optimizer(optimizer: object, *, is_own: bool) -> None:
    """Raise unless an optimizer can be made for a model of any width."""
    kind = optimizer if isinstance(optimizer, type) else type(optimizer)
    if issubclass(kind, torch.optim.LBFGS):
        raise RuleError(
            f"{kind.__name__} cannot be checked: its step() needs a closure that computes the loss",
            why="the check computes one gradient per step",
            fix="optimizer='adamw', or another whose step() needs no argument",
        )
    if isinstance(optimizer, torch.optim.Optimizer):
        name = kind.__name__
        name = f"torch.optim.{name}" if getattr(torch.optim, name, None) is kind else name
        raise ModelError(
            f"optimizer= is an instance of {kind.__name__}, which holds one model's parameters",
            why="every width and seed trains its own model",
            fix=f"pass a factory: optimizer=lambda model: {name}(model.parameters(), lr=2**-8)"
            if is_own
            else f"pass a factory: optimizer=lambda groups: {name}(groups)",
        )
    wrong_class = isinstance(optimizer, type) and not issubclass(optimizer, torch.optim.Optimizer)
    if wrong_class or not (isinstance(optimizer, str) or callable(optimizer)):
        value = kind.__name__ if wrong_class else _short_repr(optimizer)
        raise ModelError(
            f"optimizer={value} is not the name, class or factory of an optimizer",
            why=STEPS_WITH_IT,
            fix="optimizer='adamw', a class, or a factory that returns an optimizer or a list of "
            "them",
        )


def _check_dtype(dtype: object) -> None:
    """Raise unless autocast accepts the type."""
    if not any(dtype is precision for precision in PRECISIONS):
        name = str(dtype).removeprefix("torch.")
        is_named = name in ("float32", "bfloat16", "float16")
        raise ModelError(
            f"dtype={_short_repr(dtype)} is not torch.float32, torch.bfloat16 or torch.float16",
            why="lower precision uses torch's autocast, which accepts no other; weights keep their "
            "type",
            fix=f"dtype=torch.{name if is_named else 'float32'}",
        )


def parse_base(base: object) -> int:
    """Validate the base width."""
    if (width := _integer(base)) is None or width < 1:
        raise ModelError(
            f"base={_short_repr(base)} is not a width",
            why="only the width scales so far: a whole number of channels",
            fix="write base=256",
        )
    return width


def check_probe(probe: object, parametrization: str | None) -> None:
    """Raise for a probe width that no plan would use; `make_plan` checks its value."""
    if probe is not None and parametrization is None:
        raise ModelError(
            f"probe={_short_repr(probe)} has no effect with parametrization=None",
            why="a plan compares inits at the base and at the probe, and your own implementation "
            "has none",
            fix="leave probe= out",
        )


def parse_widths(widths: object, base: int) -> tuple[int, ...]:
    """Validate and sort the widths."""
    values = _integers(widths)
    fix = f"widths={[base, 2 * base, 4 * base, 8 * base]}"
    if values is None or any(width < 1 for width in values):
        raise ModelError(
            f"widths={_short_repr(widths)} is not a list of positive whole numbers",
            why="a model is built at each of several widths",
            fix=fix,
        )
    distinct = tuple(sorted(set(values)))
    if len(distinct) < 3 or distinct[-1] < 4 * distinct[0]:
        raise ModelError(
            f"widths={list(values)} are too few, or too close together",
            why="an exponent is fitted over widths, precisely enough to show half a power",
            fix=fix,
        )
    return distinct


def parse_seeds(seeds: object) -> tuple[int, ...]:
    """Validate the seeds: a number of them, or a list."""
    count = _integer(seeds)
    values = _integers(seeds) if count is None else range(count)
    if values is None:
        raise ModelError(
            f"seeds={_short_repr(seeds)} is neither a whole number nor a list of them",
            why="seeds is the number of models per width, or the seeds of torch's generator",
            fix="seeds=3",
        )
    distinct = tuple(dict.fromkeys(values))
    if len(distinct) < 2:
        raise ModelError(
            f"seeds={len(distinct) if count is None else count}: the noise of an exponent cannot "
            "be estimated",
            why="without its noise an exponent cannot be compared with the expected one",
            fix="seeds=3",
        )
    if any(not -(2**63) <= seed < 2**63 for seed in distinct):
        raise ModelError(
            f"seeds={_short_repr(seeds)} are too large",
            why="torch's generator accepts seeds of 64 bits",
            fix="seeds=[0, 1, 2]",
        )
    return distinct


def parse_steps(steps: object) -> int:
    """Validate the number of steps."""
    if (num_steps := _integer(steps)) is None:
        raise ModelError(
            f"steps={_short_repr(steps)} is not a whole number", why=TRAINS, fix="steps=10"
        )
    if num_steps < MIN_STEPS:
        raise ModelError(
            f"steps={num_steps} is fewer than {MIN_STEPS}",
            why="behind a zero init the first update changes nothing",
            fix="steps=10",
        )
    return num_steps


def parse_rate(lr: object, *, is_single: bool) -> Rate:
    """Validate one learning rate, or one per optimizer."""
    if not isinstance(lr, Mapping):
        if (rate := _positive(lr)) is None:
            raise ModelError(
                f"lr={_short_repr(lr)} is not a positive learning rate",
                why=TRAINS,
                fix=f"lr={_suggested_rate(lr)}",
            )
        return rate
    if is_single:
        raise RuleError(
            f"lr={_short_repr(lr)} has rates by optimizer, but one optimizer holds all parameters",
            why="with parametrization=None no plan assigns parameters to several optimizers",
            fix="lr=2**-6, or optimizer= a factory that makes several optimizers of a model",
        )
    rates = {name: _positive(value) for name, value in lr.items()}
    if not rates or not all(isinstance(name, str) and rates[name] for name in rates):
        names = [name for name in lr if isinstance(name, str)]
        suggested = ", ".join(f"{name!r}: {_suggested_rate(lr[name])}" for name in names)
        raise ModelError(
            f"lr={_short_repr(lr)} is not a positive learning rate for each optimizer by name",
            why=TRAINS,
            fix="lr={" + (suggested or "'muon': 0.02, 'adamw': 0.003") + "}",
        )
    return {name: rate for name, rate in rates.items() if rate is not None}


def _suggested_rate(lr: object) -> str:
    """Format the rate that the user probably meant, or a usual one."""
    with suppress(ValueError):
        if rate := _positive(float(lr) if isinstance(lr, str) else lr):
            return f"{rate:g}"
    return "2**-6"


def parse_device(device: object) -> str:
    """Validate the device, and that it is available."""
    if not isinstance(device, str | torch.device):
        raise ModelError(
            f"device={_short_repr(device)} is not the name of a device",
            why="the models are trained on it",
            fix="device='cpu', or 'cuda:0'",
        )
    available_device(str(device), fix="device='cpu'")
    return str(device)


def is_count(seeds: object) -> bool:
    """Return whether the seeds are a number and not a list."""
    return _integer(seeds) is not None


def _integer(value: object) -> int | None:
    """Convert an integer, including numpy's; return None for a boolean or any other value."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    return None


def _integers(values: object) -> tuple[int, ...] | None:
    """Convert a list, tuple, range, set or array of integers; return None for other values."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if not isinstance(values, Sequence | Set) or isinstance(values, str | bytes):
        return None
    integers = [_integer(value) for value in values]
    return None if None in integers else tuple(i for i in integers if i is not None)


def _positive(value: object) -> float | None:
    """Convert a positive finite number or a tensor of one; return None for other values."""
    if isinstance(value, torch.Tensor) and value.numel() == 1 and not value.is_meta:
        value = value.item()
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        return None
    with suppress(OverflowError):
        if 0 < float(value) < math.inf:
            return float(value)
    return None


def _short_repr(value: object) -> str:
    """Format a value in one line, and abbreviate a long one."""
    text = " ".join(repr(value).split())
    return text if len(text) <= MAX_REPR else f"{text[: MAX_REPR - 3]}..."
