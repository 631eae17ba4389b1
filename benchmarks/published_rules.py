"""Simple rules of the best rate, to compare predictions with.

Each takes the visible cells, the target's scales, and the scales that vary, and returns log2 of
the predicted rate with an interval where it has one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from published_cases import Cell, table_of
from scipy.stats import t as student

from mutransfer.analysis import predict

Floats = NDArray[np.float64]
Answer = tuple[float | None, float | None, float | None]
Scales = Mapping[str, float]
Predictor = Callable[[Sequence[Cell], Scales], Answer]

NONE: Answer = (None, None, None)


def line(cells: Sequence[Cell], scales: Scales) -> tuple[Floats, Floats, float]:
    """Return log2 of the scale that varies, log2 of the best rates, and log2 of the target."""
    fitted = [cell for cell in cells if cell.log2_lr is not None]
    name = next(
        (name for name in scales if len({cell.scales[name] for cell in cells}) > 1), "width"
    )
    x = np.log2([cell.scales[name] for cell in fitted])
    y = np.array([cell.log2_lr for cell in fitted], dtype=np.float64)
    return x, y, math.log2(scales[name])


def constant(cells: Sequence[Cell], scales: Scales) -> Answer:
    """The mean of the best rates."""
    _, y, _ = line(cells, scales)
    return (float(y.mean()), None, None) if len(y) else NONE


def last(cells: Sequence[Cell], scales: Scales) -> Answer:
    """The best rate of the largest visible cell."""
    _, y, _ = line(cells, scales)
    return (float(y[-1]), None, None) if len(y) else NONE


def power(cells: Sequence[Cell], scales: Scales) -> Answer:
    """A power law by least squares."""
    x, y, target = line(cells, scales)
    if len(y) < 2:
        return NONE
    return float(np.polyval(np.polyfit(x, y, 1), target)), None, None


def mean(cells: Sequence[Cell], scales: Scales) -> Answer:
    """The mean of constant and power law."""
    a, b = constant(cells, scales)[0], power(cells, scales)[0]
    return NONE if a is None or b is None else ((a + b) / 2, None, None)


def misses_largest_less(cells: Sequence[Cell], scales: Scales) -> Answer:
    """The law that, fitted without the largest cell, misses it less."""
    fitted = [cell for cell in cells if cell.log2_lr is not None]
    if len(fitted) < 3:
        return constant(cells, scales)
    errors = {}
    for rule in (constant, power):
        value = rule(fitted[:-1], fitted[-1].scales)[0]
        assert value is not None
        assert fitted[-1].log2_lr is not None
        errors[rule] = abs(value - fitted[-1].log2_lr)
    return min(errors, key=lambda rule: errors[rule])(cells, scales)


def leave_each_out(cells: Sequence[Cell], scales: Scales) -> Answer:
    """The law with the smaller squared error when each cell is left out in turn."""
    fitted = [cell for cell in cells if cell.log2_lr is not None]
    if len(fitted) < 3:
        return constant(cells, scales)
    errors = {constant: 0.0, power: 0.0}
    for k, cell in enumerate(fitted):
        for rule in errors:
            value = rule(fitted[:k] + fitted[k + 1 :], cell.scales)[0]
            assert value is not None
            assert cell.log2_lr is not None
            errors[rule] += (value - cell.log2_lr) ** 2
    return min(errors, key=lambda rule: errors[rule])(cells, scales)


def akaike(cells: Sequence[Cell], scales: Scales) -> Answer:
    """Constant and power law, weighted by Akaike's criterion."""
    x, y, _ = line(cells, scales)
    if len(y) < 3:
        return constant(cells, scales)
    squares = [
        float(((y - y.mean()) ** 2).sum()),
        float(((y - np.polyval(np.polyfit(x, y, 1), x)) ** 2).sum()),
    ]
    criterion = [len(y) * math.log(max(s, 1e-12) / len(y)) + 2 * k for k, s in enumerate(squares)]
    weight = 1 / (1 + math.exp(min(0.5 * (criterion[1] - criterion[0]), 700)))
    a, b = constant(cells, scales)[0], power(cells, scales)[0]
    assert a is not None
    assert b is not None
    return (1 - weight) * a + weight * b, None, None


def plane(cells: Sequence[Cell], scales: Scales) -> Answer:
    """A plane in the logarithms of all scales by least squares, with a 90 % interval."""
    fitted = [cell for cell in cells if cell.log2_lr is not None]
    names = [name for name in scales if len({cell.scales[name] for cell in fitted}) > 1]
    design = np.array([[1.0, *(math.log2(cell.scales[name]) for name in names)] for cell in fitted])
    y = np.array([cell.log2_lr for cell in fitted], dtype=np.float64)
    at = np.array([1.0, *(math.log2(scales[name]) for name in names)])
    freedom = len(y) - len(at)
    if freedom < 0 or not len(fitted):
        return NONE
    coefficients = np.linalg.lstsq(design, y, rcond=None)[0]
    value = float(at @ coefficients)
    if freedom == 0:
        return value, None, None
    square = float(((y - design @ coefficients) ** 2).sum()) / freedom
    spread = math.sqrt(square * (1 + float(at @ np.linalg.pinv(design.T @ design) @ at)))
    half = float(student.ppf(0.95, freedom)) * spread
    return value, value - half, value + half


def today(cells: Sequence[Cell], scales: Scales) -> Answer:
    """`mutransfer predict` along the one scale that varies."""
    name = next(
        (name for name in scales if len({cell.scales[name] for cell in cells}) > 1), "width"
    )
    if name != "width":
        cells = [Cell({"width": cell.scales[name]}, cell.curve) for cell in cells]
    estimate = predict(table_of(cells), width=scales[name]).log2_lr
    return estimate.value, estimate.low, estimate.high


RULES: dict[str, Predictor] = {
    "constant": constant,
    "last optimum": last,
    "power": power,
    "mean of both": mean,
    "misses the largest less": misses_largest_less,
    "leave each out": leave_each_out,
    "AIC weights": akaike,
    "plane": plane,
    "predict": today,
}
