"""Optimizers of the lab by name, on the plan's parameter groups."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lion_pytorch import Lion
from torch import nn

from mutransfer.parametrize import param_groups
from mutransfer.records import LabSettings
from mutransfer.rules import Plan
from mutransfer.rules.optimizers import get_optimizer, optimizers_of

Groups = list[dict[str, Any]]

# Names of rule columns that differ from the lab's: of Muon's two, the one whose updates are as
# large as AdamW's, so that one rate serves both.
RULE_NAMES = {"muon": "muon-match-rms"}

# By the name of the class, in lower case.
OPTIMIZERS: dict[str, Callable[[Groups, LabSettings], torch.optim.Optimizer]] = {
    # One kernel for all tensors: a step is a tenth faster at width 64 than a loop [measured].
    "adamw": lambda groups, s: torch.optim.AdamW(groups, betas=(s.beta1, s.beta2), fused=True),
    "adam": lambda groups, s: torch.optim.Adam(groups, betas=(s.beta1, s.beta2), fused=True),
    "sgd": lambda groups, s: torch.optim.SGD(groups, momentum=s.momentum, fused=True),
    "lion": lambda groups, s: Lion(groups, betas=(s.beta1, s.beta2)),
    "adafactor": lambda groups, s: torch.optim.Adafactor(groups),
    "muon": lambda groups, s: torch.optim.Muon(groups, momentum=s.momentum),
}


def rule_name(optimizer: str) -> str:
    """Return the optimizer's name in the rule tables."""
    return RULE_NAMES.get(optimizer, optimizer)


def lab_optimizers(
    model: nn.Module, plan: Plan, settings: LabSettings
) -> tuple[torch.optim.Optimizer, ...]:
    """Make a trial's optimizers on the parameter groups of the plan: one, or Muon and AdamW."""
    kinds = optimizers_of(rule_name(settings.optimizer))
    groups = param_groups(
        model,
        plan,
        lr=settings.lr,
        lr_multiplier=settings.lr_multipliers,
        weight_decay=settings.weight_decay,
        decay_mode=settings.decay_mode,
        eps=_epsilon(settings),
    )
    by_class = groups if len(kinds) > 1 else {kinds[0].class_name: groups}
    return tuple(
        OPTIMIZERS[name](group_list, settings)
        for name, group_list in by_class.items()
        if group_list
    )


def _epsilon(settings: LabSettings) -> Any:  # noqa: ANN401 - a number, or one per optimizer
    """Return the epsilon of Adam and AdamW; other optimizers keep the library's."""
    if settings.optimizer == "muon":
        return {"adamw": settings.eps}
    return settings.eps if isinstance(get_optimizer(settings.optimizer).eps, float) else None
