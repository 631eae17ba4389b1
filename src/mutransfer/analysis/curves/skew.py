"""This file is skew: by how much a curve that is no parabola moves its fitted optimum."""

from __future__ import annotations

import numpy as np

from mutransfer.analysis.curves.fit import Located
from mutransfer.analysis.curves.group import Fitted, refusals
from mutransfer.analysis.format import Words
from mutransfer.analysis.intervals import sampled
from mutransfer.analysis.types.estimates import LN2, Estimate, Floats

# Shape legend: W widths, S samples (the data first, then the draws), K rates in the window.

POINTS = 5  # a cubic takes four; one more keeps noise from being its shape


def skew(group: Fitted, words: Words) -> Estimate:
    """Average, over widths, how far a cubic's minimum lies above the parabola's, in octaves.

    Curves of one group tend to be skewed alike, so the parabola errs by about as much at every
    width: drift and regret hardly notice, the best rates themselves do.
    """
    indices = [
        k
        for k, one in enumerate(group.located)
        if one.fit is not None and len(one.fit.window) >= POINTS
    ]
    if not indices:
        return Estimate(
            undetermined=f"fewer than {POINTS} {words.values} near every best one: add some between"
        )
    reason = refusals(group, indices, words)
    moved_WS = [_moved(group, k, with_draws=reason is None) for k in indices]
    return sampled(np.mean(moved_WS, axis=0) / LN2, reason)


def _moved(group: Fitted, index: int, *, with_draws: bool) -> Floats:
    """Give by how much the minimum of a cubic differs from that of the parabola at one width."""
    one = group.located[index]
    assert one.fit is not None
    mean_SK = one.cells.mean[None, one.fit.window]
    if with_draws:
        # Drawn curves are parabolas with noise: what the data's own curve leaves is added back.
        curve_K = one.fit.loss(one.fit.coefficients, one.cells.x[one.fit.window])
        drawn_SK = group.drawn[index].mean[:, one.fit.window] + mean_SK - curve_K
        mean_SK = np.concatenate([mean_SK, drawn_SK])
    return _cubic_minimum(one, mean_SK) - one.fit.vertex(mean_SK @ one.fit.solve.T)


def _cubic_minimum(one: Located, mean_SK: Floats) -> Floats:
    """Fit cubics and give their minima in ln(rate); NaN where there is none."""
    assert one.fit is not None
    z_K = one.cells.x[one.fit.window] - one.fit.center
    coefficients_S4 = mean_SK @ np.linalg.pinv(np.vander(z_K, 4, increasing=True)).T
    _, b_S, a_S, c_S = coefficients_S4.T
    with np.errstate(invalid="ignore", divide="ignore"):
        # The root that stays finite as the cubic part vanishes.
        minimum_S: Floats = one.fit.center - b_S / (a_S + np.sqrt(a_S**2 - 3 * b_S * c_S))
    return minimum_S
