"""This file is the user's rates, epsilons and betas, checked against the optimizers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mutransfer.errors import RuleError, listed
from mutransfer.rules.optimizers import Optimizer

Rate = float | torch.Tensor
Eps = float | tuple[float | None, float]


def rates_of(lr: Rate | Mapping[str, Rate], optimizers: Sequence[Optimizer]) -> dict[str, Rate]:
    """Give each optimizer its rate, by class name.

    Muon's rate is the size of a whole matrix's change, AdamW's of an entry's: one number fits
    both only where torch's 'match_rms_adamw' makes them alike.

    Raises:
        RuleError: One number for two, or a mapping of other optimizers than the plan's.
    """
    names = [each.class_name for each in optimizers]
    if isinstance(lr, Mapping):
        _refuse_names("lr", lr, names)
        if missing := [name for name in names if name not in lr]:
            raise RuleError(
                f"lr= has no rate for {listed(missing)}",
                why="every optimizer of the plan takes some parameters",
                fix=f"lr={_example(names, lr, 0.003)}",
            )
        return dict(lr)
    if any(each.adjust_lr_fn == "original" for each in optimizers):
        raise RuleError(
            f"lr={float(lr):g} is one rate for Muon and AdamW",
            why="Muon's is the size of a matrix's change, AdamW's of an entry's: no number fits "
            "both",
            fix=f"lr={{'muon': {float(lr):g}, 'adamw': 0.003}}, or make_plan(..., "
            "optimizer='muon-match-rms'), whose rates are alike",
        )
    return dict.fromkeys(names, lr)


def epsilons_of(
    eps: Eps | Mapping[str, Eps] | None, optimizers: Sequence[Optimizer]
) -> dict[str, Eps | None]:
    """Give each optimizer its epsilon at the base width, by class name.

    Raises:
        RuleError: An epsilon for an optimizer that has none, or of another kind than it takes.
    """
    names = [each.class_name for each in optimizers]
    given: dict[str, Any] = {}
    if isinstance(eps, Mapping):
        _refuse_names("eps", eps, names)
        given = dict(eps)
    elif eps is not None and len(names) > 1:
        raise RuleError(
            f"eps={eps} is one epsilon for {listed(names)}",
            why="Muon's is compared with a matrix's norm, AdamW's with an entry",
            fix=f"eps={{'adamw': {eps}}}",
        )
    elif eps is not None:
        given = {names[0]: eps}
    for each in optimizers:
        _check_eps(given.get(each.class_name), each)
    return {each.class_name: given.get(each.class_name, each.eps) for each in optimizers}


def check_betas(betas: object, optimizers: Sequence[Optimizer]) -> None:
    """Refuse betas that nothing takes."""
    if betas is not None and not any(each.has_betas for each in optimizers):
        raise _without_effect(optimizers[0].name, "betas", betas)


def _check_eps(eps: object, optimizer: Optimizer) -> None:
    """Refuse what the optimizer would not understand."""
    if eps is None:
        return
    if optimizer.eps is None:
        raise _without_effect(optimizer.name, "epsilon", eps)
    if isinstance(optimizer.eps, tuple) != (isinstance(eps, tuple) and len(eps) == 2):
        raise RuleError(
            f"eps={eps} is not what '{optimizer.name}' takes",
            why="Adafactor has two, the least gradient and the least weight; others have one",
            fix=f"eps={optimizer.eps}",
        )


def _without_effect(name: str, what: str, given: object) -> RuleError:
    """Say that a setting would be ignored."""
    keyword = "eps" if what == "epsilon" else what
    return RuleError(
        f"'{name}' has no {what}, but {keyword}={given} was given",
        why="a setting without effect hides a misunderstanding",
        fix=f"leave {keyword}= out, or make the plan for another optimizer",
    )


def _refuse_names(what: str, given: Mapping[str, Any], names: Sequence[str]) -> None:
    """Refuse optimizers that the plan does not have."""
    if unknown := [name for name in given if name not in names]:
        raise RuleError(
            f"{what}= names optimizers that the plan does not have: {listed(unknown)}",
            why="a setting without effect hides a misunderstanding",
            fix=f"choose from {listed(names)}",
        )


def _example(names: Sequence[str], given: Mapping[str, Any], rate: float) -> dict[str, float]:
    """Complete a mapping of rates."""
    return {name: float(given.get(name, rate)) for name in names}
