"""This file is torch's Muon against a plain orthogonalised update: its shape factor and epsilon."""

from __future__ import annotations

from fractions import Fraction
from math import sqrt

from mutransfer.rules.optimizers import Optimizer, Update
from mutransfer.rules.power import FAN_IN, FAN_OUT, HALF, ONE, Least, Power
from mutransfer.rules.tables import Rule

Sides = tuple[Fraction | int, Fraction | int]  # rows and columns, as stored


def converts(rule: Rule, optimizer: Optimizer) -> bool:
    """Tell whether a plan accounts for what the library does; SP's settings go in as they are."""
    return optimizer.update is Update.SPECTRAL and rule.rates.spectral != ONE


def shape_factor(adjust_lr_fn: str | None, target: Sides, base: Sides) -> float:
    """Give the factor by which `torch.optim.Muon` multiplies a rate, target over base.

    'original' is √max(1, rows/columns), 'match_rms_adamw' is 0.2·√max(rows, columns). A rule's
    rate is for a plain orthogonalised update, so a plan divides it by this.

    Args:
        adjust_lr_fn: As torch names it.
        target: Rows and columns of the matrix as it is stored; fused layers are one matrix.
        base: Likewise.

    Source:
        `torch.optim.Muon`; arXiv:2502.16982 for 'match_rms_adamw'.

    Example:
        >>> shape_factor("original", (4096, 1024), (1024, 256))
        1.0
        >>> shape_factor("match_rms_adamw", (4096, 1024), (1024, 256))
        2.0
    """
    if adjust_lr_fn == "original":
        one = Fraction(1)
        return sqrt(max(one, Fraction(*target)) / max(one, Fraction(*base)))
    assert adjust_lr_fn == "match_rms_adamw", adjust_lr_fn
    return sqrt(Fraction(max(target)) / Fraction(max(base)))


def eps_cell(rule: Rule, optimizer: Optimizer) -> Power | Least:
    """Give epsilon's cell: the size of what it is compared with.

    That is an entry of the gradient; in Muon the norm of the whole matrix, its size times
    √(fan_in · fan_out) [derived].

    Example:
        >>> from mutransfer.rules.optimizers import OPTIMIZERS
        >>> from mutransfer.rules.roles import Role
        >>> from mutransfer.rules.tables import MUP
        >>> print(eps_cell(MUP.rules[Role.HIDDEN], OPTIMIZERS["muon"]))
        min(fan_in^1/2 fan_out^-1/2, 1)
    """
    if not converts(rule, optimizer):
        return rule.eps
    return rule.eps * (FAN_IN * FAN_OUT) ** HALF
