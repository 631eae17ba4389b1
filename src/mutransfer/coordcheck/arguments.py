"""This file is the arguments of a check: read, or refused before anything is built."""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader

from mutransfer.coordcheck.runs.optimizers import Rate
from mutransfer.errors import ModelError, RoleError, RuleError
from mutransfer.parametrize.model.device import available_device

FEWEST_STEPS = 3
SHOWN = 60  # letters of a value that an error repeats
PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}  # what autocast takes on every device
TRAINS = "the check trains the model for a few steps"
STEPS_WITH_IT = "the check takes a few steps with it"


@dataclass(frozen=True, slots=True)
class Arguments:
    """What may be given in several ways, as the check reads it.

    Args:
        base: Width at which every factor is 1.
        widths: Rising.
        seeds: No two alike.
        may_add: Whether only their number was given.
        steps: Updates.
        lr: One rate, or one of each optimizer.
        device: Its name.
    """

    base: int
    widths: tuple[int, ...]
    seeds: tuple[int, ...]
    may_add: bool
    steps: int
    lr: Rate
    device: str


def checked_arguments(
    build: object,
    *,
    base: object,
    widths: object,
    batch: object,
    loss: object,
    parametrization: object,
    optimizer: object,
    lr: object,
    steps: object,
    seeds: object,
    form: object,
    roles: object,
    device: object,
    dtype: object,
) -> Arguments:
    """Read the arguments of `coord_check`; refuse what is none of what it takes.

    Raises:
        ModelError: What cannot be built, trained or decided.
        RuleError: A parametrization, form or optimizer that is none.
        RoleError: Roles that are no mapping of names.
    """
    _check_functions(build, loss)
    _check_batch(batch)
    _check_names(parametrization, form)
    _check_roles(roles)
    _check_optimizer(optimizer, own=parametrization is None)
    _check_dtype(dtype)
    at = _base(base)
    one_rate = parametrization is None and isinstance(optimizer, str | type)
    return Arguments(
        base=at,
        widths=_widths(widths, at),
        seeds=_seeds(seeds),
        may_add=_is_whole(seeds),
        steps=_steps(steps),
        lr=_rate(lr, one_rate=one_rate),
        device=_device(device),
    )


def _check_functions(build: object, loss: object) -> None:
    """Refuse what cannot be called. A model in place of its factory is refused when built."""
    if not callable(build):
        raise ModelError(
            f"build={_shown(build)} cannot be called",
            why="models are built at several widths",
            fix="pass a function: coord_check(lambda width: MyModel(width), ...)",
        )
    if not callable(loss):
        raise ModelError(
            f"loss={_shown(loss)} cannot be called",
            why="the check calls loss(model, batch) at every step",
            fix="pass a function: loss=lambda model, batch: "
            "torch.nn.functional.cross_entropy(model(batch[0]), batch[1])",
        )


def _check_batch(batch: object) -> None:
    """Refuse what gives batches instead of one."""
    if isinstance(batch, DataLoader | Iterator):
        raise ModelError(
            f"batch= is a {type(batch).__name__}, which gives one batch after another",
            why="every model takes every step on the same batch, so that sizes can be compared",
            fix="batch=next(iter(loader))",
        )
    if isinstance(batch, type | functools.partial) or inspect.isroutine(batch):
        raise ModelError(
            "batch= is a function, not a batch",
            why="loss(model, batch) is called with what is given",
            fix="call it: batch=make_batch()",
        )


def _check_names(parametrization: object, form: object) -> None:
    """Refuse what cannot be looked up."""
    if parametrization is not None and not isinstance(parametrization, str):
        raise RuleError(
            f"parametrization={_shown(parametrization)} is not a name",
            why="a wrong name would train with the wrong rates",
            fix="parametrization='mup', or None to check your own implementation",
        )
    if not isinstance(form, str):
        raise RuleError(
            f"form={_shown(form)} is not a name",
            why="a plan names its form, because clipping and logged weights depend on it",
            fix="form='table-3' (no multipliers) or form='table-8'",
        )


def _check_roles(roles: object) -> None:
    """Refuse what names no parameters."""
    if roles is None:
        return
    if not isinstance(roles, Mapping) or not all(isinstance(k, str | re.Pattern) for k in roles):
        raise RoleError(
            f"roles={_shown(roles)} is no mapping from names to roles",
            why="a role is told of the parameters whose names a pattern matches",
            fix="roles={'head.weight': Role.OUTPUT}",
        )


def _check_optimizer(optimizer: object, *, own: bool) -> None:
    """Refuse what makes no optimizer for a model of any width."""
    kind = optimizer if isinstance(optimizer, type) else type(optimizer)
    if issubclass(kind, torch.optim.LBFGS):
        raise RuleError(
            f"optimizer={kind.__name__} needs a closure that computes the loss again",
            why="the check takes one gradient for each step",
            fix="optimizer='adamw', or another whose step() needs no argument",
        )
    if isinstance(optimizer, torch.optim.Optimizer):
        name = kind.__name__
        name = f"torch.optim.{name}" if getattr(torch.optim, name, None) is kind else name
        raise ModelError(
            f"optimizer= is an instance of {kind.__name__}, which holds one model's parameters",
            why="every width and seed trains a fresh model of its own",
            fix=f"pass a factory: optimizer=lambda model: {name}(model.parameters(), lr=2**-8)"
            if own
            else f"pass a factory: optimizer=lambda groups: {name}(groups)",
        )
    wrong_class = isinstance(optimizer, type) and not issubclass(optimizer, torch.optim.Optimizer)
    if wrong_class or not (isinstance(optimizer, str) or callable(optimizer)):
        what = kind.__name__ if wrong_class else _shown(optimizer)
        raise ModelError(
            f"optimizer={what} is no name, class or factory of an optimizer",
            why=STEPS_WITH_IT,
            fix="optimizer='adamw', a class, or a factory that returns an optimizer, or several in "
            "a list",
        )


def _check_dtype(dtype: object) -> None:
    """Refuse what autocast does not take."""
    if not any(dtype is one for one in PRECISIONS.values()):
        name = str(dtype).removeprefix("torch.")
        raise ModelError(
            f"dtype={_shown(dtype)} is not torch.float32, torch.bfloat16 or torch.float16",
            why="lower precision is torch's autocast, which takes no other; weights stay as built",
            fix=f"dtype=torch.{name if name in PRECISIONS else 'float32'}",
        )


def _base(base: object) -> int:
    """Read a width."""
    if (found := _whole(base)) is None or found < 1:
        raise ModelError(
            f"base={_shown(base)} is not a width",
            why="only the width scales so far: a whole number of channels",
            fix="write base=256",
        )
    return found


def _widths(widths: object, base: int) -> tuple[int, ...]:
    """Read widths, rising; refuse those between which nothing shows."""
    given = _several(widths)
    fix = f"widths={[base, 2 * base, 4 * base, 8 * base]}"
    if given is None or any(one < 1 for one in given):
        raise ModelError(
            f"widths={_shown(widths)} is no list of positive whole numbers",
            why="a model is built at each of several widths",
            fix=fix,
        )
    rising = tuple(sorted(set(given)))
    if len(rising) < 3 or rising[-1] < 4 * rising[0]:
        raise ModelError(
            f"widths={list(given)} are too few, or too near each other",
            why="an exponent is fitted over widths, and half a power must show",
            fix=fix,
        )
    return rising


def _seeds(seeds: object) -> tuple[int, ...]:
    """Read the number of seeds, or the seeds."""
    count = _whole(seeds)
    given = _several(seeds) if count is None else range(count)
    if given is None:
        raise ModelError(
            f"seeds={_shown(seeds)} is neither a whole number nor a list of them",
            why="they are fresh models per width, or what torch's generator starts from",
            fix="seeds=3",
        )
    different = tuple(dict.fromkeys(given))
    if len(different) < 2:
        raise ModelError(
            f"seeds={len(different) if count is None else count}: the noise of an exponent cannot "
            "be seen",
            why="without its noise an exponent is neither equal to what is expected nor different",
            fix="seeds=3",
        )
    if any(not -(2**63) <= one < 2**63 for one in different):
        raise ModelError(
            f"seeds={_shown(seeds)} are too large",
            why="torch's generator takes seeds of 64 bits",
            fix="seeds=[0, 1, 2]",
        )
    return different


def _steps(steps: object) -> int:
    """Read the number of updates."""
    if (found := _whole(steps)) is None:
        raise ModelError(
            f"steps={_shown(steps)} is not a whole number",
            why=TRAINS,
            fix="steps=10",
        )
    if found < FEWEST_STEPS:
        raise ModelError(
            f"steps={found} is fewer than {FEWEST_STEPS}",
            why="behind a zero init the first update changes nothing",
            fix="steps=10",
        )
    return found


def _rate(lr: object, *, one_rate: bool) -> Rate:
    """Read one rate, or one of each optimizer."""
    if not isinstance(lr, Mapping):
        if (rate := _positive(lr)) is None:
            raise ModelError(
                f"lr={_shown(lr)} is no positive rate",
                why=TRAINS,
                fix=f"lr={_rate_in(lr)}",
            )
        return rate
    if one_rate:
        raise RuleError(
            f"lr={_shown(lr)} gives rates by optimizer, where one optimizer holds everything",
            why="with parametrization=None no plan says which parameters each of them would hold",
            fix="lr=2**-6, or optimizer= a factory that makes several optimizers of a model",
        )
    rates = {name: _positive(one) for name, one in lr.items()}
    if not rates or not all(isinstance(name, str) and rates[name] for name in rates):
        example = "'muon': 0.02, 'adamw': 0.003"
        named = ", ".join(f"{k!r}: {_rate_in(v)}" for k, v in lr.items() if isinstance(k, str))
        raise ModelError(
            f"lr={_shown(lr)} is no positive rate for each optimizer by name",
            why=TRAINS,
            fix=f"lr={{{named or example}}}",
        )
    return {name: rate for name, rate in rates.items() if rate is not None}


def _rate_in(lr: object) -> str:
    """Propose the rate that is meant, or the default."""
    try:
        rate = _positive(float(lr) if isinstance(lr, str) else lr)
    except ValueError:
        rate = None
    return "2**-6" if rate is None else f"{rate:g}"


def _device(device: object) -> str:
    """Read where to run; refuse what is not there."""
    if not isinstance(device, str | torch.device):
        raise ModelError(
            f"device={_shown(device)} is not the name of a device",
            why="models are to be trained there",
            fix="device='cpu', or 'cuda:0'",
        )
    available_device(str(device), fix="device='cpu'")
    return str(device)


def _is_whole(given: object) -> bool:
    """Tell whole numbers, numpy's too, from truth values and all else."""
    return isinstance(given, numbers.Integral) and not isinstance(given, bool)


def _whole(given: object) -> int | None:
    """Read a whole number."""
    return int(given) if isinstance(given, numbers.Integral) and _is_whole(given) else None


def _several(given: object) -> tuple[int, ...] | None:
    """Read whole numbers: a list, a tuple, a range, a set, an array."""
    if isinstance(given, np.ndarray):
        given = given.tolist()
    if not isinstance(given, Sequence | Set) or isinstance(given, str | bytes):
        return None
    found = [_whole(one) for one in given]
    return None if None in found else tuple(one for one in found if one is not None)


def _positive(given: object) -> float | None:
    """Read a positive finite number, a tensor's too."""
    if isinstance(given, torch.Tensor) and given.numel() == 1 and not given.is_meta:
        given = given.item()
    if not isinstance(given, numbers.Real) or isinstance(given, bool):
        return None
    try:
        rate = float(given)
    except OverflowError:
        return None
    return rate if 0 < rate < math.inf else None


def _shown(given: object) -> str:
    """Repeat a value in one line, the beginning of a long one only."""
    text = " ".join(repr(given).split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
