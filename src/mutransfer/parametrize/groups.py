"""This file is `param_groups`: the plan's rates, decays and epsilons for any torch optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mutransfer.errors import RuleError, listed
from mutransfer.parametrize.application import covered
from mutransfer.rules.decay import check_mode, decay_of_group
from mutransfer.rules.optimizers import optimizer_named
from mutransfer.rules.plan import Plan, PlanRow
from mutransfer.rules.roles import Role


def param_groups(
    model: nn.Module,
    plan: Plan,
    *,
    lr: float | torch.Tensor,
    weight_decay: float | Mapping[Role, float] = 0.0,
    decay_mode: str = "constant-product",
    eps: float | None = None,
    betas: tuple[float, float] | None = None,
) -> list[dict[str, Any]]:
    """Give an optimizer its parameter groups: few, each parameter in exactly one.

    Give decay, epsilon and betas here: a group's own values win over what is passed to the
    optimizer, which would not be scaled.

    Args:
        model: The model that the plan was made for; wrapped and compiled ones too.
        plan: From `make_plan`.
        lr: Peak rate at the base width. A tensor is not modified.
        weight_decay: Decay at the base width, or one per role (roles left out get 0).
        decay_mode: 'constant-product' keeps rate · decay, 'coupled' takes the number
            literally, 'independent' makes a step remove decay · schedule.
        eps: Epsilon at the base width; the optimizer's own default if left out.
        betas: Passed on to every group.

    Returns:
        Groups with 'params', 'lr', 'weight_decay', 'eps' where the optimizer has one, and
        'lr_factor', by which a scheduler of your own must multiply.

    Raises:
        RuleError: A decay mode or epsilon that the optimizer cannot have.
        CoverageError: Plan and model do not have the same parameters.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from mutransfer.parametrize import apply, make_plan
        >>> def build(width):
        ...     return nn.Sequential(nn.Linear(8, width), nn.Linear(width, width))
        >>> plan = make_plan(build, base=64, target=256)
        >>> groups = param_groups(build(256), plan, lr=2**-6, weight_decay=0.1)
        >>> [(g["lr_factor"], g["weight_decay"]) for g in groups]
        [(1.0, 0.1), (0.25, 0.4)]
        >>> optimizer = torch.optim.AdamW(groups)
    """
    optimizer = optimizer_named(plan.optimizer)
    check_mode(decay_mode, optimizer)
    if optimizer.eps is None and eps is not None:
        raise RuleError(
            f"'{plan.optimizer}' has no epsilon, but eps={eps} was given",
            why="a setting without effect hides a misunderstanding",
            fix="leave eps= out, or make the plan for another optimizer",
        )
    decay = _decay_by_role(weight_decay)
    base_eps = optimizer.eps if eps is None else eps
    parameters = covered(model, plan)
    groups: dict[tuple[float, ...], dict[str, Any]] = {}
    for row in plan.rows:
        peak = float(lr) * row.lr_factor
        options: dict[str, Any] = {
            "lr": lr * row.lr_factor,
            "weight_decay": decay_of_group(decay[row.role], decay_mode, row.decay_factor, peak),
            "lr_factor": row.lr_factor,
        }
        if base_eps is not None:
            options["eps"] = base_eps * row.eps_factor
        if betas is not None:
            options["betas"] = betas
        key = _key(row, float(options["weight_decay"]))
        group = groups.setdefault(key, {"params": [], "param_names": [], **options})
        group["params"].append(parameters[row.name])
        group["param_names"].append(row.name)  # torch's own key: it travels in state dicts
    return list(groups.values())


def _key(row: PlanRow, decay: float) -> tuple[float, ...]:
    """Parameters with equal factors share a group."""
    return row.lr_factor, row.eps_factor, decay


def _decay_by_role(weight_decay: float | Mapping[Role, float]) -> dict[Role, float]:
    """Spread one number over the roles, or check the user's own mapping."""
    if not isinstance(weight_decay, Mapping):
        return dict.fromkeys(Role, float(weight_decay))
    unknown = [key for key in weight_decay if key not in set(Role)]
    if unknown:
        raise RuleError(
            f"weight_decay= names roles that do not exist: {listed(unknown)}",
            why="a decay that is ignored would go unnoticed",
            fix=f"choose from {listed(Role, limit=9)}",
        )
    return {role: float(weight_decay.get(role, 0.0)) for role in Role}
