"""Divergence that ends in a finite loss, and single runs far above their siblings.

A run beyond the edge of stability often ends on a plateau, near the loss of an untrained model,
and not at NaN. A parabola through such a loss has its vertex in the middle of the last step below
the edge, wherever the optimum is. These runs count as diverged: their loss is a lower bound, and
no part of the curve. A single spike is left out, so that it neither moves an optimum nor raises
the noise of every width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mutransfer.analysis.curves.fit import TOLERANCE
from mutransfer.analysis.curves.grid import LossGrid
from mutransfer.analysis.types.estimates import Bools, Floats

# Shape legend: R rates, S seeds.

# A parabola rises to the right of its best rate at most as far as it does to the left one step
# further out, and curves that are 2.4 times steeper on the right at most three times as far.
CLIFF_RATIO = 4.0
# The losses of language models rise by a third within one step only where training fails; less may
# be a steep flank, which matters only if it is fitted. [assumed]
CLIFF_SHARE = 0.33
# In standard deviations of the difference of two runs. A normal distribution has none beyond 5, and
# the median of 20 differences is known to a third.
SPIKE_DEVIATIONS = 8.0
MAD_TO_DEVIATION = 1.4826  # of a normal distribution
NEIGHBORS = 2  # rates on either side whose scatter is compared, since noise may grow with the rate
MIN_SPIKE = 1e-3  # as a share of the loss: a tenth of the verdict's usual threshold
NUM_ROUGHNESS = 3  # sets of four rates per width
MAX_SPIKE_SHARE = 0.2  # if there are more, they are the noise [assumed]


def screen_runs(grids: Sequence[LossGrid], window: float) -> list[LossGrid]:
    """Mark the runs of a group that diverged with a finite loss, and those that spiked."""
    excess = [_excess(grid) for grid in grids]
    pooled = _scale([excess_RS.ravel() for excess_RS in excess]) or _roughness(grids)
    spikes = [_spikes(grid, excess_RS, pooled) for grid, excess_RS in zip(grids, excess, strict=True)]
    num_compared = sum(np.isfinite(excess_RS).sum() for excess_RS in excess)
    if sum(spike_RS.sum() for spike_RS in spikes) <= MAX_SPIKE_SHARE * num_compared:
        grids = [replace(grid, spiked=spike_RS) for grid, spike_RS in zip(grids, spikes, strict=True)]
    return [_with_divergence(grid, pooled, window) for grid in grids]


def _roughness(grids: Sequence[LossGrid]) -> float:
    """Return the noise of a difference of two runs, from the curves' deviations from parabolas.

    Only rates up to the best one are used, since those above it may lie beyond a cliff.
    """
    deviations = []
    for grid in grids:
        below = np.flatnonzero(grid.usable)
        below = below[below <= (grid.argmin or 0)]
        for end in range(len(below), max(len(below) - NUM_ROUGHNESS, 3), -1):
            rates = below[end - 4 : end]
            # The one contrast of four points that is zero for every parabola.
            contrast = np.linalg.svd(np.vander(grid.x[rates], 3).T)[2][-1]
            deviations.append(abs(contrast @ grid.mean[rates]))
    return np.sqrt(2) * _scale([np.array(deviations)])


def _excess(grid: LossGrid) -> Floats:
    """Return how far each run lies above the lowest one at its rate; NaN for the lowest itself.

    The median difference between seeds is removed first.
    """
    loss_RS = np.where(grid.finite, grid.losses, np.nan)
    is_compared_R = np.isfinite(loss_RS).sum(axis=1) > 1
    excess_RS = np.full(loss_RS.shape, np.nan)
    if not is_compared_R.any():
        return excess_RS
    compared = loss_RS[is_compared_R]
    rest = compared - np.nanmedian(compared, axis=1, keepdims=True)
    is_seed_S = np.isfinite(rest).any(axis=0)
    rest[:, is_seed_S] -= np.nanmedian(rest[:, is_seed_S], axis=0)
    lowest = np.nanmin(rest, axis=1, keepdims=True)
    is_lowest = np.arange(rest.shape[1]) == np.nanargmin(rest, axis=1)[:, None]
    excess_RS[is_compared_R] = np.where(is_lowest, np.nan, rest - lowest)
    return excess_RS


def _scale(deviations: Sequence[Floats]) -> float:
    """Return a standard deviation that outliers do not change; 0 without any deviation."""
    finite = np.concatenate(deviations)
    finite = finite[np.isfinite(finite)]
    return MAD_TO_DEVIATION * float(np.median(finite)) if len(finite) else 0.0


def _spikes(grid: LossGrid, excess_RS: Floats, pooled: float) -> Bools:
    """Return the runs that lie far above another seed at the same rate."""
    own = max(pooled, _scale([excess_RS.ravel()]))
    rates = np.arange(len(excess_RS))
    local_R = [
        _scale([excess_RS[(np.abs(rates - rate) <= NEIGHBORS) & (rates != rate)].ravel()])
        for rate in rates
    ]
    limit_R = SPIKE_DEVIATIONS * np.maximum(own, local_R)
    limit_R = np.maximum(limit_R, MIN_SPIKE * np.abs(np.where(grid.usable, grid.mean, np.inf)))
    is_spike_RS = excess_RS > limit_R[:, None]
    # If most seeds are high at a rate, then the rate is, and not the seeds.
    is_spike_RS &= (is_spike_RS.sum(axis=1) <= grid.finite.sum(axis=1) / 2)[:, None]
    return is_spike_RS


def _with_divergence(grid: LossGrid, scale: float, window: float) -> LossGrid:
    """Mark the runs beyond a cliff above the best rate as diverged."""
    cliff = _cliff(grid, scale, window)
    best = grid.argmin
    if best is None:
        return grid
    is_plateau_RS = np.zeros(grid.losses.shape, dtype=np.bool_)
    if cliff is not None:
        is_plateau_RS[cliff:] = np.isfinite(grid.losses[cliff:])
    # Of the seeds at the edge some may diverge and others not.
    edge = cliff if cliff is not None else int(np.flatnonzero(grid.usable)[-1]) + 1
    height = (1 + CLIFF_SHARE) * grid.mean[best]
    if cliff is not None:
        height = (grid.mean[best] + np.nanmin(grid.mean[cliff:])) / 2
    for rate in range(edge - 1, best - 1, -1):
        is_high_S = grid.spiked[rate] & (grid.losses[rate] > height)
        if not is_high_S.any():
            break
        is_plateau_RS[rate] = is_high_S
    return replace(grid, plateau=is_plateau_RS, spiked=grid.spiked & ~is_plateau_RS)


def _cliff(grid: LossGrid, scale: float, window: float) -> int | None:
    """Return the index of the first rate beyond a cliff, or None."""
    best = grid.argmin
    if best is None:
        return None
    usable = np.flatnonzero(grid.usable)
    x_U, mean_U = grid.x[usable], grid.mean[usable]
    center = int(np.flatnonzero(usable == best)[0])
    right_U, left_U = np.diff(mean_U[center:]), -np.diff(mean_U[: center + 1])[::-1]
    distance_U = x_U[center] - x_U[:center][::-1]
    untrained = np.nanmin(grid.untrained, initial=np.inf)
    for k, step in enumerate(right_U):
        rate = center + k + 1
        reach = 2 * x_U[rate] - x_U[rate - 1] - x_U[center]
        references = [*right_U[:k], *left_U[distance_U <= reach + TOLERANCE]]
        is_cliff = step > CLIFF_RATIO * (max(references, default=0.0) + 2 * scale)
        # With fewer than two steps to compare, the curve's shape is unknown.
        is_fitted = k == 0 or x_U[rate] - x_U[center] <= window + TOLERANCE
        if len(references) < 2 or not is_fitted:
            is_cliff &= step > CLIFF_SHARE * abs(mean_U[center])
        is_cliff |= mean_U[rate] > untrained
        # Beyond a cliff every rate fails; a loss that falls again was a spike.
        if is_cliff and mean_U[rate:].min() > (mean_U[rate] + mean_U[rate - 1]) / 2:
            return int(usable[rate])
    return None
