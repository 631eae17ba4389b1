"""This file is `param_groups`: the plan's rates, decays and epsilons for any torch optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from mutransfer.errors import RuleError, listed
from mutransfer.parametrize.apply import covered
from mutransfer.parametrize.optimizer_settings import Eps, Rate, check_betas, epsilons_of, rates_of
from mutransfer.rules.decay import check_mode, decay_of_group
from mutransfer.rules.optimizers import OPTIMIZERS, optimizers_of
from mutransfer.rules.plan import Plan
from mutransfer.rules.roles import Role
from mutransfer.rules.rows import PlanRow


def param_groups(
    model: nn.Module,
    plan: Plan,
    *,
    lr: Rate | Mapping[str, Rate],
    weight_decay: float | Mapping[Role, float] = 0.0,
    decay_mode: str = "constant-product",
    eps: Eps | Mapping[str, Eps] | None = None,
    betas: tuple[float, float] | None = None,
) -> Any:  # noqa: ANN401 - a list; a dict of lists where Muon needs AdamW beside it
    """Give an optimizer its parameter groups: few, each parameter in exactly one.

    Give decay, epsilon and betas here: a group's own values win over what is passed to the
    optimizer, which would not be scaled.

    Args:
        model: The model that the plan was made for; wrapped and compiled ones too.
        plan: From `make_plan`.
        lr: Peak rate at the base width. A tensor is not modified. Two optimizers take
            {'muon': 0.02, 'adamw': 0.003}; one number where Muon's factor is
            'match_rms_adamw', which makes its updates as large as AdamW's. torch's Adafactor takes
            min(lr, 1/√step), so that rates keep their ratios for 1/lr² steps.
        weight_decay: Decay at the base width, or one per role (roles left out get 0).
        decay_mode: 'constant-product' keeps rate · decay, 'coupled' takes the number
            literally, 'independent' makes a step remove decay · schedule.
        eps: Epsilon at the base width; the optimizer's own default if left out. Adafactor's is
            a pair, its first None for the data type's, which is not scaled. Two optimizers take
            {'adamw': 1e-8}.
        betas: Passed on to every group of an optimizer that has them.

    Returns:
        A list of groups with 'params', 'lr', 'weight_decay', 'eps' where the optimizer has one,
        and 'lr_factor', by which a scheduler of your own must multiply. For Muon a dict of two
        such lists, 'muon' and 'adamw'.

    Raises:
        RuleError: A decay mode, epsilon, betas or rates that the optimizer cannot have.
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
        >>> plan = make_plan(build, base=64, target=256, optimizer="muon-match-rms")
        >>> groups = param_groups(build(256), plan, lr=2**-6)
        >>> [g["lr_factor"] for g in groups["muon"]]
        [0.5]
        >>> both = torch.optim.Muon(groups["muon"]), torch.optim.AdamW(groups["adamw"])
    """
    optimizers = optimizers_of(plan.optimizer)
    for each in optimizers:
        check_mode(decay_mode, each)
    rates, epsilons = rates_of(lr, optimizers), epsilons_of(eps, optimizers)
    check_betas(betas, optimizers)
    decay = _decay_by_role(weight_decay)
    parameters = covered(model, plan)
    found: dict[str, dict[tuple[float, ...], dict[str, Any]]]
    found = {each.class_name: {} for each in optimizers}
    for row in plan.rows:
        optimizer = OPTIMIZERS[row.optimizer]
        rate, epsilon = rates[optimizer.class_name], epsilons[optimizer.class_name]
        peak = float(rate) * row.lr_factor
        options: dict[str, Any] = {
            "lr": rate * row.lr_factor,
            "weight_decay": decay_of_group(decay[row.role], decay_mode, row.decay_factor, peak),
            "lr_factor": row.lr_factor,
        }
        if epsilon is not None:
            options["eps"] = _scaled(epsilon, row)
        if betas is not None and optimizer.has_betas:
            options["betas"] = betas
        if optimizer.adjust_lr_fn is not None:
            options["adjust_lr_fn"] = optimizer.adjust_lr_fn
        key = _key(row, float(options["weight_decay"]))
        group = found[optimizer.class_name].setdefault(
            key, {"params": [], "param_names": [], **options}
        )
        group["params"].append(parameters[row.name])
        group["param_names"].append(row.name)  # torch's own key: it travels in state dicts
    groups = {name: list(own.values()) for name, own in found.items()}
    return groups if len(groups) > 1 else groups[optimizers[0].class_name]


def _scaled(epsilon: Eps, row: PlanRow) -> Eps:
    """Scale an epsilon, or both of a pair."""
    if not isinstance(epsilon, tuple):
        return epsilon * row.eps_factor
    of_gradient, of_weight = epsilon
    of_gradient = None if of_gradient is None else of_gradient * row.eps_factor
    return of_gradient, of_weight * row.eps2_factor


def _key(row: PlanRow, decay: float) -> tuple[float, ...]:
    """Parameters with equal factors share a group."""
    return row.lr_factor, row.eps_factor, row.eps2_factor, decay


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
