"""This file is learning-rate sensitivity: what a rate chosen blindly costs at each width."""

from __future__ import annotations

import numpy as np

from mutransfer.analysis.curves.fit import Located
from mutransfer.analysis.curves.group import Fitted, refusals
from mutransfer.analysis.format import Words, rate
from mutransfer.analysis.intervals import sampled
from mutransfer.analysis.transfer.regret import SAME_RATE
from mutransfer.analysis.types.estimates import Estimate, Floats
from mutransfer.analysis.types.scaling import WidthEstimate

# Shape legend: R rates, S samples (the data first, then the draws).


def lr_sensitivity(group: Fitted, words: Words) -> tuple[WidthEstimate, ...]:
    """Average min(loss, untrained loss) - best loss over the rates tried at every width.

    The average is over ln(rate), by trapezoids between the rates that were tried
    (arXiv:2309.14322). A diverged run counts as the untrained loss.
    """
    tried = [one.cells.x for one in group.located]
    low, high = max(float(x[0]) for x in tried), min(float(x[-1]) for x in tried)
    return tuple(
        WidthEstimate(one.cells.width, _at_width(group, k, (low, high), words))
        for k, one in enumerate(group.located)
    )


def _at_width(group: Fitted, index: int, ends: tuple[float, float], words: Words) -> Estimate:
    """Estimate the sensitivity at one width."""
    one = group.located[index]
    low, high = ends
    cells = one.cells
    within_R = (cells.x >= low - SAME_RATE) & (cells.x <= high + SAME_RATE)
    if one.fit is None:
        return Estimate(undetermined=one.undetermined)
    if within_R.sum() < 3 or high <= low:
        return Estimate(
            undetermined=f"fewer than three {words.values} are tried at every {words.scale}: "
            "give all of them the same ones"
        )
    unknown_R = within_R & ~cells.usable & ~np.isfinite(cells.floor)
    if unknown_R.any():
        told = f"{rate(cells.log2_lr[unknown_R][0])} diverged {words.at(cells.width)}"
        return Estimate(undetermined=f"{told}, and the untrained loss is not recorded")
    reason = refusals(group, [index], words)
    mean_SR, best_S = cells.mean[None], np.array([one.loss])
    if reason is None:
        drawn = group.drawn[index]
        assert drawn.loss is not None
        mean_SR = np.concatenate([mean_SR, drawn.mean])
        best_S = np.concatenate([best_S, drawn.loss])
    return sampled(_average(one, mean_SR, within_R, (low, high)) - best_S, reason)


def _average(
    one: Located, mean_SR: Floats, within_R: np.ndarray, ends: tuple[float, float]
) -> Floats:
    """Average losses over ln(rate), cut off at the untrained loss."""
    cells = one.cells
    loss_SR = np.where(cells.usable, mean_SR, cells.floor)
    known = cells.untrained[np.isfinite(cells.untrained)]
    if len(known):
        loss_SR = np.minimum(loss_SR, known.mean())
    x_R = np.clip(cells.x[within_R], *ends)
    average_S: Floats = np.trapezoid(loss_SR[:, within_R], x_R, axis=1) / (x_R[-1] - x_R[0])
    return average_S
