"""A small model with its loss, checked as it is or with one broken rule."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

import mutransfer as mt
from mutransfer.coordcheck import CoordCheck

BASE, WIDTHS = 32, [32, 64, 128, 256]
LR = {"adamw": 2**-6, "sgd": 0.1, "adafactor": 2**-6}


def mlp(width: int) -> nn.Module:
    body = [nn.Linear(16, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    body += [nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*body, nn.Linear(width, 4))


def points() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(64, 16, generator=generator)
    return x, (x @ torch.randn(16, 4, generator=generator)).argmax(1)


def cross_entropy(model: nn.Module, batch: Any) -> torch.Tensor:
    return F.cross_entropy(model(batch[0]), batch[1])


def run_check(build: Callable[[int], nn.Module] = mlp, **options: Any) -> CoordCheck:
    defaults = {"batch": points(), "loss": cross_entropy, "steps": 4, "widths": WIDTHS}
    return mt.coord_check(build, base=BASE, **(defaults | options))


def check_with_broken_rule(
    field: str, is_affected: Callable[[Any], bool], power: float, form: str = "table-3"
) -> CoordCheck:
    """Check an own implementation in which one factor of some rows is off by a power of width."""

    @cache
    def wrong_plan(width: int) -> mt.Plan:
        plan = mt.make_plan(mlp, base=BASE, target=width, form=form)
        error = (width / BASE) ** power
        rows = [
            replace(row, **{field: getattr(row, field) * error}) if is_affected(row) else row
            for row in plan.rows
        ]
        return replace(plan, rows=tuple(rows))

    def build(width: int) -> nn.Module:
        model = mlp(width)
        return mt.apply(model, wrong_plan(width), init=not model[0].weight.is_meta)

    def adamw(model: nn.Module) -> torch.optim.Optimizer:
        width = model[0].out_features
        return torch.optim.AdamW(mt.param_groups(model, wrong_plan(width), lr=LR["adamw"]))

    return run_check(build, parametrization=None, optimizer=adamw, form=form)


def of_role(role: str) -> Callable[[Any], bool]:
    return lambda row: row.role == role


def diagnosed_faults(check: CoordCheck) -> list[tuple[str, str, float]]:
    return [(d.fault, d.role, round(2 * d.power) / 2) for d in check.diagnoses]
