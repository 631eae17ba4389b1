"""Skew of loss curves: how far a curve that is not a parabola moves its fitted optimum."""

from __future__ import annotations

import numpy as np

from mutransfer.analysis.curves.fit import LocalQuadratic
from mutransfer.analysis.curves.group import FittedGroup, no_draws_reason
from mutransfer.analysis.format import AxisNames
from mutransfer.analysis.intervals import estimate
from mutransfer.analysis.types.estimates import LN2, Estimate, Floats

# Shape legend: W widths, S samples (the data first, then the draws), K rates in the window.

MIN_RATES = 5  # a cubic through four rates would follow their noise exactly


def skew(group: FittedGroup, axes: AxisNames) -> Estimate:
    """Estimate the shift from the parabola's minimum to a cubic's, in octaves; mean over widths.

    Skew is reported and not corrected: a cubic would be unbiased, but with twice the standard
    error. Curves of one group tend to be skewed alike, so the parabola errs by about as much at
    every width, and drift and regret hardly change.
    """
    indices = [
        k
        for k, curve in enumerate(group.curves)
        if curve.quadratic is not None and len(curve.quadratic.window) >= MIN_RATES
    ]
    if not indices:
        text = f"fewer than {MIN_RATES} {axes.rates} near every best one: add some in between"
        return Estimate(undetermined=text)
    reason = no_draws_reason(group, indices, axes)
    shift_WS = [_vertex_shift(group, k, with_draws=reason is None) for k in indices]
    return estimate(np.mean(shift_WS, axis=0) / LN2, reason)


def _vertex_shift(group: FittedGroup, index: int, *, with_draws: bool) -> Floats:
    """Return the minimum of a cubic minus that of the parabola at one width, in ln(rate)."""
    quadratic = group.curves[index].quadratic
    assert quadratic is not None
    mean_SK = quadratic.mean[None]
    if with_draws:
        # Drawn curves are parabolas with noise: the data's own residuals are added to them.
        drawn_SK = group.draws[index].mean[:, quadratic.window]
        mean_SK = np.concatenate([mean_SK, drawn_SK + mean_SK - quadratic.fitted])
    return _cubic_minimum(quadratic, mean_SK) - quadratic.vertex(mean_SK @ quadratic.solve.T)


def _cubic_minimum(quadratic: LocalQuadratic, mean_SK: Floats) -> Floats:
    """Fit cubics and return their minima in ln(rate); NaN where a cubic has none."""
    z_K = quadratic.x - quadratic.center
    coefficients_S4 = mean_SK @ np.linalg.pinv(np.vander(z_K, 4, increasing=True)).T
    _, b_S, a_S, c_S = coefficients_S4.T
    with np.errstate(invalid="ignore", divide="ignore"):
        # The root that stays finite as the cubic part vanishes.
        root_S = a_S + np.sqrt(a_S**2 - 3 * b_S * c_S)
        minimum_S: Floats = quadratic.center - b_S / root_S
    return minimum_S
