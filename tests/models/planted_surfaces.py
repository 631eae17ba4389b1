"""Synthetic losses with planted optima."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from mutransfer.analysis import Results

LN2 = math.log(2.0)
WIDTHS = (64.0, 128.0, 256.0, 512.0)


def best_loss(width: float) -> float:
    return 2.2 + 13.0 * width**-0.5


def quadratic(
    *, log2_best: float = -6.2, drift: float = 0.0, curvature: float = 0.3
) -> Callable[[float, float], float]:
    """Loss at (width, log2 lr): a parabola in ln lr whose minimum moves by `drift` octaves."""

    def loss(width: float, log2_lr: float) -> float:
        best = log2_best + drift * math.log2(width / WIDTHS[0])
        return best_loss(width) + 0.5 * curvature * ((log2_lr - best) * LN2) ** 2

    return loss


def surface(
    loss: Callable[[float, float], float],
    *,
    widths: Sequence[float] = WIDTHS,
    log2_lr: Sequence[float] = tuple(range(-11, -1)),
    seeds: int = 1,
    sd_within: float = 0.0,
    sd_seed: float = 0.0,
    rng: np.random.Generator | None = None,
    group: str | None = None,
) -> Results:
    """Return results: the loss, plus one shift per (width, seed), plus noise per run."""
    return Results.from_columns(
        columns(loss, widths, log2_lr, seeds, sd_within, sd_seed, rng, group)
    )


def columns(
    loss: Callable[[float, float], float],
    widths: Sequence[float] = WIDTHS,
    log2_lr: Sequence[float] = tuple(range(-11, -1)),
    seeds: int = 1,
    sd_within: float = 0.0,
    sd_seed: float = 0.0,
    rng: np.random.Generator | None = None,
    group: str | None = None,
) -> dict[str, list]:
    rng = rng or np.random.default_rng(0)
    table: dict[str, list] = {"width": [], "lr": [], "seed": [], "loss": []}
    for width in widths:
        shift_S = rng.normal(0.0, sd_seed, seeds)
        for k in log2_lr:
            noise_S = rng.normal(0.0, sd_within, seeds)
            for seed in range(seeds):
                table["width"].append(width)
                table["lr"].append(2.0**k)
                table["seed"].append(seed)
                table["loss"].append(loss(width, k) + shift_S[seed] + noise_S[seed])
    if group is not None:
        table["parametrization"] = [group] * len(table["loss"])
    return table


def together(*tables: dict[str, list]) -> Results:
    """Return the results of several groups."""
    return Results.from_columns(
        {name: [value for table in tables for value in table[name]] for name in tables[0]}
    )


def with_losses(results: Results, loss: Callable[[float, float, float], float | None]) -> Results:
    """Replace losses by a function of (width, log2 lr, loss); None makes a run diverge."""
    axes = results.axes
    points = zip(axes["width"], axes["lr"], results.loss.tolist(), strict=True)
    changed = [loss(width, math.log2(lr), value) for width, lr, value in points]
    return Results.from_columns({**axes, "loss": [math.nan if x is None else x for x in changed]})
