"""Corrections for torch's Muon against a plain orthogonalized update: shape factor and epsilon."""

from __future__ import annotations

from fractions import Fraction
from math import sqrt

from mutransfer.rules.optimizers import Optimizer, Update
from mutransfer.rules.power import FAN_IN, FAN_OUT, HALF, ONE, Minimum, Power
from mutransfer.rules.tables import Rule

Sides = tuple[Fraction | int, Fraction | int]  # rows and columns, as stored


def corrects_shape_factor(rule: Rule, optimizer: Optimizer) -> bool:
    """Return whether a plan divides out the library's shape factor.

    Under SP every spectral rate is 1 by definition, so the user's rate is passed on as it is.
    """
    return optimizer.update is Update.SPECTRAL and rule.rates.spectral != ONE


def shape_factor(adjust_lr_fn: str | None, target: Sides, base: Sides) -> float:
    """Return the factor by which `torch.optim.Muon` multiplies a rate, target over base.

    'original' is √max(1, rows/columns), 'match_rms_adamw' is 0.2·√max(rows, columns). The rate
    of a rule is for a plain orthogonalized update, so a plan divides it by this factor.

    Args:
        adjust_lr_fn: Name of the factor in torch.
        target: Rows and columns of the stored matrix; a fused layer is one matrix.
        base: Rows and columns at the base.

    Source:
        `torch.optim.Muon`; arXiv:2502.16982 for 'match_rms_adamw'.

    Example:
        >>> shape_factor("original", (4096, 1024), (1024, 256))
        1.0
        >>> shape_factor("match_rms_adamw", (4096, 1024), (1024, 256))
        2.0
    """
    if adjust_lr_fn == "original":
        return sqrt(max(Fraction(1), Fraction(*target)) / max(Fraction(1), Fraction(*base)))
    assert adjust_lr_fn == "match_rms_adamw", adjust_lr_fn
    return sqrt(Fraction(max(target)) / Fraction(max(base)))


def eps_cell(rule: Rule, optimizer: Optimizer) -> Power | Minimum:
    """Return the cell of epsilon: the size of the quantity that it is added to.

    It is added to an entry of the gradient, or, in Muon, to the norm of the whole matrix, which
    is the size of an entry times √(fan_in · fan_out) [derived].

    Example:
        >>> from mutransfer.rules.optimizers import OPTIMIZERS
        >>> from mutransfer.rules.roles import Role
        >>> from mutransfer.rules.tables import MUP
        >>> print(eps_cell(MUP.rules[Role.HIDDEN], OPTIMIZERS["muon"]))
        min(fan_in^1/2 fan_out^-1/2, 1)
    """
    if not corrects_shape_factor(rule, optimizer):
        return rule.eps
    return rule.eps * (FAN_IN * FAN_OUT) ** HALF
