"""This file is one group's report: optima, drift, regret, verdict, and how it scales."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mutransfer.analysis.curves.fit import Located
from mutransfer.analysis.curves.group import Fitted, refusals, samples
from mutransfer.analysis.format import Words
from mutransfer.analysis.intervals import sampled, widened
from mutransfer.analysis.laws.power_law import power_law
from mutransfer.analysis.transfer.regret import estimate_regret, grid_regret, share_of
from mutransfer.analysis.transfer.scaling import Optima, scaling
from mutransfer.analysis.transfer.verdict import decide
from mutransfer.analysis.types.estimates import LN2, Curve, Estimate, Optimum, Quadratic
from mutransfer.analysis.types.report import GroupReport
from mutransfer.analysis.types.scaling import CarriedRegret


def report_group(
    group: Fitted, found: Optima, *, threshold: float, gap: Estimate, words: Words
) -> GroupReport:
    """Turn a fitted group into its report."""
    matrix = _regret_matrix(group, found, words)
    most = _from_smallest_to_largest(group, matrix, words)
    verdict, reason = decide(most, group.located, threshold, words)
    return GroupReport(
        name=group.name,
        verdict=verdict,
        reason=reason,
        curves=tuple(_curve(one) for one in group.located),
        optimum=tuple(_optimum(group, k, found, words) for k in range(len(group.located))),
        drift=_drift(group, found, words),
        sensitivity=_sensitivity(found, words),
        regret=most.regret,
        regret_share=most.share,
        regret_matrix=matrix,
        grid_regret=most.grid,
        paper_criterion=_paper_criterion(group.located),
        scaling=scaling(group, found, words),
        R_inf=gap,
        saved=_saved(group.located, words),
    )


def _regret_matrix(group: Fitted, found: Optima, words: Words) -> tuple[CarriedRegret, ...]:
    """Estimate the regret of every width's best rate at every larger width."""
    indices = range(len(group.located))
    return tuple(
        _carried(group, proxy, target, words, skewed=found.bent is not None)
        for proxy in indices
        for target in indices
        if target > proxy
    )


def _from_smallest_to_largest(
    group: Fitted, matrix: tuple[CarriedRegret, ...], words: Words
) -> CarriedRegret:
    """Choose the regret that the verdict is about."""
    ends = group.located[0].cells.width, group.located[-1].cells.width
    alone = Estimate(undetermined=f"one {words.scale}: add a larger one")
    chosen = (one for one in matrix if (one.proxy, one.target) == ends)
    return next(chosen, CarriedRegret(*ends, alone, alone, alone))


def _carried(
    group: Fitted, proxy: int, target: int, words: Words, *, skewed: bool
) -> CarriedRegret:
    """Estimate the regret of one width's best rate at a larger one."""
    source, aim = group.located[proxy], group.located[target]
    reason = refusals(group, [proxy, target], words)
    drawn = None if reason else (group.drawn[proxy], group.drawn[target])
    regret = estimate_regret(source, aim, drawn, reason, words, skewed=skewed)
    return CarriedRegret(
        proxy=source.cells.width,
        target=aim.cells.width,
        regret=regret,
        share=share_of(regret, aim, words),
        grid=grid_regret(source, aim, words),
    )


def _optimum(group: Fitted, index: int, scaled: Optima, words: Words) -> Optimum:
    """Report one width's optimum."""
    one = group.located[index]
    best = one.argmin
    grid = (None, None) if best is None else (one.cells.log2_lr[best], one.cells.mean[best])
    if one.fit is None:
        rate = loss = curvature = Estimate(undetermined=one.undetermined)
    else:
        found, reason = samples(group, index), refusals(group, [index], words)
        rate = widened(sampled(found.x / LN2, reason), scaled.skew)
        loss, curvature = (
            sampled(found.loss, reason),
            sampled(found.curvature, reason or scaled.bent),
        )
    return Optimum(
        width=one.cells.width,
        log2_lr=rate,
        loss=loss,
        curvature=curvature,
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


def _drift(group: Fitted, found: Optima, words: Words) -> Estimate:
    """Fit the slope of log2(best rate) against log2(width)."""
    lacking = [one.undetermined for one in group.located if one.fit is None]
    if len(group.located) < 2:
        return Estimate(undetermined=f"one {words.scale}: add a larger one")
    if found.rate_law is None:
        return Estimate(undetermined=lacking[0])
    reason = found.no_draws
    if lacking:
        reason = f"{lacking[0]}; the value is from the other {len(found.n)}"
    return sampled(found.rate_law.slope, reason)


def _sensitivity(found: Optima, words: Words) -> Estimate:
    """Give the range of the drift when one width is left out."""
    if len(found.n) < 3 or found.rate_law is None:
        return Estimate(
            undetermined=f"an optimum at fewer than three values of {words.scale}: add some"
        )
    own = found.x[:1]
    slopes = [
        float(power_law(np.delete(found.n, k), np.delete(own, k, axis=1)).slope[0])
        for k in range(len(found.n))
    ]
    return Estimate(float(found.rate_law.slope[0]), min(slopes), max(slopes))


def _paper_criterion(located: Sequence[Located]) -> bool | None:
    """Say whether every width has the same best rate on the grid."""
    if len(located) < 2:
        return None
    best = [None if one.argmin is None else float(one.cells.log2_lr[one.argmin]) for one in located]
    return None if None in best else len(set(best)) == 1


def _saved(located: Sequence[Located], words: Words) -> Estimate:
    """Give the share of FLOPs that a sweep at the smallest width saves, if it decides for all.

    Tuned there and trained once at the largest, against the same sweep at the largest.
    """
    first, last = located[0].cells, located[-1].cells
    if first.width == last.width:
        return Estimate(undetermined=f"one {words.scale}: add a larger one")
    if not np.isfinite(first.flops + last.flops):
        return Estimate(
            undetermined="the trials' FLOPs are not recorded: add a column flops, or params and "
            "tokens"
        )
    trials = int((first.run | first.diverged).sum())
    return Estimate(1 - (trials * first.flops + last.flops) / (trials * last.flops))
