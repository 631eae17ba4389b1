"""Regret of a predicted rate: what it costs if the best rate lies where the laws put it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.curves.fit import CurveFit
from mutransfer.analysis.curves.group import FittedGroup
from mutransfer.analysis.intervals import UPPER
from mutransfer.analysis.prediction.laws import AveragedLaw
from mutransfer.analysis.types.estimates import LN2, Estimate, Floats

# Shape legend: D draws.

MAX_LOG2 = 200.0  # of a curvature: beyond, squares of distances would overflow [assumed]
TOO_FAR = (
    "the best rate may lie further from this one than any rate that was tried lies from its best "
    "one, so the regret has no upper bound: run a larger size"
)


@dataclass(frozen=True, slots=True)
class TargetCurve:
    """Draws of the loss curve at a target, as a parabola in ln(rate).

    Args:
        log2_lr: log2 of the best rate.
        curvature: Curvature in ln(rate).
        shifts: Shifts of ln(best rate) that skewed curves allow.
        cap: The largest excess loss that a rate can have there, or infinity where none is recorded.
        reach: Octaves from the best rate up to which curves were measured.
    """

    log2_lr: Floats
    curvature: Floats
    shifts: Sequence[float]
    cap: float
    reach: float

    def regret(self, log2_lr: float) -> Estimate:
        """Estimate the excess loss of a rate: its median, with a one-sided 95 % bound."""
        distance_D = (self.log2_lr - log2_lr) * LN2
        value_D = 0.5 * self.curvature * distance_D**2
        # Where curves are skewed, the best rate lies off the parabola's by up to these shifts.
        bounds = [0.5 * self.curvature * (distance_D + shift) ** 2 for shift in self.shifts]
        high = float(np.quantile(np.max(bounds, axis=0), UPPER))
        value = float(np.median(value_D))
        is_beyond = float(np.quantile(np.abs(distance_D), UPPER)) > self.reach * LN2
        if is_beyond and not np.isfinite(self.cap):
            return Estimate(value, 0.0, None, TOO_FAR)
        return Estimate(min(value, self.cap), 0.0, min(high, self.cap))


def target_curve(
    group: FittedGroup,
    rate: AveragedLaw,
    curvature: AveragedLaw,
    shifts: Sequence[float],
    best_loss: float | None,
    rng: np.random.Generator,
    num_draws: int,
) -> TargetCurve:
    """Draw the loss curve at a target.

    Args:
        group: The fitted group.
        rate: The law of the best rate at the target.
        curvature: That of log2 of the curvature.
        shifts: Shifts of ln(best rate) that skewed curves allow.
        best_loss: The best loss there, or a low estimate of it, or None.
        rng: Generator of the draws.
        num_draws: How many.
    """
    reach = max(_reach(curve) for curve in group.curves if curve.quadratic is not None)
    return TargetCurve(
        log2_lr=rate.mixture.draw(rng, num_draws),
        curvature=np.exp2(np.minimum(curvature.mixture.draw(rng, num_draws), MAX_LOG2)),
        shifts=shifts,
        cap=_largest_excess(group, best_loss),
        reach=reach,
    )


def _reach(curve: CurveFit) -> float:
    """Return how far from its optimum a curve was measured, in octaves."""
    assert curve.quadratic is not None
    tried = curve.grid.log2_lr[curve.grid.usable]
    return float(np.abs(tried - curve.quadratic.optimum / LN2).max())


def _largest_excess(group: FittedGroup, loss: float | None) -> float:
    """Return the excess over a loss of a run that learns nothing, or infinity if unrecorded."""
    untrained = np.concatenate([curve.grid.untrained.ravel() for curve in group.curves])
    if loss is None or np.isnan(untrained).all():
        return np.inf
    return max(float(np.nanmax(untrained)) - loss, 0.0)
