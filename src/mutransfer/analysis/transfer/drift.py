"""Drift of the best rate over widths, and the published criterion of transfer on the grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mutransfer.analysis.curves.fit import CurveFit
from mutransfer.analysis.curves.group import FittedGroup
from mutransfer.analysis.format import AxisNames
from mutransfer.analysis.laws.power_law import fit_power_law
from mutransfer.analysis.transfer.optima import Optima
from mutransfer.analysis.types.estimates import Estimate


def drift(group: FittedGroup, optima: Optima, axes: AxisNames) -> Estimate:
    """Estimate the slope of log2(best rate) against log2(width)."""
    missing = [curve.undetermined for curve in group.curves if curve.quadratic is None]
    if len(group.curves) < 2:
        return Estimate(undetermined=axes.only(group.curves[0].grid.width))
    if optima.rate_law is None:
        return Estimate(undetermined=missing[0])
    if missing:
        reason = f"{missing[0]}; the value is from the other {len(optima.n)}"
        return Estimate(float(optima.rate_law.slope[0]), undetermined=reason)
    return optima.drift


def drift_sensitivity(optima: Optima, axes: AxisNames) -> Estimate:
    """Return the drift with its range when one width is left out."""
    if len(optima.n) < 3 or optima.rate_law is None:
        return Estimate(undetermined=axes.too_few("leaving one out", 3, len(optima.n)))
    x_1W = optima.x[:1]
    slopes = [
        float(fit_power_law(np.delete(optima.n, k), np.delete(x_1W, k, axis=1)).slope[0])
        for k in range(len(optima.n))
    ]
    return Estimate(float(optima.rate_law.slope[0]), min(slopes), max(slopes))


def has_same_grid_optimum(curves: Sequence[CurveFit]) -> bool | None:
    """Whether the best rate that was tried is the same at every width (arXiv:2404.05728)."""
    if len(curves) < 2:
        return None
    best = [None if c.argmin is None else float(c.grid.log2_lr[c.argmin]) for c in curves]
    return None if None in best else len(set(best)) == 1
