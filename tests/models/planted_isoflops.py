"""Synthetic losses of models of many sizes at equal compute, with a law that holds or bends."""

from __future__ import annotations

import math

import numpy as np

from mutransfer.analysis import Results

# L = FLOOR + A·n^-ALPHA + B·tokens^-BETA with 6·n·tokens = flops (arXiv:2203.15556, equation 2).
FLOOR, A, B, ALPHA, BETA = 1.69, 406.4, 410.7, 0.34, 0.28
SMALLEST = 1e16
EXPONENT = BETA / (ALPHA + BETA)  # of the best n in flops


def best_n(flops: float) -> float:
    return (ALPHA * A / (BETA * B)) ** (1 / (ALPHA + BETA)) * (flops / 6) ** EXPONENT


def loss(n: float, flops: float, bend: float = 0.0) -> float:
    """The loss; a bend lowers it by a share that grows with the square of the octaves of flops."""
    law = FLOOR + A * n**-ALPHA + B * (flops / (6 * n)) ** -BETA
    return law * (1 - bend * math.log2(flops / SMALLEST) ** 2)


def isoflops(num: int = 8, *, bend: float = 0.0, seeds: int = 1, seed: int = 0) -> Results:
    """Return nine sizes, half octaves apart, at `num` budgets of compute, four times apart."""
    rng = np.random.default_rng(seed)
    rows = [
        (flops, float(round(n)), s, loss(n, flops, bend) + rng.normal(0, 0.003))
        for flops in (SMALLEST * 4.0**k for k in range(num))
        for n in (best_n(flops) * 2 ** (j / 2) for j in range(-4, 5))
        for s in range(seeds)
    ]
    names = ("flops", "n", "seed", "loss")
    return Results.from_columns(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)))
