"""The prediction of a whole point of several hyperparameters at a target that was not run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mutransfer.analysis.types.estimates import Estimate
from mutransfer.analysis.types.scaling import LawName


@dataclass(frozen=True, slots=True)
class PredictedValue:
    """One hyperparameter of a predicted point.

    Args:
        name: The hyperparameter.
        scale: Scale on which it is extrapolated: 'log', or 'linear' where a value of zero was
            tried.
        best: Its best value at the target; 90 % interval. Without a value it is undetermined: an
            optimum at the edge of the range tried has the end that the samples bound.
        recommended: The value to use: the best one, or where that is undetermined the one that
            the largest size prefers within the range tried.
        weights: Law of the best value -> its probability; empty where it is carried as it is.
        cost: Share of the loss that the recommended value costs if it alone is off; `high` is a
            one-sided 95 % bound.
    """

    name: str
    scale: Literal["log", "linear"]
    best: Estimate
    recommended: float
    weights: Mapping[LawName, float]
    cost: Estimate


@dataclass(frozen=True, slots=True)
class PointPrediction:
    """The point of several hyperparameters to use at a target, with its loss and its regret.

    Args:
        group: The group.
        scale: Name of the scale.
        width: The target's value of the scale.
        at: The same by the name of the scale, as in the prediction of one hyperparameter.
        extrapolation: Ratio of the target to the largest value that has a best point.
        values: One per hyperparameter.
        loss: The loss at the best point there; 90 % interval.
        regret: Expected excess loss with this point; `high` is a one-sided 95 % bound.
        regret_share: The regret as a share of the loss.
        warnings: Reasons for caution, in sentences.
        loss_unit: Unit of the losses, 'nats', or None where it is undetermined.
        notes: Sentences on the runs, rows and columns of the source that were left out.
    """

    group: str
    scale: str
    width: float
    at: Mapping[str, float]
    extrapolation: float
    values: tuple[PredictedValue, ...]
    loss: Estimate
    regret: Estimate
    regret_share: Estimate
    warnings: tuple[str, ...]
    loss_unit: str | None = field(default=None, metadata={"json": False})
    # The JSON has them once, above all predictions.
    notes: tuple[str, ...] = field(default=(), metadata={"json": False})

    def __getitem__(self, name: str) -> PredictedValue:
        return next(value for value in self.values if value.name == name)

    @property
    def hyperparameter(self) -> str:
        """The names of the hyperparameters, for messages."""
        return ", ".join(value.name for value in self.values)
