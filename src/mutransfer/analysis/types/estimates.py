"""Estimates with intervals, loss curves and optima: the values that a report consists of.

Losses have the unit of the results: nats per token in the lab's own stores.
"""

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
        value: The estimate; None where it could not be estimated.
        low: Lower end of the interval, or None.
        high: Upper end of the interval; None where it is unbounded or could not be estimated.
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
        """Return the estimate scaled by a positive factor.

        Example:
            >>> Estimate(1.0, 0.5, None).times(2.0)
            Estimate(value=2.0, low=1.0, high=None, undetermined=None)
        """
        value, low, high = (
            None if x is None else x * factor for x in (self.value, self.low, self.high)
        )
        return Estimate(value, low, high, self.undetermined)

    @property
    def negated(self) -> Estimate:
        """The estimate times -1.

        Example:
            >>> Estimate(1.0, 0.5, None).negated
            Estimate(value=-1.0, low=None, high=-0.5, undetermined=None)
        """
        value, low, high = (None if x is None else -x for x in (self.value, self.high, self.low))
        return Estimate(value, low, high, self.undetermined)


@dataclass(frozen=True, slots=True)
class Quadratic:
    """A parabola in ln(rate), fitted to the losses near the best rate.

    Args:
        log2_lr: log2 of the rate at the vertex.
        loss: Loss at the vertex.
        curvature: Second derivative of the loss in ln(rate) there.
    """

    log2_lr: float
    loss: float
    curvature: float

    def at(self, log2_lr: float) -> float:
        """Return the loss at a rate.

        Example:
            >>> round(Quadratic(log2_lr=-6.0, loss=3.0, curvature=0.5).at(-5.0), 4)
            3.1201
        """
        return self.loss + 0.5 * self.curvature * ((log2_lr - self.log2_lr) * LN2) ** 2


@dataclass(frozen=True, slots=True)
class Curve:
    """Loss against rate at one width: the losses, and the parabola fitted to them.

    Args:
        width: The value of the scale.
        log2_lr: log2 of every rate that was tried, ascending.
        loss: Mean over seeds at each rate; NaN where a seed diverged.
        seeds: Names of the seeds.
        seed_losses: One row per rate, one number per seed; NaN where diverged or not run.
        num_diverged: Diverged seeds at each rate.
        window: log2 of the lowest and highest rate that the parabola was fitted to, or None.
        fit: The parabola, or None where no fit can be trusted.
        note: Why the window is not the usual one, or None.
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
    """The best rate at one width, from the parabola and from the rates that were tried.

    Args:
        width: The value of the scale.
        log2_lr: log2 of the fitted best rate.
        loss: Loss at the fitted best rate.
        curvature: Second derivative of the loss in ln(rate) there.
        grid_log2_lr: log2 of the best rate that was tried (of equals, the larger), or None.
        grid_loss: Mean loss there, or None.
        edge: 'low' or 'high' where the best rate is the lowest or highest tried, else None.
    """

    width: float
    log2_lr: Estimate
    loss: Estimate
    curvature: Estimate
    grid_log2_lr: float | None
    grid_loss: float | None
    edge: Literal["low", "high"] | None


def json_data(value: object) -> Any:  # noqa: ANN401 - JSON data
    """Convert dataclasses and tuples to dicts and lists, and NaN and infinity to None.

    Fields with `metadata={"json": False}` are left out.

    Example:
        >>> json_data((1.0, float("nan"), Quadratic(-6.0, 3.0, 0.5)))
        [1.0, None, {'log2_lr': -6.0, 'loss': 3.0, 'curvature': 0.5}]
    """
    if is_dataclass(value) and not isinstance(value, type):
        names = [f.name for f in fields(value) if f.metadata.get("json", True)]
        return {name: json_data(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): json_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_data(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
