"""Optima of the cells, and the exponents of the best rate in every scale, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.curves.fit import CurveFit
from mutransfer.analysis.curves.group import optimum_samples
from mutransfer.analysis.format import AxisNames
from mutransfer.analysis.intervals import estimate, widen_by_skew
from mutransfer.analysis.laws.plane import Bounds, Plane, fit_plane
from mutransfer.analysis.scales.cells import Cells
from mutransfer.analysis.scales.dependence import (
    ScaleSet,
    dependence_reason,
    path_slopes,
    scale_sets,
)
from mutransfer.analysis.types.estimates import LN2, Estimate, Floats
from mutransfer.analysis.types.scales import PathExponent, RateExponents

# Shape legend: C cells with an optimum, K scales, S samples (the data first, then the draws).

MIN_FREEDOM = 2  # cells beyond the number of parameters, from which the scatter is estimated


@dataclass(frozen=True, slots=True)
class CellOptima:
    """The cells that have an optimum, with their samples, and the scales that they separate.

    Args:
        values: Sizes, (C, K).
        log2_lr: log2 of the best rates, (S, C).
        loss: Losses there, (S, C).
        sets: The scales by the exponents that can be separated.
    """

    values: Floats
    log2_lr: Floats
    loss: Floats
    sets: tuple[ScaleSet, ...]

    @property
    def basis(self) -> list[int]:
        """The scales that enter the laws."""
        return [k for scale_set in self.sets for k in scale_set.basis]


def cell_optima(cells: Cells, num_draws: int) -> CellOptima:
    """Collect the optima; without an estimate of the noise, all draws are the data."""
    fitted = [k for k, curve in enumerate(cells.group.curves) if curve.quadratic is not None]
    values_CK = cells.values[fitted]
    if not fitted:
        none_SC = np.empty((1 + num_draws, 0))
        return CellOptima(values_CK, none_SC, none_SC, ())
    samples = [optimum_samples(cells.group, k) for k in fitted]
    x_SC, loss_SC, _ = (np.array(column).T for column in zip(*samples, strict=True))
    if len(x_SC) == 1:
        x_SC, loss_SC = (np.tile(values, (1 + num_draws, 1)) for values in (x_SC, loss_SC))
    return CellOptima(values_CK, x_SC / LN2, loss_SC, tuple(scale_sets(values_CK)))


def optimum_limit(curve: CurveFit) -> float | None:
    """Return log2 of a rate that the optimum of a curve lies below or above, or None.

    The better of two neighboring rates is the one nearer to the minimum of a parabola, so the
    minimum lies beyond the middle between the rate on the edge and its neighbor.
    """
    if curve.edge is None:
        return None
    grid = curve.grid
    edge, neighbor = (0, 1) if curve.edge == "low" else (-1, -2)
    if not grid.usable[neighbor]:  # it diverged
        return float(grid.log2_lr[neighbor])
    return float(grid.log2_lr[edge] + grid.log2_lr[neighbor]) / 2


def rate_exponents(
    cells: Cells, optima: CellOptima, skew: Estimate, axes: AxisNames, rng: np.random.Generator
) -> tuple[RateExponents, Plane | None]:
    """Fit the law of the best rate; return its exponents, and the law where there is one."""
    basis, bounds = optima.basis, _bounds(cells, optima)
    num_cells, num_bounds = len(optima.values), len(bounds.limit)
    names = axes.scales
    reason = too_few_cells(num_cells, 1 + len(basis), names)
    if reason:
        none = Estimate(undetermined=reason)
        exponents = dict.fromkeys(names, none)
        return RateExponents(none, {}, exponents, (), None, num_cells, num_bounds), None
    plane = fit_plane(np.log2(optima.values[:, basis]), optima.log2_lr, rng, bounds)
    reason = too_few_cells(num_cells, 1 + len(basis) + MIN_FREEDOM, names, "an interval")
    slopes = [estimate(plane.slope[:, k], reason) for k in range(len(basis))]
    exponents, paths = by_scale(optima, slopes, names)
    law = RateExponents(
        log2_lr=widen_by_skew(estimate(plane.level, reason), skew),
        center=dict(zip(names, np.exp2(np.log2(optima.values).mean(axis=0)).tolist(), strict=True)),
        exponents=exponents,
        paths=paths,
        scatter=plane.scatter if np.isfinite(plane.scatter) else None,
        num_cells=num_cells,
        num_bounds=num_bounds,
    )
    return law, plane


def _bounds(cells: Cells, optima: CellOptima) -> Bounds:
    """Return the cells whose optimum lies beyond the rates tried."""
    limits = [optimum_limit(curve) for curve in cells.group.curves]
    bounded = [k for k, limit in enumerate(limits) if limit is not None]
    return Bounds(
        np.log2(cells.values[bounded][:, optima.basis]),
        np.array([limits[k] for k in bounded], dtype=np.float64),
        np.array([cells.group.curves[k].edge == "low" for k in bounded], dtype=np.bool_),
    )


def too_few_cells(num: int, needed: int, scales: Sequence[str], what: str = "a law") -> str | None:
    """Return why a law over the scales cannot be fitted, and what to add, or None."""
    if num >= needed:
        return None
    over = f"{what} over {' and '.join(scales)}" if what == "a law" else what
    return f"{over} needs an optimum at {needed} cells, and there are {num}: add {needed - num}"


def by_scale(
    optima: CellOptima, slopes: Sequence[Estimate], scales: Sequence[str]
) -> tuple[dict[str, Estimate], tuple[PathExponent, ...]]:
    """Sort the exponents of a law by scale; those of inseparable scales become paths."""
    own = dict(zip(optima.basis, slopes, strict=True))
    exponents: dict[str, Estimate] = {}
    paths: list[PathExponent] = []
    for scale_set in optima.sets:
        if scale_set.is_separate:
            exponents[scales[scale_set.basis[0]]] = own[scale_set.basis[0]]
            continue
        reason = dependence_reason(optima.values, scale_set, scales)
        names = [scales[k] for k in scale_set.members]
        exponents |= dict.fromkeys(names, Estimate(undetermined=reason))
        if scale_set.is_path:
            powers = dict(zip(names, path_slopes(optima.values, scale_set).tolist(), strict=True))
            base = scale_set.basis[0]
            paths.append(PathExponent(scales[base], powers, own[base]))
    return {name: exponents[name] for name in scales}, tuple(paths)
