"""Skew of loss curves: how far a curve that is not a parabola moves its fitted optimum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mutransfer.analysis.curves.fit import CurveFit
from mutransfer.analysis.curves.group import FittedGroup, no_draws_reason
from mutransfer.analysis.format import AxisNames
from mutransfer.analysis.intervals import estimate
from mutransfer.analysis.types.estimates import LN2, Estimate, Floats
from mutransfer.analysis.types.scaling import skew_weight

# Shape legend: W widths, S samples (the data first, then the draws), K rates in the window.

MIN_RATES = 5  # a cubic through four rates would follow their noise exactly


def skew(group: FittedGroup, axes: AxisNames) -> Estimate:
    """Estimate the shift from the parabola's minimum to a cubic's, in octaves; mean over widths.

    Skew is reported and not corrected: a cubic would be unbiased, but with twice the standard
    error. Curves of one group tend to be skewed alike, so on a fine grid the parabola errs by about
    as much at every width, and the drift hardly changes. On a coarse grid the error depends on
    where the optimum lies between two rates: with a drift of no whole number of steps it differs
    from width to width, and the drift errs by its slope.
    """
    rates = [_rates_of_cubic(curve) for curve in group.curves]
    indices = [k for k, rates_K in enumerate(rates) if len(rates_K) >= MIN_RATES]
    if not indices:
        text = f"fewer than {MIN_RATES} {axes.rates} near every best one: add some in between"
        return Estimate(undetermined=text)
    reason = no_draws_reason(group, indices, axes)
    shift_WS = [_vertex_shift(group, k, rates[k], with_draws=reason is None) for k in indices]
    return estimate(np.mean(shift_WS, axis=0) / LN2, reason)


def regret_weight(curve_skew: Estimate) -> float:
    """Return how much skew counts for the bounds of a regret, from 0 to 1.

    These are bounds of interpolation, which exceed the truth by more than those of a rate do. So
    they count by half where skew counts in full for rates. [measured: docs/numbers.md]
    """
    return skew_weight(curve_skew, full_at=1.25)


def skew_variation(group: FittedGroup) -> float:
    """Return how far the shift at a single width may lie from the mean, as a share of the mean.

    A parabola fitted to z² + c·z³ at equal steps h around the center m of its window has its
    minimum at -c/2 · (b - 3m²), where b is the sum of the fourth powers of the distances from the
    center over that of their squares. The center lies within h/2 of the minimum, so that m² is
    h²/12 on average. [derived: regression of z³ on 1, z and z²]
    """
    shares = []
    for quadratic in (c.quadratic for c in group.curves if c.quadratic is not None):
        z_K = quadratic.x - quadratic.x.mean()
        square = float(np.median(np.diff(quadratic.x))) ** 2
        mean = float((z_K**4).sum() / (z_K**2).sum()) - square / 4
        shares.append(3 * square / 8 / mean)
    return float(np.mean(shares)) if shares else 0.0


def _rates_of_cubic(curve: CurveFit) -> NDArray[np.intp]:
    """Return the rates of the window, or on a coarse grid the nearest ones on both sides."""
    if curve.quadratic is None:
        return np.empty(0, np.intp)
    window, grid = curve.quadratic.window, curve.grid
    if len(window) >= MIN_RATES or curve.argmin in (window[0], window[-1]):
        return window
    usable = np.flatnonzero(grid.usable)
    return np.asarray(usable[(usable >= window[0] - 1) & (usable <= window[-1] + 1)])


def _vertex_shift(
    group: FittedGroup, index: int, rates_K: NDArray[np.intp], *, with_draws: bool
) -> Floats:
    """Return the minimum of a cubic minus that of the parabola at one width, in ln(rate)."""
    curve = group.curves[index]
    quadratic, grid = curve.quadratic, curve.grid
    assert quadratic is not None
    mean_SR = grid.mean[None]
    if with_draws:
        # Drawn curves are parabolas with noise: the data's own residuals are added to them.
        drawn_SR = group.draws[index].mean.copy()
        drawn_SR[:, quadratic.window] += quadratic.mean - quadratic.fitted
        mean_SR = np.concatenate([mean_SR, drawn_SR])
    parabola_S = quadratic.vertex(mean_SR[:, quadratic.window] @ quadratic.solve.T)
    z_K = grid.x[rates_K] - quadratic.center
    return quadratic.center + _cubic_minimum(z_K, mean_SR[:, rates_K]) - parabola_S


def _cubic_minimum(z_K: Floats, mean_SK: Floats) -> Floats:
    """Fit cubics and return their minima; NaN where a cubic has none."""
    coefficients_S4 = mean_SK @ np.linalg.pinv(np.vander(z_K, 4, increasing=True)).T
    _, b_S, a_S, c_S = coefficients_S4.T
    with np.errstate(invalid="ignore", divide="ignore"):
        # The root that stays finite as the cubic part vanishes.
        root_S = a_S + np.sqrt(a_S**2 - 3 * b_S * c_S)
        minimum_S: Floats = -b_S / root_S
    return minimum_S
