"""Check of the law of the loss: fit it without the largest size, and compare the loss there.

Where losses fall faster or more slowly than a power law with a floor does, its fit looks good over
the sizes that were run, and the loss at a larger one is off by more with every octave.
"""

from __future__ import annotations

import numpy as np

from mutransfer.analysis.curves.group import FittedGroup
from mutransfer.analysis.curves.one_seed import NUM_FLOOR_LAW, share_in_best_loss
from mutransfer.analysis.format import AxisNames, format_share
from mutransfer.analysis.intervals import WIDTHS_FOR_VALUE
from mutransfer.analysis.laws.power_law import fit_floor_law
from mutransfer.analysis.transfer.optima import Optima
from mutransfer.analysis.types.estimates import Estimate, Floats

# Shape legend: W widths with an optimum, D draws.

# A law that holds is refuted once in fifty. [assumed]
OUTER = 0.01, 0.99
# One or two widths more than parameters do not show how far widths scatter, so as many degrees of
# freedom as this say that they scatter as far as noise moves them. [assumed]
PRIOR_FREEDOM = 4


def floor_law_error(
    group: FittedGroup, optima: Optima, rng: np.random.Generator, num_draws: int
) -> Estimate | None:
    """Return by which share of the loss the law of the smaller sizes misses the largest.

    Args:
        group: The fitted group, over one scale.
        optima: Its optima.
        rng: Generator of the draws.
        num_draws: How many.

    Returns:
        Predicted minus observed loss over the observed one, with a 98 % interval; None where sizes
        are too few, the noise is not measured, or losses are not positive.
    """
    loss_W, freedom = optima.loss[0], len(optima.n) - 1 - NUM_FLOOR_LAW
    noise_W = _noise(group, optima)
    if len(optima.n) <= WIDTHS_FOR_VALUE or noise_W is None or loss_W[-1] <= 0:
        return None
    kept_W = optima.n[:-1]
    law = fit_floor_law(kept_W, loss_W[None, :-1])
    rest_W = loss_W[:-1] - [float(law.at(n)[0]) for n in kept_W]
    noise = float(noise_W.mean())
    # The variance of widths about the law, drawn by chi²: at least that of noise.
    square_D = (PRIOR_FREEDOM * noise + float(rest_W @ rest_W)) / rng.chisquare(
        PRIOR_FREEDOM + freedom, num_draws
    )
    sd_DW = np.sqrt(noise_W + np.maximum(square_D - noise, 0.0)[:, None])
    error_DW = sd_DW * rng.standard_normal(sd_DW.shape)
    drawn = fit_floor_law(kept_W, loss_W[:-1] + error_DW[:, :-1])
    miss_D = drawn.at(float(optima.n[-1])) + error_DW[:, -1] - loss_W[-1]
    low, high = np.quantile(miss_D, OUTER)
    value = float(law.at(float(optima.n[-1]))[0]) - loss_W[-1]
    return Estimate(value, float(low), float(high)).times(1 / float(loss_W[-1]))


def floor_law_warning(error: Estimate | None, optima: Optima, axes: AxisNames) -> str | None:
    """Return a sentence on a law of the loss that does not hold at the largest size, or None."""
    if error is None or error.value is None or error.low is None or error.high is None:
        return None
    if error.low <= 0 <= error.high:
        return None
    direction = "high" if error.value > 0 else "low"
    least = min(abs(error.low), abs(error.high))
    return (
        f"the law of the loss does not hold: without {axes.cell(float(optima.n[-1]))} it predicts "
        f"a loss {format_share(abs(error.value))} too {direction} there, at least "
        f"{format_share(least)} beyond noise, so losses beyond may be off by far more"
    )


def _noise(group: FittedGroup, optima: Optima) -> Floats | None:
    """Return the variance of every best loss, or None where it is not measured."""
    if group.noise is None:
        return None
    if not group.is_of_one_seed:
        return np.asarray(optima.loss[1:].var(axis=0))
    # One seed does not show how far a seed moves a whole curve: as far as a run lies off its curve.
    # [assumed]
    quadratics = [curve.quadratic for curve in group.curves if curve.quadratic is not None]
    return np.array([group.noise.within * (1 + share_in_best_loss(q)) for q in quadratics])
