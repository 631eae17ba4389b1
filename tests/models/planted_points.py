"""Synthetic losses over several hyperparameters with a planted best point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mutransfer.analysis import Results, TuningReport
from mutransfer.analysis.analyze import analyze_points
from mutransfer.analysis.tuning.columns import TuningColumns

Array = NDArray[np.float64]
NAMES = ("lr", "init_std", "lr_multiplier_input")
WIDTHS = (64.0, 256.0)


def random_points(rng: np.random.Generator, num: int, count: int, half: float = 4.0) -> Array:
    """Return points that are uniform in log2 of every hyperparameter."""
    return rng.uniform(-half, half, (num, count))


def grid_points(num: int, count: int, half: float = 4.0) -> Array:
    """Return a full grid in log2 of every hyperparameter."""
    axes = np.meshgrid(*[np.linspace(-half, half, num)] * count, indexing="ij")
    return np.stack(axes, axis=-1).reshape(-1, count)


def random_hessian(rng: np.random.Generator, count: int) -> Array:
    """Return a rotated valley, whose curvatures differ by up to ten, per octave²."""
    rotation, _ = np.linalg.qr(rng.normal(size=(count, count)))
    return rotation @ np.diag(np.exp(rng.uniform(np.log(0.02), np.log(0.2), count))) @ rotation.T


def planted(
    points: Sequence[Array],
    best: Sequence[Array],
    hessian: Array,
    *,
    floor: float = 2.5,
    noise: float = 0.0,
    seeds: int = 1,
    shift: float = 0.0,
    rng: np.random.Generator | None = None,
    names: Sequence[str] = NAMES,
    widths: Sequence[float] = WIDTHS,
) -> dict[str, list]:
    """Return columns: per width its points, a quadratic about its best point, and noise."""
    rng = rng or np.random.default_rng(0)
    names = names[: len(hessian)]
    table: dict[str, list] = {name: [] for name in ("width", *names, "seed", "loss")}
    for width, rows, center in zip(widths, points, best, strict=True):
        shifts = rng.normal(0.0, shift, seeds)
        for row in rows:
            excess = 0.5 * (row - center) @ hessian @ (row - center)
            for seed in range(seeds):
                table["width"].append(width)
                for name, value in zip(names, row, strict=True):
                    table[name].append(2.0**value)
                table["seed"].append(seed)
                table["loss"].append(floor + excess + shifts[seed] + rng.normal(0.0, noise))
    return table


def tuned(table: dict[str, list], names: Sequence[str], *, seed: int = 0) -> TuningReport:
    """Analyze columns, also with a single hyperparameter."""
    results = Results.from_columns(table)
    columns = TuningColumns("width", tuple(names), ())
    return analyze_points(results, columns, threshold=0.01, draws=1000, seed=seed)
