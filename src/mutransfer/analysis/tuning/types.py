"""The report of several hyperparameters that are tuned together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mutransfer.analysis.types.estimates import Estimate, Verdict, json_data
from mutransfer.analysis.types.report import Groups

Form = Literal["quadratic", "diagonal", "sample"]


@dataclass(frozen=True, slots=True)
class Section:
    """The fitted loss along one hyperparameter, the others at the best point; 90 % band.

    Args:
        value: Values of the hyperparameter, ascending.
        loss: The fitted loss at each of them.
        low: Lower end of the band, or None without an interval.
        high: Upper end of the band, or None.
    """

    value: tuple[float, ...]
    loss: tuple[float, ...]
    low: tuple[float, ...] | None
    high: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class TunedValue:
    """The best value of one hyperparameter at one width.

    Args:
        name: The hyperparameter.
        scale: Scale of its coordinate: 'log', or 'linear' where a value is zero.
        best: The best value; 90 % interval. Without a value it is undetermined: an edge optimum
            has the end of the interval that the samples bound.
        recommended: The value to use: the best one, or where that is undetermined the one that
            the fit or the samples prefer within the range tried.
        lowest: The lowest value tried.
        highest: The highest value tried.
        edge: 'low' or 'high' where the optimum lies at the end of the range tried, else None.
        importance: Share of the variance of the loss over the range tried that this
            hyperparameter alone explains; 90 % interval.
        cost: How much the fitted loss varies over the range of the fit if only this
            hyperparameter changes, or None without a fit.
        section: The fitted loss along this hyperparameter, or None without a fit.
    """

    name: str
    scale: Literal["log", "linear"]
    best: Estimate
    recommended: float
    lowest: float
    highest: float
    edge: Literal["low", "high"] | None
    importance: Estimate
    cost: float | None
    section: Section | None


@dataclass(frozen=True, slots=True)
class Interaction:
    """Two hyperparameters whose best values depend on each other.

    Args:
        names: The two hyperparameters.
        correlation: Correlation of the two in the valley of the fitted loss, between -1 and 1: if
            one is off, the best value of the other moves up (positive) or down; 90 % interval.
        importance: Share of the variance of the loss over the range tried that only both together
            explain; 90 % interval.
        text: The interaction as a sentence, or None where it does not matter.
    """

    names: tuple[str, str]
    correlation: Estimate
    importance: Estimate
    text: str | None


@dataclass(frozen=True, slots=True)
class Sample:
    """One point that was run, with the mean loss of its seeds.

    Args:
        values: One value per hyperparameter.
        loss: The mean loss; NaN where it diverged.
        is_fitted: Whether it is one of the points near the best that the fit uses.
    """

    values: tuple[float, ...]
    loss: float
    is_fitted: bool


@dataclass(frozen=True, slots=True)
class TunedWidth:
    """The best point at one width.

    Args:
        width: The value of the scale.
        form: What the best point is that of: a full quadratic, one without interactions, or
            the best sample.
        values: One per hyperparameter.
        loss: The loss at the best point.
        interactions: One per pair of hyperparameters; empty unless the quadratic is full.
        samples: Every point that was run.
        best_sample: The index of the best of them, or None where all diverged.
        num_diverged: Points at which a run diverged.
        explained: Share of the variance of the losses over the range tried that the quadratic
            behind the importances explains, or None.
        note: Why the best point is not that of a full quadratic, or None.
        undetermined: Why there is no fit at all, and what to add, or None.
    """

    width: float
    form: Form
    values: tuple[TunedValue, ...]
    loss: Estimate
    interactions: tuple[Interaction, ...]
    samples: tuple[Sample, ...]
    best_sample: int | None
    num_diverged: int
    explained: float | None
    note: str | None
    undetermined: str | None

    def __getitem__(self, name: str) -> TunedValue:
        return next(value for value in self.values if value.name == name)


@dataclass(frozen=True, slots=True, repr=False)
class TunedGroup:
    """Whether the best point of several hyperparameters transfers over widths within one group.

    Args:
        name: The group.
        verdict: 'transfers', 'does not transfer' or 'undetermined'.
        reason: One sentence that supports the verdict, or says what to add.
        widths: One per width, ascending.
        drift: Hyperparameter -> slope of log2(best value) against log2(width), for a linear scale
            that of the value; 90 % interval.
        regret: Excess loss at the largest width with the smallest width's best point; `low` and
            `high` are one-sided 95 % bounds.
        regret_share: The regret as a share of the best loss at the largest width.
    """

    name: str = field(metadata={"json": False})  # it is the key of the group in the JSON
    verdict: Verdict
    reason: str
    widths: tuple[TunedWidth, ...]
    drift: Mapping[str, Estimate]
    regret: Estimate
    regret_share: Estimate

    def __repr__(self) -> str:
        return f"{self.name}: {self.verdict}\n  {self.reason}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data; NaN becomes None."""
        data: dict[str, Any] = json_data(self)
        return data


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class TuningReport(Groups[TunedGroup]):
    """The best points of every group by its name, and the settings of the analysis.

    Args:
        groups: The groups.
        threshold: Regret that still counts as transfer, as a share of the best loss.
        scale: Name of the scale, usually 'width'.
        hyperparameters: Names of the hyperparameters.
        group_by: The columns that make groups.
        notes: Sentences on the runs, rows and columns that were left out.
        draws: Draws behind each interval.
        seed: Seed of these draws.
        loss_unit: Unit of the losses, 'nats', or None where it is undetermined.
    """

    threshold: float
    scale: str
    hyperparameters: tuple[str, ...]
    group_by: tuple[str, ...]
    notes: tuple[str, ...]
    draws: int
    seed: int
    loss_unit: str | None = field(default=None, metadata={"json": False})
