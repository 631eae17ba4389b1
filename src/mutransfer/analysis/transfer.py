"""This file is one group's analysis: curves, optima, drift, sensitivity, regret, verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.fit import Located, locate
from mutransfer.analysis.grid import Cells
from mutransfer.analysis.noise import Drawn, Noise, components, draw
from mutransfer.analysis.regret import estimate_regret, grid_regret
from mutransfer.analysis.types import (
    LN2,
    Curve,
    Estimate,
    Floats,
    GroupReport,
    Optimum,
    Quadratic,
)
from mutransfer.analysis.verdict import decide
from mutransfer.analysis.wording import Words, share

# Shape legend: R rates, W widths, D draws.

LOWER, UPPER = 0.05, 0.95  # of a central 90 % interval
MOST_BAD = 0.1  # share of draws without a minimum that an interval still survives


@dataclass(frozen=True, slots=True)
class Fitted:
    """One group with its optima and their draws.

    Args:
        name: The group.
        located: One optimum per width, rising.
        noise: The noise, or None.
        drawn: One set of draws per width; empty without noise.
        no_interval: Why there is no noise to draw from, or None.
    """

    name: str
    located: tuple[Located, ...]
    noise: Noise | None
    drawn: tuple[Drawn, ...]
    no_interval: str | None


def fit_group(name: str, tables: Sequence[Cells], *, words: Words, draws: int, seed: int) -> Fitted:
    """Locate every width's optimum and draw from the noise around it."""
    located = tuple(locate(cells, words) for cells in tables)
    noise = components(located)
    if noise is None:
        one_seed = max(cells.run.sum(axis=1).max() for cells in tables) < 2
        reason = "one seed" if one_seed else "no two seeds ran the same rates near an optimum"
        return Fitted(name, located, None, (), f"{reason}: add seeds to get an interval")
    # Every group starts afresh, so its draws do not depend on which others there are.
    rng = np.random.default_rng([seed, 0])
    within_D, seed_D = noise.draws(rng, draws)
    drawn = tuple(draw(one, rng, within_D, seed_D) for one in located)
    return Fitted(name, located, noise, drawn, None)


def report_group(group: Fitted, *, threshold: float, words: Words) -> GroupReport:
    """Turn a fitted group into its report."""
    first, last = group.located[0], group.located[-1]
    regret = _regret(group, words)
    verdict, shares, reason = decide(regret, first, last, threshold, words)
    alone = Estimate(undetermined=f"one {words.scale}: add a larger one")
    return GroupReport(
        name=group.name,
        verdict=verdict,
        reason=reason,
        curves=tuple(_curve(one) for one in group.located),
        optimum=tuple(_optimum(group, k, words) for k in range(len(group.located))),
        drift=_drift(group, words),
        sensitivity=_sensitivity(group, words),
        regret=regret,
        regret_share=shares,
        grid_regret=alone if first is last else grid_regret(first, last, words),
        paper_criterion=_paper_criterion(group.located),
    )


def central(value: float, draws_D: Floats) -> Estimate:
    """Put a central 90 % interval around a value."""
    low, high = np.quantile(draws_D, [LOWER, UPPER])
    return Estimate(value, float(low), float(high))


def refused(one: Located, drawn: Drawn, words: Words) -> str | None:
    """Say why the draws of a width give no interval, if they do not."""
    if drawn.bad <= MOST_BAD:
        return None
    return (
        f"the noise hides the minimum {words.at(one.cells.width)} in {share(drawn.bad)} of the "
        f"draws: add seeds, or {words.values} further from the best"
    )


def _refusals(group: Fitted, indices: Sequence[int], words: Words) -> str | None:
    """Give the first reason against an interval that these widths have."""
    if group.no_interval:
        return group.no_interval
    reasons = (refused(group.located[k], group.drawn[k], words) for k in indices)
    return next((reason for reason in reasons if reason), None)


def _regret(group: Fitted, words: Words) -> Estimate:
    """Estimate the regret from the smallest to the largest width."""
    first, last = group.located[0], group.located[-1]
    if first is last:
        return Estimate(undetermined=f"one {words.scale}: add a larger one")
    reason = _refusals(group, [0, -1], words)
    drawn = None if reason else (group.drawn[0], group.drawn[-1])
    return estimate_regret(first, last, drawn, reason, words)


def _optimum(group: Fitted, index: int, words: Words) -> Optimum:
    """Report one width's optimum."""
    one = group.located[index]
    best = one.argmin
    grid = (None, None) if best is None else (one.cells.log2_lr[best], one.cells.mean[best])
    if one.fit is None:
        rate = loss = Estimate(undetermined=one.undetermined)
    elif reason := _refusals(group, [index], words):
        rate = Estimate(one.x / LN2, undetermined=reason)
        loss = Estimate(one.loss, undetermined=reason)
    else:
        drawn = group.drawn[index]
        assert drawn.x is not None
        assert drawn.loss is not None
        rate, loss = central(one.x / LN2, drawn.x / LN2), central(one.loss, drawn.loss)
    return Optimum(
        width=one.cells.width,
        log2_lr=rate,
        loss=loss,
        grid_log2_lr=None if grid[0] is None else float(grid[0]),
        grid_loss=None if grid[1] is None else float(grid[1]),
        edge=one.edge,
    )


def _curve(one: Located) -> Curve:
    """Report one width's losses and the parabola through them."""
    cells, fit = one.cells, one.fit
    parabola = window = None
    if fit is not None:
        parabola = Quadratic(one.x / LN2, one.loss, 2 * float(fit.coefficients[2]))
        ends = cells.log2_lr[fit.window[[0, -1]]]
        window = (float(ends[0]), float(ends[1]))
    return Curve(
        width=cells.width,
        log2_lr=tuple(cells.log2_lr.tolist()),
        loss=tuple(cells.mean.tolist()),
        seeds=cells.seeds,
        seed_losses=tuple(tuple(row) for row in cells.losses.tolist()),
        num_diverged=tuple(cells.diverged.sum(axis=1).tolist()),
        window=window,
        fit=parabola,
        note=None if fit is None else fit.note,
    )


def _slope(log2_width_W: Floats) -> Floats:
    """Give the weights that turn values over widths into a least-squares slope."""
    centered_W = log2_width_W - log2_width_W.mean()
    weights_W: Floats = centered_W / (centered_W**2).sum()
    return weights_W


def _drift(group: Fitted, words: Words) -> Estimate:
    """Fit the slope of log2(best rate) against log2(width)."""
    fitted = [k for k, one in enumerate(group.located) if one.fit is not None]
    lacking = [one.undetermined for one in group.located if one.fit is None]
    if len(group.located) < 2:
        return Estimate(undetermined=f"one {words.scale}: add a larger one")
    if len(fitted) < 2:
        return Estimate(undetermined=lacking[0])
    weights_W = _slope(np.log2([group.located[k].cells.width for k in fitted]))
    value = float(weights_W @ np.array([group.located[k].x for k in fitted]) / LN2)
    if lacking:
        rest = f"the value is from the other {len(fitted)}"
        return Estimate(value, undetermined=f"{lacking[0]}; {rest}")
    if reason := _refusals(group, fitted, words):
        return Estimate(value, undetermined=reason)
    x_WD = np.array([drawn.x for drawn in group.drawn])
    return central(value, weights_W @ x_WD / LN2)


def _sensitivity(group: Fitted, words: Words) -> Estimate:
    """Give the range of the drift when one width is left out."""
    fitted = [one for one in group.located if one.fit is not None]
    if len(fitted) < 3:
        return Estimate(
            undetermined=f"an optimum at fewer than three values of {words.scale}: add some"
        )
    log2_width_W = np.log2([one.cells.width for one in fitted])
    x_W = np.array([one.x for one in fitted]) / LN2
    slopes = [
        float(_slope(np.delete(log2_width_W, k)) @ np.delete(x_W, k)) for k in range(len(fitted))
    ]
    return Estimate(float(_slope(log2_width_W) @ x_W), min(slopes), max(slopes))


def _paper_criterion(located: Sequence[Located]) -> bool | None:
    """Say whether every width has the same best rate on the grid."""
    if len(located) < 2:
        return None
    best = [None if one.argmin is None else float(one.cells.log2_lr[one.argmin]) for one in located]
    return None if None in best else len(set(best)) == 1
