"""This file is weight decay: how its number scales, which is never implied."""

from __future__ import annotations

from mutransfer.errors import RuleError, nearest
from mutransfer.rules.optimizers import DecayKind, Optimizer
from mutransfer.rules.power import Least, Power
from mutransfer.rules.tables import Rule

MODES = {
    "constant-product": "rate · decay, the share of a weight that a step removes, is kept",
    "coupled": "the number is taken literally in every group, so it depends on the form",
    "independent": "a step removes decay · schedule, whatever the peak rate and the width",
}


def check_mode(mode: str, optimizer: Optimizer) -> None:
    """Refuse a decay mode that does not exist, or that the optimizer cannot have."""
    if mode not in MODES:
        raise RuleError(
            f"there is no decay mode '{mode}'",
            why="weight decay scales in disputed ways, so it is never implied",
            fix=nearest(mode, MODES),
        )
    if mode == "independent" and optimizer.decay is DecayKind.IN_GRADIENT:
        raise RuleError(
            f"decay cannot be independent of the rate with '{optimizer.name}'",
            why="its decay is a term of the gradient, which the update then normalises",
            fix="use 'adamw', or decay_mode='constant-product'",
        )


def constant_product(rule: Rule, optimizer: Optimizer) -> Power | Least:
    """Give the cell that keeps decay's effect the same at every width.

    Where a step removes rate · decay: one over the rate's cell. Where decay is a term
    of a normalised gradient: the gradient's size (eps's cell) over the weight's (init's),
    so that the term keeps its share of the gradient.

    Source:
        Rate · decay kept: as in microsoft/mup and CompleteP, arXiv:2505.01618;
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
    """Give the decay to write into a parameter group.

    Args:
        decay: The user's number, at the base width.
        mode: A key of `MODES`.
        factor: The plan's constant-product factor.
        peak_rate: The group's own peak learning rate.

    Example:
        >>> decay_of_group(0.1, "constant-product", 4.0, 0.01)
        0.4
        >>> decay_of_group(1e-4, "independent", 4.0, 0.01)
        0.01
    """
    return (
        decay
        * {
            "constant-product": factor,
            "coupled": 1.0,
            "independent": 1 / peak_rate if peak_rate else 0.0,
        }[mode]
    )
