"""Regret of a predicted point: what it costs if the best point lies where the laws put it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.intervals import UPPER
from mutransfer.analysis.prediction.cost import MAX_LOG2
from mutransfer.analysis.prediction.laws import ScaleCells, average_laws
from mutransfer.analysis.tuning.noise import SurfaceDraws
from mutransfer.analysis.tuning.surface import Surface
from mutransfer.analysis.types.estimates import Estimate, Floats

# Shape legend: D draws, H hyperparameters, W widths.

TOO_FAR = (
    "the best point may lie further from this one than any sample lies from its best one, so the "
    "regret has no upper bound: run a larger size"
)

LEAST = 1e-12  # of a curvature, in losses per squared position: its logarithm must exist [assumed]


@dataclass(frozen=True, slots=True, eq=False)
class FittedPoint:
    """The fit of one width, with its draws, in positions of the hyperparameters.

    Args:
        log2_s: log2 of the width.
        fit: The fit.
        draws: Its draws.
    """

    log2_s: float
    fit: Surface
    draws: SurfaceDraws

    @property
    def best(self) -> Floats:
        """The positions of the best point, (H,)."""
        return np.asarray(self.fit.center + self.fit.half * self.fit.minimum)

    @property
    def moved(self) -> Floats:
        """Draws of these positions, (D, H)."""
        return np.asarray(self.fit.center + self.fit.half * self.draws.moved)

    @property
    def hessian(self) -> Floats:
        """Draws of the second derivatives of the loss there, without directions that fall."""
        per_unit_DHH = self.draws.polynomials.hessian_at(self.draws.minimum)
        hessian_DHH = per_unit_DHH / (self.fit.half[:, None] * self.fit.half)
        value_DH, vector_DHH = np.linalg.eigh(hessian_DHH)
        scaled_DHH = vector_DHH * np.maximum(value_DH, 0.0)[:, None]
        return np.asarray(scaled_DHH @ vector_DHH.transpose(0, 2, 1))


@dataclass(frozen=True, slots=True, eq=False)
class TargetSurface:
    """Draws of the loss near the best point of a target, as quadratics.

    Args:
        best: The positions of the best point, (D, H).
        hessian: Second derivatives of the loss there, (D, H, H).
        reach: Distance from the best point up to which samples were run, (H,).
    """

    best: Floats
    hessian: Floats
    reach: Floats

    def regret(self, point_H: Floats, only: int | None = None) -> Estimate:
        """Estimate the excess loss of a point: its median, with a one-sided 95 % bound.

        Args:
            point_H: The positions of the point.
            only: The only coordinate that is off, or None for all of them.
        """
        distance_DH = self.best - point_H
        if only is not None:
            distance_DH[:, np.arange(len(point_H)) != only] = 0.0
        excess_D = 0.5 * np.einsum("dh,dhk,dk->d", distance_DH, self.hessian, distance_DH)
        value = float(np.median(excess_D))
        far_H = np.quantile(np.abs(distance_DH), UPPER, axis=0)
        if (far_H > self.reach).any():
            return Estimate(value, 0.0, None, TOO_FAR)
        return Estimate(value, 0.0, float(np.quantile(excess_D, UPPER)))


def target_surface(
    points: Sequence[FittedPoint], best_DH: Floats, log2_target: float, rng: np.random.Generator
) -> TargetSurface:
    """Return the loss near the best point of a target.

    The shape of the valley is that of the largest width; how steep it is follows the laws.

    Args:
        points: The fits of the widths, ascending.
        best_DH: Draws of the best point of the target.
        log2_target: log2 of the target's width.
        rng: Generator of the draws.
    """
    hessian_DHH = points[-1].hessian
    if len(points) > 1:
        trace_WD = np.array([_log2_trace(point, points[-1]) for point in points])
        cells = ScaleCells(
            np.array([[point.log2_s] for point in points]),
            np.median(trace_WD, axis=1),
            trace_WD.var(axis=1),
        )
        [law] = average_laws(cells, np.array([[log2_target]]))
        drawn_D = np.minimum(law.mixture.draw(rng, len(best_DH)), MAX_LOG2)
        hessian_DHH = hessian_DHH * np.exp2(drawn_D - trace_WD[-1])[:, None, None]
    reach_WH = [
        np.abs(point.fit.center + side * point.fit.half - point.best)
        for point in points
        for side in (-1.0, 1.0)
    ]
    return TargetSurface(best_DH, hessian_DHH, np.max(reach_WH, axis=0))


def _log2_trace(point: FittedPoint, largest: FittedPoint) -> Floats:
    """Return draws of log2 of the sum of curvatures, in units of the range of the largest."""
    unit_H = largest.fit.half**2
    trace_D = np.einsum("dhh,h->d", point.hessian, unit_H)
    return np.asarray(np.log2(np.maximum(trace_D, LEAST)))
