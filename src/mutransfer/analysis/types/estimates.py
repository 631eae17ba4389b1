"""This file is what every number is told in: estimates, curves, optima."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

Verdict = Literal["transfers", "does not transfer", "undetermined"]

LN2 = math.log(2.0)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval, or the reason why there is none.

    Args:
        value: The estimate; None where it cannot be given.
        low: Lower end of the interval; None where unknown.
        high: Upper end of the interval; None where unknown or unbounded.
        undetermined: None, or what is missing and what to add.

    Example:
        >>> print(Estimate(0.5, 0.41, 0.62))
        0.5 [0.41, 0.62]
        >>> print(Estimate(0.5, undetermined="one seed: add seeds to get an interval"))
        0.5 (one seed: add seeds to get an interval)
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    undetermined: str | None = None

    def __str__(self) -> str:
        value, low, high = (
            "?" if x is None else f"{x:.4g}" for x in (self.value, self.low, self.high)
        )
        interval = "" if self.low is None and self.high is None else f" [{low}, {high}]"
        return value + interval + (f" ({self.undetermined})" if self.undetermined else "")

    def times(self, factor: float) -> Estimate:
        """Scale value and interval by a positive factor; the reason stays.

        Example:
            >>> Estimate(1.0, 0.5, None).times(2.0)
            Estimate(value=2.0, low=1.0, high=None, undetermined=None)
        """
        value, low, high = (
            None if x is None else x * factor for x in (self.value, self.low, self.high)
        )
        return Estimate(value, low, high, self.undetermined)


@dataclass(frozen=True, slots=True)
class Quadratic:
    """A fitted parabola in ln(rate), for drawing and for reading off a loss.

    Args:
        log2_lr: log2 of the rate at the vertex.
        loss: Loss at the vertex, in nats.
        curvature: Second derivative of the loss in ln(rate) there, in nats.
    """

    log2_lr: float
    loss: float
    curvature: float

    def at(self, log2_lr: float) -> float:
        """Give the loss at a rate, in nats.

        Example:
            >>> round(Quadratic(log2_lr=-6.0, loss=3.0, curvature=0.5).at(-5.0), 4)
            3.1201
        """
        return self.loss + 0.5 * self.curvature * ((log2_lr - self.log2_lr) * LN2) ** 2


@dataclass(frozen=True, slots=True)
class Curve:
    """Loss against rate at one width: facts, and the parabola fitted to them.

    Args:
        width: The value of the scale.
        log2_lr: log2 of every rate that was tried, rising.
        loss: Mean over seeds at each rate, in nats; NaN where a seed diverged.
        seeds: Names of the seeds.
        seed_losses: One row per rate, one number per seed; NaN where diverged or not run.
        num_diverged: Diverged seeds at each rate.
        window: log2 of the lowest and highest rate that the parabola was fitted to, or None.
        fit: The parabola, or None where there is none to trust.
        note: What was done out of the ordinary to choose the window, or None.
    """

    width: float
    log2_lr: tuple[float, ...]
    loss: tuple[float, ...]
    seeds: tuple[str, ...]
    seed_losses: tuple[tuple[float, ...], ...]
    num_diverged: tuple[int, ...]
    window: tuple[float, float] | None
    fit: Quadratic | None
    note: str | None


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best rate at one width: from the parabola, and beside it the grid's own.

    Args:
        width: The value of the scale.
        log2_lr: log2 of the fitted best rate.
        loss: Loss at the fitted best rate, in nats.
        curvature: Second derivative of the loss in ln(rate) there, in nats.
        grid_log2_lr: log2 of the best rate that was tried (of equals, the larger), or None.
        grid_loss: Mean loss there, in nats, or None.
        edge: 'low' or 'high' where the best rate is the lowest or highest tried, else None.
    """

    width: float
    log2_lr: Estimate
    loss: Estimate
    curvature: Estimate
    grid_log2_lr: float | None
    grid_loss: float | None
    edge: Literal["low", "high"] | None


def plain(value: object) -> Any:  # noqa: ANN401 - JSON data
    """Turn dataclasses and tuples into dicts and lists, and what is not finite into None.

    Example:
        >>> plain((1.0, float("nan"), Quadratic(-6.0, 3.0, 0.5)))
        [1.0, None, {'log2_lr': -6.0, 'loss': 3.0, 'curvature': 0.5}]
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
