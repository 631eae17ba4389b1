"""This file is what an analysis answers: estimates, curves, optima, group reports, the report."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

Verdict = Literal["transfers", "does not transfer", "undetermined"]

SCHEMA = 1
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
        grid_log2_lr: log2 of the best rate that was tried (of equals, the larger), or None.
        grid_loss: Mean loss there, in nats, or None.
        edge: 'low' or 'high' where the best rate is the lowest or highest tried, else None.
    """

    width: float
    log2_lr: Estimate
    loss: Estimate
    grid_log2_lr: float | None
    grid_loss: float | None
    edge: Literal["low", "high"] | None


@dataclass(frozen=True, slots=True)
class GroupReport:
    """Whether the best rate transfers over widths within one group, usually a parametrization.

    Args:
        name: The group.
        verdict: 'transfers', 'does not transfer' or 'undetermined'.
        reason: One sentence that defends the verdict, or says what to add.
        curves: One per width, rising.
        optimum: One per width, rising.
        drift: Slope of log2(best rate) against log2(width); 90 % interval.
        sensitivity: The drift, and as low and high its range when one width is left out.
        regret: Cost at the largest width of the smallest width's best rate, in nats;
            `low` and `high` are one-sided 95 % bounds.
        regret_share: The same as a share of the best loss at the largest width.
        grid_regret: The same between grid points, in nats, without an interval.
        paper_criterion: Whether every width has the same best rate on the grid, or None.
    """

    name: str
    verdict: Verdict
    reason: str
    curves: tuple[Curve, ...]
    optimum: tuple[Optimum, ...]
    drift: Estimate
    sensitivity: Estimate
    regret: Estimate
    regret_share: Estimate
    grid_regret: Estimate
    paper_criterion: bool | None

    def to_json(self) -> dict[str, Any]:
        """Give plain data; NaN becomes None."""
        return {f.name: plain(getattr(self, f.name)) for f in fields(self) if f.name != "name"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """How much worse a group is than the best one, each at its own optimum.

    Args:
        group: The group that is compared.
        reference: The group with the lowest loss.
        width: The largest width that both have.
        difference: Loss of the group minus that of the reference, in nats; 90 % interval.
        paired: Whether both ran the same seeds, so that what seeds share cancels.
    """

    group: str
    reference: str
    width: float
    difference: Estimate
    paired: bool


@dataclass(frozen=True, slots=True, eq=False)
class Report(Mapping[str, GroupReport]):
    """Every group's report by its name, and what they were made with.

    Args:
        groups: The group reports.
        threshold: Regret that still counts as transfer, as a share of the best loss.
        scale: Name of the scale, usually 'width'.
        hyperparameter: Name of the hyperparameter, usually 'lr'.
        group_by: The columns that make groups.
        comparisons: Each other group against the best one; empty with one group.
        draws: Draws behind each interval.
        seed: Seed of these draws.
    """

    groups: Mapping[str, GroupReport]
    threshold: float
    scale: str
    hyperparameter: str
    group_by: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    draws: int
    seed: int

    def __getitem__(self, name: str) -> GroupReport:
        return self.groups[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def to_json(self) -> dict[str, Any]:
        """Give the whole report as plain data for `json.dump`; NaN becomes None."""
        settings = {
            f.name: plain(getattr(self, f.name))
            for f in fields(self)
            if f.name not in ("groups", "comparisons")
        }
        return {
            "schema": SCHEMA,
            **settings,
            "groups": {name: group.to_json() for name, group in self.groups.items()},
            "comparisons": plain(self.comparisons),
        }


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
