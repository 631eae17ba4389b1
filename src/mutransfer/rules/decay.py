"""Weight decay: how its coefficient scales, which is always an explicit choice."""

from __future__ import annotations

from mutransfer.errors import RuleError, nearest
from mutransfer.rules.optimizers import DecayKind, Optimizer
from mutransfer.rules.power import Minimum, Power
from mutransfer.rules.tables import Rule

MODES = {
    "constant-product": "keeps rate · decay, the share of a weight that one step removes",
    "coupled": "uses the same coefficient in every group, so its effect depends on the form",
    "independent": "removes decay · schedule per step, whatever the peak rate and the width",
}


def check_mode(mode: str, optimizer: Optimizer) -> None:
    """Raise `RuleError` if a decay mode does not exist or does not apply to the optimizer."""
    if mode not in MODES:
        raise RuleError(
            f"there is no decay mode '{mode}'",
            why="papers disagree on how weight decay scales, so the choice must be explicit",
            fix=nearest(str(mode), MODES),
        )
    if mode == "independent" and optimizer.decay is DecayKind.IN_GRADIENT:
        raise RuleError(
            f"weight decay cannot be independent of the learning rate with '{optimizer.name}'",
            why="its decay is a term of the gradient, which the update then normalizes",
            fix="use 'adamw', or decay_mode='constant-product'",
        )


def constant_product(rule: Rule, optimizer: Optimizer) -> Power | Minimum:
    """Return the cell that keeps the effect of decay the same at every width.

    Where a step removes rate · decay of a weight, it is the reciprocal of the rate's cell. Where
    decay is a term of a normalized gradient, it is the size of the gradient (the cell of eps) over
    that of the weight (the cell of the init): the term keeps its share of the gradient.

    Source:
        Constant rate · decay: microsoft/mup and CompleteP, arXiv:2505.01618;
        L2 in the gradient: derived from the abc-symmetry.

    Example:
        >>> from mutransfer.rules.optimizers import OPTIMIZERS
        >>> from mutransfer.rules.roles import Role
        >>> from mutransfer.rules.tables import MUP
        >>> print(constant_product(MUP.rules[Role.HIDDEN], OPTIMIZERS["adamw"]))
        fan_in
        >>> print(constant_product(MUP.rules[Role.INPUT], OPTIMIZERS["adam"]))
        fan_out^-1
    """
    if optimizer.decay is DecayKind.IN_GRADIENT:
        return rule.eps * rule.init_std**-1
    rate = rule.lr(optimizer.update)
    assert rate is not None, "the optimizer of a role has a rate for it"
    return rate**-1


def decay_of_group(decay: float, mode: str, factor: float, peak_rate: float) -> float:
    """Return the decay coefficient of a parameter group.

    Args:
        decay: The user's coefficient at the base width.
        mode: A key of `MODES`.
        factor: The plan's factor under `constant-product`.
        peak_rate: The group's peak learning rate.

    Example:
        >>> decay_of_group(0.1, "constant-product", 4.0, 0.01)
        0.4
        >>> decay_of_group(1e-4, "independent", 4.0, 0.01)
        0.01
    """
    if mode == "independent":
        # The library multiplies by rate * schedule. A group with rate 0 is frozen.
        factor = 1 / peak_rate if peak_rate else 0.0
    return decay if mode == "coupled" else decay * factor
