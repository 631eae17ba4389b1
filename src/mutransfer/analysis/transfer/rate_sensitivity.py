"""Learning-rate sensitivity: the mean excess loss of an untuned rate at each width."""

from __future__ import annotations

import numpy as np

from mutransfer.analysis.curves.grid import LossGrid
from mutransfer.analysis.curves.group import FittedGroup, no_draws_reason
from mutransfer.analysis.format import AxisNames, format_power
from mutransfer.analysis.intervals import estimate
from mutransfer.analysis.transfer.regret import SAME_RATE
from mutransfer.analysis.types.estimates import Bools, Estimate, Floats
from mutransfer.analysis.types.scaling import WidthEstimate

# Shape legend: R rates, S samples (the data first, then the draws).


def lr_sensitivity(group: FittedGroup, axes: AxisNames) -> tuple[WidthEstimate, ...]:
    """Average min(loss, untrained loss) - best loss over the rates tried at every width.

    The average is over ln(rate), by trapezoids between the rates that were tried
    (arXiv:2309.14322). A diverged run counts as the untrained loss.
    """
    x = [curve.grid.x for curve in group.curves]
    ends = max(float(x_R[0]) for x_R in x), min(float(x_R[-1]) for x_R in x)
    return tuple(
        WidthEstimate(curve.grid.width, _sensitivity(group, k, ends, axes))
        for k, curve in enumerate(group.curves)
    )


def _sensitivity(
    group: FittedGroup, index: int, ends: tuple[float, float], axes: AxisNames
) -> Estimate:
    """Estimate the sensitivity at one width."""
    curve = group.curves[index]
    grid, (low, high), quadratic = curve.grid, ends, curve.quadratic
    if quadratic is None:
        return Estimate(undetermined=curve.undetermined)
    is_common_R = (grid.x >= low - SAME_RATE) & (grid.x <= high + SAME_RATE)
    if is_common_R.sum() < 3 or high <= low:
        text = f"fewer than three {axes.rates} are common to every {axes.scale}: try the same ones"
        return Estimate(undetermined=text)
    no_loss_R = is_common_R & ~grid.usable & ~np.isfinite(grid.lower_bound)
    if no_loss_R.any():
        text = f"{format_power(grid.log2_lr[no_loss_R][0])} diverged {axes.at(*grid.sizes)}"
        return Estimate(undetermined=f"{text}, and the untrained loss is not recorded")
    reason = no_draws_reason(group, [index], axes)
    mean_SR, best_S = grid.mean[None], np.array([quadratic.best_loss])
    if reason is None:
        draws = group.draws[index]
        mean_SR = np.concatenate([mean_SR, draws.mean])
        best_S = np.concatenate([best_S, draws.loss])
    return estimate(_average(grid, mean_SR, is_common_R, ends) - best_S, reason)


def _average(
    grid: LossGrid, mean_SR: Floats, is_common_R: Bools, ends: tuple[float, float]
) -> Floats:
    """Average losses over ln(rate), capped at the untrained loss."""
    loss_SR = np.where(grid.usable, mean_SR, grid.lower_bound)
    untrained = grid.untrained[np.isfinite(grid.untrained)]
    if len(untrained):
        loss_SR = np.minimum(loss_SR, untrained.mean())
    x_R = np.clip(grid.x[is_common_R], *ends)
    average_S: Floats = np.trapezoid(loss_SR[:, is_common_R], x_R, axis=1) / (x_R[-1] - x_R[0])
    return average_S
