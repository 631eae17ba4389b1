"""The optima that predictions extrapolate: best rates, losses and curvatures with their noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.curves.fit import CurveFit
from mutransfer.analysis.curves.group import FittedGroup, optimum_samples
from mutransfer.analysis.prediction.laws import Bounds, ScaleCells
from mutransfer.analysis.scales.exponents import optimum_limit
from mutransfer.analysis.types.estimates import LN2, Floats

# Shape legend: C cells with an optimum, E cells with the best rate on an edge, K scales,
# S samples (the data first, then the draws).

# What parabolas leave of the curves of one seed is partly the curves' shape, which all cells
# share: the share of it that moves optima apart is averaged over. [assumed]
ONE_SEED_SHARES = (0.0, 0.25, 1.0)


@dataclass(frozen=True, slots=True)
class OptimumCells:
    """The optima of one group.

    Args:
        log2_s: log2 of the scales of the cells with an optimum, (C, K).
        rate: log2 of the best rates, in octaves, with what edges of the grid say.
        curvature: log2 of the curvatures in ln(rate).
        loss: Samples of the losses at the best rates, (S, C).
    """

    log2_s: Floats
    rate: ScaleCells
    curvature: ScaleCells
    loss: Floats


def optimum_cells(group: FittedGroup) -> OptimumCells:
    """Collect the optima of a fitted group."""
    indices = [k for k, curve in enumerate(group.curves) if curve.quadratic is not None]
    num_scales = len(group.curves[0].grid.sizes)
    log2_s = np.log2([group.curves[k].grid.sizes for k in indices]).reshape(-1, num_scales)
    samples = [optimum_samples(group, k) for k in indices]
    if not samples:
        nothing = ScaleCells(log2_s, np.empty(0), np.empty(0))
        return OptimumCells(log2_s, nothing, nothing, np.empty((1, 0)))
    x_SC, loss_SC, curvature_SC = (np.array(column).T for column in zip(*samples, strict=True))
    shares = ONE_SEED_SHARES if group.is_of_one_seed else (1.0,)
    with np.errstate(invalid="ignore", divide="ignore"):
        log2_curvature_SC = np.where(curvature_SC > 0, np.log2(curvature_SC), np.nan)
    rate, curvature = (
        ScaleCells(log2_s, value_SC[0], _variance(value_SC), noise_shares=shares)
        for value_SC in (x_SC / LN2, log2_curvature_SC)
    )
    rate = rate.with_bounds(_edge_bounds(group.curves, num_scales))
    return OptimumCells(log2_s, rate, curvature, loss_SC)


def _variance(value_SC: Floats) -> Floats:
    """Return the variance of the draws; zero without draws."""
    if len(value_SC) < 2:
        return np.zeros(value_SC.shape[1])
    return np.asarray(np.nanvar(value_SC[1:], axis=0))


def _edge_bounds(curves: Sequence[CurveFit], num_scales: int) -> Bounds:
    """Return the cells whose best rate lies beyond the rates tried, and the side."""
    edges = [curve for curve in curves if curve.edge is not None]
    limits = np.array([optimum_limit(curve) for curve in edges], dtype=np.float64)
    log2_s = np.log2([curve.grid.sizes for curve in edges]).reshape(-1, num_scales)
    is_upper = np.array([curve.edge == "low" for curve in edges], dtype=np.bool_)
    return Bounds(log2_s, limits, is_upper)
