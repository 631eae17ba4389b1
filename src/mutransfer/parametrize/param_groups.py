"""Parameter groups: the plan's rates, decays and epsilons for any torch optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from mutransfer.parametrize.apply import match_parameters
from mutransfer.parametrize.optimizer_settings import (
    ByRole,
    Eps,
    Rate,
    check_betas,
    decay_by_role,
    eps_by_optimizer,
    lr_by_optimizer,
    multiplier_by_role,
)
from mutransfer.rules.decay import check_mode, decay_of_group
from mutransfer.rules.optimizers import OPTIMIZERS, optimizers_of
from mutransfer.rules.plan import Plan
from mutransfer.rules.rows import PlanRow


def param_groups(
    model: nn.Module,
    plan: Plan,
    *,
    lr: Rate | Mapping[str, Rate],
    lr_multiplier: ByRole | None = None,
    weight_decay: float | ByRole = 0.0,
    decay_mode: str = "constant-product",
    eps: Eps | Mapping[str, Eps] | None = None,
    betas: tuple[float, float] | None = None,
) -> Any:  # noqa: ANN401 - a list; a dict of lists where Muon needs AdamW as well
    """Return parameter groups, as few as possible, that hold each parameter exactly once.

    Pass decay, epsilon and betas here, because the optimizer itself would not scale them.

    Args:
        model: The model that the plan was made for, possibly wrapped or compiled.
        plan: Plan from `make_plan`.
        lr: Peak rate at the base width. A tensor is not modified. Two optimizers take
            {'muon': 0.02, 'adamw': 0.003}, or one number if the plan is for 'muon-match-rms',
            which makes Muon's updates as large as AdamW's. torch's Adafactor uses
            min(lr, 1/√step), so its rates keep their ratios for 1/lr² steps.
        lr_multiplier: Factors on the rates of roles, as in {'input': 4.0} for embeddings. The
            parameters of a role train as if `lr` were lr · factor: decay grows along with the
            rate, as it does with `lr`, except under 'independent'.
        weight_decay: Decay at the base width, or a mapping from roles to it; other roles get 0.
        decay_mode: 'constant-product' keeps rate · decay, 'coupled' uses the number as it is,
            'independent' makes a step remove decay · schedule.
        eps: Epsilon at the base width; by default that of the optimizer. Adafactor takes a pair,
            whose first may be None for the data type's, which is not scaled. Two optimizers take
            {'adamw': 1e-8}.
        betas: Betas of every group whose optimizer has them.

    Returns:
        A list of groups with 'params', 'lr', 'weight_decay', 'eps' where the optimizer has one,
        and 'lr_factor', by which your own scheduler must multiply. It includes 'lr_multiplier',
        which a group has where it is not 1. For Muon a dict of two such lists, 'muon' and 'adamw'.

    Raises:
        RuleError: The optimizer does not support a decay mode, epsilon, betas or rates; a
            multiplier is not positive, or no parameter has its role.
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
        >>> groups = param_groups(build(256), plan, lr=2**-6, lr_multiplier={"input": 4.0})
        >>> [(g["lr_factor"], g["param_names"]) for g in groups]
        [(4.0, ['0.weight']), (1.0, ['0.bias', '1.bias']), (0.25, ['1.weight'])]
        >>> plan = make_plan(build, base=64, target=256, optimizer="muon-match-rms")
        >>> groups = param_groups(build(256), plan, lr=2**-6)
        >>> [g["lr_factor"] for g in groups["muon"]]
        [0.5]
        >>> both = torch.optim.Muon(groups["muon"]), torch.optim.AdamW(groups["adamw"])
    """
    parameters = match_parameters(model, plan)
    optimizers = optimizers_of(plan.optimizer)
    for optimizer in optimizers:
        check_mode(decay_mode, optimizer)
    rates, epsilons = lr_by_optimizer(lr, optimizers), eps_by_optimizer(eps, optimizers)
    check_betas(betas, optimizers)
    decays, multipliers = decay_by_role(weight_decay), multiplier_by_role(lr_multiplier, plan)
    groups: dict[str, dict[tuple[float, ...], dict[str, Any]]]
    groups = {optimizer.class_name: {} for optimizer in optimizers}
    for row in plan.rows:
        optimizer = OPTIMIZERS[row.optimizer]
        rate, epsilon = rates[optimizer.class_name], epsilons[optimizer.class_name]
        multiplier = multipliers[row.role]
        lr_factor = row.lr_factor * multiplier
        peak = float(rate) * lr_factor
        decay = decay_of_group(decays[row.role], decay_mode, row.decay_factor, peak)
        options: dict[str, Any] = {"lr": rate * lr_factor, "weight_decay": decay}
        options["lr_factor"] = lr_factor
        if multiplier != 1:
            options["lr_multiplier"] = multiplier  # `guard` divides by it
        if epsilon is not None:
            options["eps"] = _scaled_eps(epsilon, row)
        if betas is not None and optimizer.has_betas:
            options["betas"] = betas
        if optimizer.adjust_lr_fn is not None:
            options["adjust_lr_fn"] = optimizer.adjust_lr_fn
        key = row.lr_factor, multiplier, row.eps_factor, row.eps2_factor, float(decay)
        new = {"params": [], "param_names": [], **options}
        group = groups[optimizer.class_name].setdefault(key, new)
        group["params"].append(parameters[row.name])
        group["param_names"].append(row.name)  # torch's own key, which state dicts keep
    lists = {name: list(by_key.values()) for name, by_key in groups.items()}
    return lists if len(lists) > 1 else lists[optimizers[0].class_name]


def _scaled_eps(epsilon: Eps, row: PlanRow) -> Eps:
    """Return an epsilon, or a pair of them, times the factors of a row."""
    if not isinstance(epsilon, tuple):
        return epsilon * row.eps_factor
    for_gradient, for_weight = epsilon
    for_gradient = None if for_gradient is None else for_gradient * row.eps_factor
    return for_gradient, for_weight * row.eps2_factor
