"""Predictions of a whole point on planted surfaces of two or three hyperparameters.

    python benchmarks/prediction_points.py [--surfaces 40]

Rotated valleys with noise, whose best point stays or moves by `drift` octaves per octave of width.
The target is four times the largest width. Nominal coverage is 90 %, that of the bound 95 %.
"""

from __future__ import annotations

import argparse
import math
import platform
import subprocess

import numpy as np
from numpy.typing import NDArray

from mutransfer.analysis import PointPrediction, Results, predict

NAMES = ("lr", "init_std", "lr_multiplier_input")
FLOOR = 2.5
# Hyperparameters, widths, samples per width, drift of every coordinate in octaves per octave.
CASES = [
    (2, (64.0,), 40, 0.0),
    (2, (64.0, 256.0), 30, 0.0),
    (2, (64.0, 128.0, 256.0, 512.0), 30, 0.0),
    (2, (64.0, 128.0, 256.0, 512.0), 30, 0.3),
    (3, (64.0, 128.0, 256.0), 60, 0.0),
    (3, (64.0, 128.0, 256.0), 60, 0.3),
]
Floats = NDArray[np.float64]


def hessian_of(rng: np.random.Generator, count: int) -> Floats:
    """Return a rotated valley, whose curvatures differ by up to ten, per octave²."""
    rotation, _ = np.linalg.qr(rng.normal(size=(count, count)))
    curvatures = np.exp(rng.uniform(math.log(0.02), math.log(0.2), count))
    return np.asarray(rotation @ np.diag(curvatures) @ rotation.T)


def answer(
    count: int, widths: tuple[float, ...], num: int, drift: float, index: int
) -> tuple[list[list[float]], list[float]]:
    """Return covered, length and error of every coordinate; bound holds, regret and bound in %."""
    rng = np.random.default_rng([count, len(widths), index])
    hessian, start = hessian_of(rng, count), rng.uniform(-1, 1, count)
    moves = drift * rng.choice([-1.0, 1.0], count)
    table: dict[str, list[float]] = {name: [] for name in ("width", *NAMES[:count], "loss")}
    for width in widths:
        center = start + moves * math.log2(width / widths[0])
        shift = rng.normal(0, 0.01)
        for point in rng.uniform(-4, 4, (num, count)):
            excess = 0.5 * (point - center) @ hessian @ (point - center)
            loss = FLOOR + excess + shift + rng.normal(0, 0.02)
            for name, value in zip(table, (width, *2.0**point, loss), strict=True):
                table[name].append(float(value))
    target = 4 * widths[-1]
    names = list(NAMES[:count])
    prediction = predict(
        Results.from_columns(table), width=target, hyperparameter=names, seed=index
    )
    assert isinstance(prediction, PointPrediction)
    truth = start + moves * math.log2(target / widths[0])
    rows = []
    for value, true in zip(prediction.values, truth.tolist(), strict=True):
        low, high = value.best.low, value.best.high
        if low is None or high is None:
            continue
        is_covered = math.log2(low) <= true <= math.log2(high)
        error = abs(math.log2(value.recommended) - true)
        rows.append([float(is_covered), math.log2(high / low), error])
    distance = np.log2([value.recommended for value in prediction.values]) - truth
    regret = float(0.5 * distance @ hessian @ distance)
    bound = prediction.regret.high
    if bound is None:
        return rows, []
    return rows, [float(regret <= bound), 100 * regret / FLOOR, 100 * bound / FLOOR]


def main() -> None:
    """Run all cases, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--surfaces", type=int, default=40)
    surfaces = parser.parse_args().surfaces
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    print(f"commit {commit}, {platform.machine()}, Python {platform.python_version()}\n")
    print(
        "| hyperparameters | widths | samples | drift | covered, % | no interval, % "
        "| length, octaves | error, octaves | bound holds, % | no bound, % | regret, % "
        "| bound, % of the loss |\n" + "| --- " * 12 + "|"
    )
    for count, widths, num, drift in CASES:
        answers = [answer(count, widths, num, drift, k) for k in range(surfaces)]
        covered = np.array([row for rows, _ in answers for row in rows])
        bounds = np.array([bound for _, bound in answers if bound])
        missing = 100 * (1 - len(covered) / (count * surfaces))
        unbounded = 100 * (1 - len(bounds) / surfaces)
        cells = [count, len(widths), num, f"{drift:g}", f"{100 * covered[:, 0].mean():.0f}"]
        cells += [f"{missing:.0f}", *(f"{x:.2f}" for x in np.median(covered[:, 1:], axis=0))]
        cells += [f"{100 * bounds[:, 0].mean():.0f}", f"{unbounded:.0f}"]
        cells += [f"{x:.2g}" for x in np.median(bounds[:, 1:], axis=0)]
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
