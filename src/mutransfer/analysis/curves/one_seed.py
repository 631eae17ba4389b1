"""Noise of curves with one seed: what smooth curves leave of them, and laws of best losses.

A run's noise moves the loss at its rate alone, and shows as a deviation from the smooth curve. A
seed's shift is common to all rates of a width: it cancels in best rates, drift and regret, and no
curve shows it. It shows in the scatter of best losses about their law.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mutransfer.analysis.curves.fit import CurveFit, LocalQuadratic
from mutransfer.analysis.curves.noise import Noise
from mutransfer.analysis.format import AxisNames
from mutransfer.analysis.intervals import WIDTHS_FOR_INTERVAL
from mutransfer.analysis.laws.power_law import fit_floor_law

# Shape legend: K rates in the window, W widths.

# With one degree of freedom intervals would be longer than most grids.
MIN_FREEDOM = 2
ONE_SEED = "one seed: the noise is that of the losses about smooth curves"
NUM_CUBIC, NUM_FLOOR_LAW = 4, 3  # parameters


def noise_of_curves(curves: Sequence[CurveFit]) -> Noise | None:
    """Estimate the noise of single runs from what a cubic leaves of each curve, or return None.

    The cubic is fitted to the rates of the window and the next one on either side, so that five
    rates in octaves leave a degree of freedom. A parabola in the window would leave fewer, and the
    skew of curves would pass for noise. A curve of another shape widens the intervals.
    """
    squares, freedom = 0.0, 0
    for curve in curves:
        if curve.quadratic is not None:
            rates = _rates(curve, curve.quadratic)
            if len(rates) > NUM_CUBIC:
                squares += _misfit(curve, rates)
                freedom += len(rates) - NUM_CUBIC
    if freedom < MIN_FREEDOM:
        return None
    return Noise(squares / freedom, freedom, 0.0, 1, 0.0, "curves")


def few_rates_reason(curves: Sequence[CurveFit]) -> str:
    """Return why `noise_of_curves` is None, and what to add."""
    num_fitted = sum(curve.quadratic is not None for curve in curves)
    return (
        f"the rates near the best ones are too few to estimate the noise from {num_fitted} "
        f"{'curve' if num_fitted == 1 else 'curves'}: add seeds, or rates near the best"
    )


def _rates(curve: CurveFit, quadratic: LocalQuadratic) -> NDArray[np.intp]:
    """Return the rates of the window and the next usable one on either side."""
    window, usable = quadratic.window, np.flatnonzero(curve.grid.usable)
    is_near = (usable >= window[0] - 1) & (usable <= window[-1] + 1)
    return np.asarray(usable[is_near])


def _misfit(curve: CurveFit, rates_K: NDArray[np.intp]) -> float:
    """Return the sum of squares of the means about a cubic, in units of one run."""
    grid = curve.grid
    power_K = np.vander(grid.x[rates_K] - grid.x[rates_K].mean(), NUM_CUBIC)
    mean_K = grid.mean[rates_K]
    rest_K = mean_K - power_K @ np.linalg.lstsq(power_K, mean_K, rcond=None)[0]
    return float((grid.finite[rates_K].sum(axis=1) * rest_K**2).sum())


def with_seed_shift(
    noise: Noise, curves: Sequence[CurveFit], axes: AxisNames
) -> tuple[Noise, str | None]:
    """Add the shift of a seed, from the scatter of best losses about a power law with a floor.

    Returns:
        The noise, and why it lacks that shift, or None.
    """
    if axes.further:
        return noise, (
            "one seed: how much it shifts a whole curve can only be estimated for all scales "
            "together, from the scatter of best losses about their law: add seeds"
        )
    fits = [(c.grid.width, c.quadratic) for c in curves if c.quadratic is not None]
    freedom = len(fits) - NUM_FLOOR_LAW
    if len(fits) < WIDTHS_FOR_INTERVAL:
        return noise, (
            "one seed: how much it shifts a whole curve can only be estimated from the scatter of "
            f"best losses about their law, which needs {WIDTHS_FOR_INTERVAL} values of "
            f"{axes.scale} with an optimum, and there {'is' if len(fits) == 1 else 'are'} "
            f"{len(fits)}: add seeds"
        )
    width_W = np.array([width for width, _ in fits])
    loss_W = np.array([quadratic.best_loss for _, quadratic in fits])
    law = fit_floor_law(width_W, loss_W[None])
    rest_W = loss_W - [float(law.at(width)[0]) for width in width_W]
    # The part of a run's variance that the best loss of its parabola has, for small noise.
    shares = [share_in_best_loss(quadratic) for _, quadratic in fits]
    square = float((rest_W**2).sum()) / freedom
    shifted = replace(
        noise, between=square, df_between=freedom, inverse_rates=float(np.mean(shares))
    )
    return shifted, None


def share_in_best_loss(quadratic: LocalQuadratic) -> float:
    """Return the variance of the best loss for runs of variance one."""
    z = quadratic.optimum - quadratic.center
    return float(((np.array([1.0, z, z**2]) @ quadratic.solve) ** 2).sum())
