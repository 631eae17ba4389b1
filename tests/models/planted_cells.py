"""Synthetic losses over several scales, with planted exponents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from mutransfer.analysis import Results

LN2 = math.log(2.0)
SIZES: Mapping[str, Sequence[float]] = {
    "width": (128.0, 256.0, 512.0, 1024.0),
    "tokens": (1e9, 2e9, 4e9, 8e9),
    "batch": (64.0, 128.0, 256.0),
}
RATE_EXPONENTS = {"width": -0.5, "tokens": -0.25, "batch": 0.3}
LOSS_TERMS = {"width": (0.5, 0.6), "tokens": (0.8, 0.4), "batch": (0.1, 0.8)}  # A, alpha


def log2_best_rate(cell: Mapping[str, float], exponents: Mapping[str, float]) -> float:
    """Return log2 of the planted best rate; -7 where every scale has its smallest size."""
    return -7.0 + sum(b * math.log2(cell[name] / SIZES[name][0]) for name, b in exponents.items())


def best_loss(cell: Mapping[str, float]) -> float:
    """Return the planted best loss, an additive law."""
    terms = ((cell[n] / SIZES[n][0], *LOSS_TERMS[n]) for n in cell if n in LOSS_TERMS)
    return 2.0 + sum(a * ratio**-alpha for ratio, a, alpha in terms)


def cell_columns(
    cells: Sequence[Mapping[str, float]] | None = None,
    *,
    exponents: Mapping[str, float] = RATE_EXPONENTS,
    log2_lr: Sequence[float] = tuple(np.arange(-13.0, -2.0)),
    curvature: float = 0.3,
    seeds: int = 1,
    sd: float = 0.0,
    scatter: float = 0.0,
    rng: np.random.Generator | None = None,
) -> dict[str, list]:
    """Return a table: a parabola in ln(rate) per cell, plus noise per run.

    Args:
        cells: The sizes of every cell; all combinations of `SIZES` by default.
        exponents: Exponents of the best rate.
        log2_lr: The rates of every cell.
        curvature: Second derivative of the loss in ln(rate).
        seeds: Seeds of every cell.
        sd: Standard deviation of the noise of a run.
        scatter: Standard deviation of the best rates about their law, in octaves.
        rng: The generator of the noise.
    """
    if cells is None:
        cells = [dict(zip(SIZES, sizes, strict=True)) for sizes in product(*SIZES.values())]
    rng = rng or np.random.default_rng(0)
    rows = []
    for cell in cells:
        best = log2_best_rate(cell, exponents) + scatter * rng.normal()
        for k in log2_lr:
            loss = best_loss(cell) + 0.5 * curvature * ((k - best) * LN2) ** 2
            rows += [
                (*cell.values(), 2.0**k, seed, loss + sd * rng.normal()) for seed in range(seeds)
            ]
    names = (*cells[0], "lr", "seed", "loss")
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def planted(*args: object, **options: object) -> Results:
    """Return the results of `cell_columns`."""
    return Results.from_columns(cell_columns(*args, **options))  # type: ignore[arg-type]
