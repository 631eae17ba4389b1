"""Divergence that ends in a finite loss, and single runs far above the others.

A run beyond the edge of stability often ends on a plateau, near the loss of an untrained model,
and not at NaN. A parabola through such a loss has its vertex in the middle of the last step below
the edge, wherever the optimum is. These runs count as diverged: their loss is known, but no part
of the curve. A single spike is left out, so that it neither moves an optimum nor raises the noise
of every width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mutransfer.analysis.curves.fit import TOLERANCE
from mutransfer.analysis.curves.grid import LossGrid
from mutransfer.analysis.format import AxisNames, format_rate, format_value
from mutransfer.analysis.types.estimates import Bools, Floats

# Shape legend: R rates, U usable rates, S seeds.

# Curves that are 2.4 times as steep one octave above the best rate as one below rise three times as
# much at octave steps as a parabola at most does. [measured: benchmarks/robustness.md]
CLIFF_RATIO = 4.0
PLATEAU_RATIO = 1.5  # where the next step is flat, as no convex curve is
# The losses of language models rise by a third within one step only where training fails; less may
# be a steep flank, which matters only if it is fitted. [assumed]
CLIFF_SHARE = 0.33
# With fewer than two steps to compare, the curve's shape is unknown. A parabola's minimum then lies
# up to an eighth of the rise below all losses: no more than the verdict's usual threshold may.
UNKNOWN_SHARE = 0.08
# In standard deviations of the difference of two runs. A normal distribution has none beyond 5, and
# the median of 20 differences is known to a third.
SPIKE_DEVIATIONS = 8.0
MAD_TO_DEVIATION = 1.4826  # of a normal distribution
NEIGHBORS = 2  # rates on either side whose scatter is compared, since noise may grow with the rate
MIN_SPIKE = 1e-3  # as a share of the loss: a tenth of the verdict's usual threshold
MAX_SPIKE_SHARE = 0.2  # if there are more, they are the noise [assumed]
NUM_CONTRASTS = 3  # sets of four rates per width that the noise of single seeds is estimated from
MAX_NAMED = 3  # spikes that notes name one by one
MAX_PLACES = 8  # widths or rates that a note lists in full


def screen_runs(grids: Sequence[LossGrid], axes: AxisNames, window: float) -> list[LossGrid]:
    """Mark the runs of a group that diverged with a finite loss, and those that spiked.

    Args:
        grids: One per width.
        axes: Names of the scale and of the hyperparameter.
        window: Half-width, in ln(rate), of the range of rates that a parabola is fitted to.
    """
    excess = [_excess(grid) for grid in grids]
    # Seeds that failed scatter by more than noise does.
    sound = [
        np.where(_has_failed(g)[:, None], np.nan, e) for g, e in zip(grids, excess, strict=True)
    ]
    noise = _deviation(sound) or _roughness(grids)
    num_compared = sum(int(np.isfinite(excess_RS).sum()) for excess_RS in excess)
    spikes = [_seed_spikes(g, excess_RS, noise) for g, excess_RS in zip(grids, excess, strict=True)]
    grids = _with_spikes(grids, spikes, num_compared)
    num_usable = sum(int(grid.finite[grid.usable].sum()) for grid in grids)
    grids = _with_spikes(grids, [_rate_spikes(grid, noise) for grid in grids], num_usable)
    grids = [_with_plateau(grid, noise, window) for grid in grids]
    notes = [_spike_note(grid, axes) for grid in grids]
    notes[0] = [*_plateau_note(grids, axes), *notes[0]]
    noted = [replace(grid, screened=tuple(note)) for grid, note in zip(grids, notes, strict=True)]
    return [g.at_rates(np.asarray(~g.spiked.any(axis=1) | g.finite.any(axis=1))) for g in noted]


def _with_spikes(
    grids: Sequence[LossGrid], spikes: Sequence[Bools], num_compared: int
) -> list[LossGrid]:
    """Mark the spikes, unless there are so many that they are the noise."""
    if sum(int(spike_RS.sum()) for spike_RS in spikes) > MAX_SPIKE_SHARE * num_compared:
        return list(grids)
    return [
        replace(grid, spiked=grid.spiked | spike_RS)
        for grid, spike_RS in zip(grids, spikes, strict=True)
    ]


def _deviation(deviations: Sequence[Floats]) -> float:
    """Return a standard deviation that outliers do not change; 0 without any deviation."""
    finite = np.concatenate([values[np.isfinite(values)] for values in deviations])
    return MAD_TO_DEVIATION * float(np.median(finite)) if len(finite) else 0.0


def _failed_loss(lowest: float) -> float:
    """Return the loss above which training fails, if the rate is larger than the best one."""
    return lowest + CLIFF_SHARE * abs(lowest)


def _has_failed(grid: LossGrid) -> Bools:
    """Return the rates above the best one at which training fails."""
    if grid.argmin is None:
        return np.zeros(len(grid.log2_lr), dtype=np.bool_)
    is_sound_R = grid.mean <= _failed_loss(float(grid.mean[grid.argmin]))
    is_sound_R[: grid.argmin] = True
    return np.asarray(~is_sound_R)


def _excess(grid: LossGrid) -> Floats:
    """Return how far each run lies above the lowest one at its rate; NaN for the lowest itself.

    The median difference between seeds is removed first.
    """
    excess_RS = np.full(grid.losses.shape, np.nan)
    is_compared_R = grid.finite.sum(axis=1) > 1
    if not is_compared_R.any():
        return excess_RS
    loss_RS = np.where(grid.finite, grid.losses, np.nan)[is_compared_R]
    rest_RS = loss_RS - np.nanmedian(loss_RS, axis=1, keepdims=True)
    was_run_S = np.isfinite(rest_RS).any(axis=0)
    rest_RS[:, was_run_S] -= np.nanmedian(rest_RS[:, was_run_S], axis=0)
    is_lowest_RS = np.arange(rest_RS.shape[1]) == np.nanargmin(rest_RS, axis=1)[:, None]
    lowest_R = np.nanmin(rest_RS, axis=1, keepdims=True)
    excess_RS[is_compared_R] = np.where(is_lowest_RS, np.nan, rest_RS - lowest_R)
    return excess_RS


def _seed_spikes(grid: LossGrid, excess_RS: Floats, noise: float) -> Bools:
    """Return the runs that lie far from the other seeds at the same rate."""
    rates = np.arange(len(excess_RS))
    own = max(noise, _deviation([excess_RS]))
    local_R = [
        _deviation([excess_RS[(np.abs(rates - rate) <= NEIGHBORS) & (rates != rate)]])
        for rate in rates
    ]
    limit_R = SPIKE_DEVIATIONS * np.maximum(own, local_R)
    limit_R = np.maximum(limit_R, MIN_SPIKE * np.abs(np.where(grid.usable, grid.mean, np.inf)))
    is_spike_RS = excess_RS > limit_R[:, None]
    is_low_RS = grid.finite & ~is_spike_RS
    num_high_R, num_low_R = is_spike_RS.sum(axis=1), is_low_RS.sum(axis=1)
    for rate in np.flatnonzero(num_high_R).tolist():
        # Training fails upwards, so of two seeds the higher one is the outlier, unless it is the
        # one that the neighboring rates agree with.
        if num_low_R[rate] < num_high_R[rate] or (
            num_low_R[rate] == num_high_R[rate] == 1 and _is_low_odd(grid, rate)
        ):
            is_spike_RS[rate] = is_low_RS[rate]
    # If most runs of a seed are high, so is its median, and its sound runs seem low.
    kept_RS = grid.finite & ~is_spike_RS
    sum_R = np.where(kept_RS, grid.losses, 0.0).sum(axis=1)
    rest_R = sum_R / np.maximum(kept_RS.sum(axis=1), 1)
    return np.asarray(is_spike_RS & (np.abs(grid.losses - rest_R[:, None]) > limit_R[:, None]))


def _is_low_odd(grid: LossGrid, rate: int) -> bool:
    """Whether the higher of two runs lies on a cubic through the four nearest rates."""
    others = np.flatnonzero(grid.usable & (np.arange(len(grid.log2_lr)) != rate))
    near = others[np.argsort(np.abs(grid.x[others] - grid.x[rate]), kind="stable")[:4]]
    if len(near) < 4 or not near.min() < rate < near.max():
        return False
    expected = np.polyval(np.polyfit(grid.x[near] - grid.x[rate], grid.mean[near], 3), 0.0)
    low, high = np.sort(grid.losses[rate][grid.finite[rate]])
    return bool(abs(high - expected) < abs(low - expected) / 3)


def _roughness(grids: Sequence[LossGrid]) -> float:
    """Return the noise of a difference of two runs, from the curves' deviations from parabolas.

    Only rates up to the best one are used, since those above it may lie beyond a cliff.
    """
    deviations = []
    for grid in grids:
        below = np.flatnonzero(grid.usable)
        below = below[below <= (grid.argmin or 0)]
        for end in range(len(below), max(len(below) - NUM_CONTRASTS, 3), -1):
            rates = below[end - 4 : end]
            # The one contrast of four losses that is zero for every parabola.
            contrast = np.linalg.svd(np.vander(grid.x[rates], 3).T)[2][-1]
            deviations.append(abs(float(contrast @ grid.mean[rates])))
    return float(np.sqrt(2.0)) * _deviation([np.array(deviations)])


def _rate_spikes(grid: LossGrid, noise: float) -> Bools:
    """Return the runs at rates whose mean lies far above that at both neighboring rates."""
    is_spike_RS = np.zeros(grid.losses.shape, dtype=np.bool_)
    usable, mean_U = np.flatnonzero(grid.usable), grid.mean[grid.usable]
    if not noise or len(usable) < 3:
        return is_spike_RS
    excess_U = mean_U[1:-1] - np.maximum(mean_U[:-2], mean_U[2:])
    # What several seeds agree on is no accident, unless training failed.
    share_U = np.where(grid.finite[usable[1:-1]].sum(axis=1) > 1, UNKNOWN_SHARE, MIN_SPIKE)
    limit_U = np.maximum(SPIKE_DEVIATIONS * noise, share_U * np.abs(mean_U[1:-1]))
    # Where training fails at all larger rates too, a high loss is the edge of a plateau.
    is_plateau_U = np.logical_and.accumulate(_has_failed(grid)[usable][::-1])[::-1][1:-1]
    is_spike_RS[usable[1:-1][(excess_U > limit_U) & ~is_plateau_U]] = True
    return np.asarray(is_spike_RS & grid.finite)


def _with_plateau(grid: LossGrid, noise: float, window: float) -> LossGrid:
    """Mark the runs beyond a cliff above the best rate as diverged, and drop rates without runs."""
    best, cliff = grid.argmin, _cliff(grid, noise, window)
    if best is None:
        return grid
    lowest = float(grid.mean[best])
    is_plateau_RS = np.zeros(grid.losses.shape, dtype=np.bool_)
    edge, height = int(np.flatnonzero(grid.usable)[-1]) + 1, _failed_loss(lowest)
    if cliff is not None:
        edge, height = cliff, (lowest + float(np.nanmin(grid.mean[cliff:]))) / 2
        is_plateau_RS[cliff:] = np.isfinite(grid.losses[cliff:])
    # At the edge itself some seeds may diverge and others not.
    for rate in range(edge - 1, best, -1):
        is_high_S = grid.spiked[rate] & (grid.losses[rate] > height)
        if not is_high_S.any():
            break
        is_plateau_RS[rate] = is_high_S
    return replace(grid, plateau=is_plateau_RS, spiked=grid.spiked & ~is_plateau_RS)


def _cliff(grid: LossGrid, noise: float, window: float) -> int | None:
    """Return the index of the first rate beyond a cliff, or None."""
    best, usable = grid.argmin, np.flatnonzero(grid.usable)
    if best is None:
        return None
    x_U, mean_U = grid.x[usable], grid.mean[usable]
    center = int(np.flatnonzero(usable == best)[0])
    rise_right, rise_left = np.diff(mean_U[center:]), -np.diff(mean_U[: center + 1])[::-1]
    # A parabola rises by one bend more at every step, and to the right first by one at most.
    bend = float(rise_left[1] - rise_left[0]) if len(rise_left) > 1 else 0.0
    untrained = np.nanmin(grid.untrained, initial=np.inf)
    for k, rise in enumerate(rise_right):
        rate = center + k + 1
        is_flat_after = k + 1 < len(rise_right) and rise_right[k + 1] < rise / 4
        ratio = PLATEAU_RATIO if is_flat_after else CLIFF_RATIO
        expected = max([*rise_right[:k], *rise_left[:1], (k + 1) * bend])
        is_cliff = rise > ratio * (expected + 2 * noise)
        share = UNKNOWN_SHARE if len(rise_left) < 2 and k == 0 else 0.0
        if center == 0 or (k > 0 and x_U[rate] - x_U[center] > window + TOLERANCE):
            share = CLIFF_SHARE
        is_cliff &= rise > share * abs(mean_U[center])
        # Beyond a cliff every rate fails; a loss that falls again was a spike. A plateau may fall
        # too, but not below a loss at which training fails.
        middle = (mean_U[rate] + mean_U[rate - 1]) / 2
        is_lasting = mean_U[rate:].min() > min(middle, _failed_loss(mean_U[center]))
        is_untrained = mean_U[rate] > untrained > mean_U[center]
        if (is_cliff or is_untrained) and is_lasting:
            return int(usable[rate])
    return None


def _plateau_note(grids: Sequence[LossGrid], axes: AxisNames) -> list[str]:
    """Return a sentence on the plateaus of all widths, if there are any."""
    widths: dict[float, list[str]] = {}
    losses, best = [], []
    for grid in grids:
        if grid.plateau.any():
            first = int(np.flatnonzero(grid.plateau.any(axis=1))[0])
            name = axes.cell(*grid.sizes) if axes.further else format_value(grid.width)
            widths.setdefault(float(grid.log2_lr[first]), []).append(name)
            losses.append(float(grid.losses[first][grid.plateau[first]].max()))
            best.append(float(np.nanmin(grid.mean)))
    if not widths:
        return []
    scale, separator = ("", "; ") if axes.further else (f"{axes.scale} ", ", ")
    places = [
        f"{format_rate(rate)} at {scale}{separator.join(_few(names))}"
        for rate, names in widths.items()
    ]
    where = " and ".join(_few(places))
    at_least, at_most = (" or more", " or less") if len(losses) > 1 else ("", "")
    return [
        f"the loss jumps to {min(losses):.4g}{at_least} at {where}, while the best is "
        f"{max(best):.4g}{at_most}: runs from there on are treated as diverged"
    ]


def _few(names: Sequence[str]) -> list[str]:
    """Return the first names and the number of the others: several scales have many cells."""
    if len(names) <= MAX_PLACES:
        return list(names)
    return [*names[:MAX_NAMED], f"{len(names) - MAX_NAMED} more"]


def _spike_note(grid: LossGrid, axes: AxisNames) -> list[str]:
    """Return a sentence on the outliers of one width, if there are any."""
    spikes = [
        text
        for rate in np.flatnonzero(grid.spiked.any(axis=1)).tolist()
        for text in _spike_texts(grid, rate)
    ]
    if not spikes:
        return []
    more = f"; and {len(spikes) - MAX_NAMED} more" if len(spikes) > MAX_NAMED else ""
    verb = "is an outlier and is" if len(spikes) == 1 else "are outliers and are"
    named = "; ".join(spikes[:MAX_NAMED])
    return [f"{axes.at(*grid.sizes)}, {named}{more} {verb} left out"]


def _spike_texts(grid: LossGrid, rate: int) -> list[str]:
    """Name the outliers at a rate, with their losses and those that they are compared with."""
    where, others = format_rate(grid.log2_lr[rate]), grid.losses[rate][grid.finite[rate]]
    if len(others):
        rest = f"other seeds: {others.min():.4g} to {others.max():.4g}"
        if len(others) == 1:
            rest = f"other seed: {others[0]:.4g}"
        return [
            f"the loss of {loss:.4g} at {where}, seed {seed} ({rest})"
            for loss, seed, is_spike in zip(
                grid.losses[rate], grid.seeds, grid.spiked[rate], strict=True
            )
            if is_spike
        ]
    loss = float(grid.losses[rate][grid.spiked[rate]].mean())
    usable = np.flatnonzero(grid.usable)
    sides = usable[usable < rate][-1:], usable[usable > rate][:1]
    rest = " and ".join(f"{grid.mean[k]:.4g}" for side in sides for k in side)
    return [f"the loss of {loss:.4g} at {where} (neighboring rates: {rest})"]
