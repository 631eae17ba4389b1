"""Interactions: pairs of hyperparameters whose best values depend on each other."""

from __future__ import annotations

import numpy as np

from mutransfer.analysis.intervals import central_interval
from mutransfer.analysis.tuning.best_values import NO_NOISE
from mutransfer.analysis.tuning.importance import Importances
from mutransfer.analysis.tuning.noise import SurfaceDraws
from mutransfer.analysis.tuning.surface import Surface
from mutransfer.analysis.tuning.types import Interaction
from mutransfer.analysis.types.estimates import Estimate, Floats

# Shape legend: D draws, H hyperparameters.

STRONG = 0.3  # the correlation from which a valley is visibly rotated [assumed]
UNDETERMINED = "the curvature does not exceed the noise: add samples"


def interactions(
    fit: Surface, draws: SurfaceDraws | None, shares: Importances
) -> tuple[Interaction, ...]:
    """Return the interaction of every pair at one width; none if the fit has no products."""
    names = [coordinate.name for coordinate in fit.table.coordinates]
    own_HH = fit.polynomials.hessian_at(fit.minimum[None])
    drawn_DHH = None if draws is None else draws.polynomials.hessian_at(draws.minimum)
    interactions = []
    for a, b in fit.terms.pairs:
        value = float(_correlation(own_HH, a, b)[0])
        estimate = Estimate(undetermined=UNDETERMINED)
        if np.isfinite(value):
            estimate = Estimate(value, undetermined=NO_NOISE)
            if drawn_DHH is not None:
                drawn_D = _correlation(drawn_DHH, a, b)
                finite_D = drawn_D[np.isfinite(drawn_D)]
                estimate = Estimate(value, undetermined=UNDETERMINED)
                if len(finite_D) >= 0.9 * len(drawn_D):
                    estimate = central_interval(value, finite_D)
        importance = shares.pairs.get((a, b), Estimate(undetermined=UNDETERMINED))
        pair = (names[a], names[b])
        text = _sentence(fit, own_HH[0], a, b, estimate)
        interactions.append(Interaction(pair, estimate, importance, text))
    return tuple(interactions)


def _correlation(hessian_DHH: Floats, a: int, b: int) -> Floats:
    """Return -A_ab / √(A_aa A_bb), the slope of the valley in units of the curvatures."""
    square_D = hessian_DHH[:, a, a] * hessian_DHH[:, b, b]
    is_convex_D = (hessian_DHH[:, a, a] > 0) & (hessian_DHH[:, b, b] > 0)
    ratio_D = -hessian_DHH[:, a, b] / np.sqrt(np.where(is_convex_D, square_D, 1.0))
    # Beyond 1 the surface is a saddle, where the correlation is complete.
    return np.where(is_convex_D, np.clip(ratio_D, -1.0, 1.0), np.nan)


def _sentence(fit: Surface, hessian_HH: Floats, a: int, b: int, estimate: Estimate) -> str | None:
    """Return a sentence on an interaction that matters beyond the noise, or None."""
    value, low, high = estimate.value, estimate.low, estimate.high
    if value is None or low is None or high is None or abs(value) < STRONG or low <= 0 <= high:
        return None
    first, second = fit.table.coordinates[a], fit.table.coordinates[b]
    # How the best b moves where a moves by one octave, or by a tenth of its range.
    slope = -hessian_HH[a, b] / hessian_HH[b, b] * fit.half[b] / fit.half[a]
    step = 1.0 if first.is_log else 0.2 * float(fit.half[a])
    change = "doubles" if first.is_log else f"rises by {step:.2g}"
    if second.is_log:
        effect = f"is multiplied by {2 ** (slope * step):.2g}"
    else:
        effect = f"changes by {slope * step:+.2g}"
    verb = "trade off" if value < 0 else "move together"
    return (
        f"{first.name} and {second.name} {verb}: where {first.name} {change}, the best "
        f"{second.name} {effect}"
    )
