"""Rates, decays, epsilons and betas of the user, checked against the plan."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real

import torch

from mutransfer.errors import ROLE_OF_WORD, RuleError, listed
from mutransfer.rules.optimizers import Optimizer
from mutransfer.rules.plan import Plan
from mutransfer.rules.roles import Role

Rate = float | torch.Tensor
Eps = float | tuple[float | None, float]
ByRole = Mapping[Role, float] | Mapping[str, float]
NO_EFFECT = "a setting without effect hides a misunderstanding"


def lr_by_optimizer(
    lr: Rate | Mapping[str, Rate], optimizers: Sequence[Optimizer]
) -> dict[str, Rate]:
    """Return the rate of each optimizer, by class name.

    Muon's rate is the size of the change of a whole matrix, AdamW's that of an entry: one number
    fits both only where torch's 'match_rms_adamw' makes them alike.

    Raises:
        RuleError: One rate is passed for two optimizers, or an optimizer is not the plan's.
    """
    names = [optimizer.class_name for optimizer in optimizers]
    check_numbers("lr", lr.values() if isinstance(lr, Mapping) else [lr])
    if isinstance(lr, Mapping):
        _check_names("lr", lr, names)
        if missing := [name for name in names if name not in lr]:
            example = {name: float(lr.get(name, 0.003)) for name in names}
            raise RuleError(
                f"lr= has no rate for {listed(missing)}",
                why="every optimizer of the plan trains some parameters",
                fix=f"lr={example}",
            )
        return dict(lr)
    if any(optimizer.adjust_lr_fn == "original" for optimizer in optimizers):
        raise RuleError(
            f"lr={float(lr):g} is one rate for Muon and AdamW",
            why="Muon's is the size of a matrix's change, AdamW's that of an entry: one number "
            "cannot fit both",
            fix=f"lr={{'muon': {float(lr):g}, 'adamw': 0.003}}, or make_plan(..., "
            "optimizer='muon-match-rms'), whose rates are alike",
        )
    return dict.fromkeys(names, lr)


def eps_by_optimizer(
    eps: Eps | Mapping[str, Eps] | None, optimizers: Sequence[Optimizer]
) -> dict[str, Eps | None]:
    """Return the epsilon of each optimizer at the base width, by class name.

    Raises:
        RuleError: An optimizer has no epsilon, or takes another kind of it.
    """
    names = [optimizer.class_name for optimizer in optimizers]
    chosen: dict[str, Eps] = {}
    if isinstance(eps, Mapping):
        _check_names("eps", eps, names)
        chosen = dict(eps)
    elif eps is not None and len(names) > 1:
        raise RuleError(
            f"eps={eps} is one epsilon for {listed(names)}",
            why="Muon's is compared with a matrix's norm, AdamW's with an entry",
            fix=f"eps={{'adamw': {eps}}}",
        )
    elif eps is not None:
        chosen = {names[0]: eps}
    for optimizer in optimizers:
        if (value := chosen.get(optimizer.class_name)) is not None:
            _check_eps(value, optimizer)
    return {o.class_name: chosen.get(o.class_name, o.eps) for o in optimizers}


def decay_by_role(weight_decay: float | ByRole) -> dict[Role, float]:
    """Return the decay of every role; roles that a mapping leaves out have none."""
    if isinstance(weight_decay, Mapping):
        return _by_role("weight_decay", weight_decay, default=0.0)
    check_numbers("weight_decay", [weight_decay])
    return dict.fromkeys(Role, float(weight_decay))


def multiplier_by_role(lr_multiplier: ByRole | None, plan: Plan) -> dict[Role, float]:
    """Return the factor on the rate of every role; roles that a mapping leaves out have 1.

    Raises:
        RuleError: A factor is not positive and finite, or the plan has no parameter of its role.
    """
    if lr_multiplier is None:
        return dict.fromkeys(Role, 1.0)
    if not isinstance(lr_multiplier, Mapping):
        raise RuleError(
            f"lr_multiplier={lr_multiplier!r} is not a mapping from roles to factors",
            why="a factor on all rates is part of lr",
            fix="lr_multiplier={'input': 4.0}",
        )
    factors = _by_role("lr_multiplier", lr_multiplier, default=1.0)
    if wrong := {f"{k}": v for k, v in factors.items() if not (v > 0 and math.isfinite(v))}:
        raise RuleError(
            f"lr_multiplier={wrong} has a factor that is not positive and finite",
            why="a learning rate is positive and finite",
            fix=f"lr_multiplier={dict.fromkeys(wrong, 1.0)}; freeze a parameter with "
            "requires_grad_(False)",
        )
    roles = dict.fromkeys(row.role for row in plan.rows)
    if missing := [role for role in lr_multiplier if role not in roles]:
        raise RuleError(
            f"lr_multiplier= names roles that no parameter of the plan has: {listed(missing)}",
            why=NO_EFFECT,
            fix=f"choose from {listed(roles, limit=9)}; print(plan) shows each parameter's role",
        )
    return factors


def _by_role(setting: str, values: ByRole, default: float) -> dict[Role, float]:
    """Return the number of every role from the user's mapping."""
    for key, value in values.items():
        if not _is_number(value):
            raise RuleError(
                f"{setting}['{key}'] is {value!r}, which is not a number",
                why="the plan multiplies it by a factor for each parameter group",
                fix=f"{setting}={{'{key}': {_as_number(value)}}}",
            )
    if unknown := [key for key in values if key not in set(Role)]:
        words = set(map(str, unknown)) & set(ROLE_OF_WORD)
        meant = "embeddings have the role 'input', readouts 'output'; " if words else ""
        raise RuleError(
            f"{setting}= names roles that do not exist: {listed(unknown)}",
            why=NO_EFFECT,
            fix=f"{meant}choose from {listed(Role, limit=9)}",
        )
    return {role: float(values.get(role, default)) for role in Role}


def check_betas(betas: object, optimizers: Sequence[Optimizer]) -> None:
    """Raise for betas that no optimizer of the plan takes, and for what is not a pair of them."""
    if betas is None:
        return
    if not any(optimizer.has_betas for optimizer in optimizers):
        raise _no_effect(optimizers[0].name, "betas", f"betas={betas}")
    if not (isinstance(betas, Sequence) and len(betas) == 2 and all(map(_is_beta, betas))):
        raise RuleError(
            f"betas={betas!r} is not a pair of numbers of at least 0 and below 1",
            why="the optimizer uses one number in each of two running averages",
            fix=f"betas=({betas}, 0.999)" if _is_beta(betas) else "betas=(0.9, 0.999)",
        )


def _is_beta(value: object) -> bool:
    """Return whether a value is a factor of a running average."""
    return isinstance(value, Real | torch.Tensor) and 0 <= float(value) < 1


def _check_eps(eps: Eps, optimizer: Optimizer) -> None:
    """Raise for an epsilon that the optimizer does not take."""
    if optimizer.eps is None:
        raise _no_effect(optimizer.name, "epsilon", f"eps={eps}")
    if isinstance(optimizer.eps, tuple) != (isinstance(eps, tuple) and len(eps) == 2):
        raise RuleError(
            f"eps={eps} is not what '{optimizer.name}' takes",
            why="Adafactor takes two, for the gradient and for the weight; others take one",
            fix=f"eps={optimizer.eps}",
        )
    values = eps if isinstance(eps, tuple) else [eps]
    check_numbers("eps", [value for value in values if value is not None])


def check_numbers(setting: str, values: Iterable[object]) -> None:
    """Raise for settings that are not numbers; a tensor with one element is a number."""
    for value in values:
        if not _is_number(value):
            raise RuleError(
                f"{setting}={value!r} is not a number",
                why="the plan multiplies it by a factor for each parameter group",
                fix=f"write a number, such as {setting}=0.01",
            )


def _is_number(value: object) -> bool:
    """Return whether a value is a number, or a tensor with one element."""
    return (torch.is_tensor(value) and value.numel() == 1) or isinstance(value, Real)


def _as_number(value: object) -> float:
    """Return the number that a text contains, and an example for any other value."""
    try:
        return float(value) if isinstance(value, str) else 0.1
    except ValueError:
        return 0.1


def _no_effect(name: str, what: str, setting: str) -> RuleError:
    """Return the error for a setting that the optimizer would ignore."""
    return RuleError(
        f"'{name}' has no {what}, but {setting} was passed",
        why=NO_EFFECT,
        fix=f"leave {setting.partition('=')[0]}= out, or make the plan for another optimizer",
    )


def _check_names(setting: str, values: Mapping[str, object], names: Sequence[str]) -> None:
    """Raise for optimizers that the plan does not have."""
    if unknown := [name for name in values if name not in names]:
        raise RuleError(
            f"{setting}= names optimizers that the plan does not have: {listed(unknown)}",
            why=NO_EFFECT,
            fix=f"choose from {listed(names)}",
        )
