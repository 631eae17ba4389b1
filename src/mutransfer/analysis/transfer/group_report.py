"""The report of one group: optima, drift, regret, verdict, scaling and the compute saved."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from mutransfer.analysis.curves.fit import CurveFit
from mutransfer.analysis.curves.group import FittedGroup, no_draws_reason, optimum_samples
from mutransfer.analysis.format import AxisNames
from mutransfer.analysis.intervals import estimate, widen_by_skew
from mutransfer.analysis.transfer.drift import drift, drift_sensitivity, has_same_grid_optimum
from mutransfer.analysis.transfer.optima import Optima
from mutransfer.analysis.transfer.regret import estimate_regret, grid_regret, share_of_loss
from mutransfer.analysis.transfer.scaling import scaling
from mutransfer.analysis.transfer.stability import stability
from mutransfer.analysis.transfer.verdict import decide
from mutransfer.analysis.types.estimates import LN2, Curve, Estimate, Optimum, Quadratic
from mutransfer.analysis.types.report import GroupReport
from mutransfer.analysis.types.scaling import CarriedRegret


def group_report(
    group: FittedGroup,
    optima: Optima,
    *,
    threshold: float,
    gap: Estimate,
    axes: AxisNames,
    loss_unit: str | None,
) -> GroupReport:
    """Build the report of a fitted group."""
    matrix = _regret_matrix(group, optima, axes)
    ends = group.curves[0].grid.width, group.curves[-1].grid.width
    missing = Estimate(undetermined=axes.only(ends[0]))
    largest = next(
        (pair for pair in matrix if (pair.proxy, pair.target) == ends),
        CarriedRegret(*ends, missing, missing, missing),
    )
    verdict, reason = decide(
        largest, group.curves, threshold, axes, loss_unit, is_of_one_seed=group.is_of_one_seed
    )
    return GroupReport(
        name=group.name,
        verdict=verdict,
        reason=reason,
        curves=tuple(_curve(curve) for curve in group.curves),
        optimum=tuple(_optimum(group, k, optima, axes) for k in range(len(group.curves))),
        drift=drift(group, optima, axes),
        sensitivity=drift_sensitivity(optima, axes),
        regret=largest.regret,
        regret_share=largest.share,
        regret_matrix=matrix,
        grid_regret=largest.grid,
        paper_criterion=has_same_grid_optimum(group.curves),
        scaling=scaling(group, optima, axes),
        R_inf=gap,
        saved=_compute_saved(group.curves, axes),
        stability=stability(group, axes),
    )


def _regret_matrix(
    group: FittedGroup, optima: Optima, axes: AxisNames
) -> tuple[CarriedRegret, ...]:
    """Estimate the regret of every width's best rate at every larger width."""
    matrix = []
    for proxy, target in combinations(range(len(group.curves)), 2):
        small, large = group.curves[proxy], group.curves[target]
        reason = no_draws_reason(group, [proxy, target], axes)
        draws = None if reason else (group.draws[proxy], group.draws[target])
        estimated = estimate_regret(
            small, large, draws, reason, axes, shifts=optima.shifts, weight=optima.regret_weight
        )
        parts = (estimated.regret, estimated.of_noise, estimated.of_spacing)
        share, *shares = (share_of_loss(part, large, axes) for part in parts)
        widths, grid = (small.grid.width, large.grid.width), grid_regret(small, large, axes)
        matrix.append(CarriedRegret(*widths, estimated.regret, share, grid, *shares))
    return tuple(matrix)


def _optimum(group: FittedGroup, index: int, optima: Optima, axes: AxisNames) -> Optimum:
    """Build the report of one width's optimum."""
    curve = group.curves[index]
    grid, best = curve.grid, curve.argmin
    log2_lr = loss = curvature = Estimate(undetermined=curve.undetermined)
    if curve.quadratic is not None:
        x_S, loss_S, curvature_S = optimum_samples(group, index)
        reason = no_draws_reason(group, [index], axes)
        log2_lr = widen_by_skew(estimate(x_S / LN2, reason), optima.skew)
        loss = estimate(loss_S, reason or group.no_loss_interval)
        curvature = estimate(curvature_S, reason or optima.skew_reason)
    return Optimum(
        width=grid.width,
        log2_lr=log2_lr,
        loss=loss,
        curvature=curvature,
        grid_log2_lr=None if best is None else float(grid.log2_lr[best]),
        grid_loss=None if best is None else float(grid.mean[best]),
        edge=curve.edge,
    )


def _curve(curve: CurveFit) -> Curve:
    """Build the report of one width's losses and the parabola through them."""
    grid, quadratic = curve.grid, curve.quadratic
    parabola = window = None
    if quadratic is not None:
        parabola = Quadratic(quadratic.optimum / LN2, quadratic.best_loss, quadratic.curvature)
        low, high = grid.log2_lr[quadratic.window[[0, -1]]]
        window = (float(low), float(high))
    return Curve(
        width=grid.width,
        log2_lr=tuple(grid.log2_lr.tolist()),
        loss=tuple(grid.measured.tolist()),
        seeds=grid.seeds,
        seed_losses=tuple(tuple(row) for row in grid.losses.tolist()),
        num_diverged=tuple(grid.diverged.sum(axis=1).tolist()),
        window=window,
        fit=parabola,
        note=None if quadratic is None else quadratic.note,
    )


def _compute_saved(curves: Sequence[CurveFit], axes: AxisNames) -> Estimate:
    """Return the share of FLOPs saved by a sweep at the smallest instead of the largest width."""
    small, large = curves[0].grid, curves[-1].grid
    if small.width == large.width:
        return Estimate(undetermined=axes.only(small.width))
    if not np.isfinite(small.flops + large.flops):
        text = "the trials' FLOPs are not recorded: add a column flops, or params and tokens"
        return Estimate(undetermined=text)
    trials = int(
        (np.isfinite(small.losses) | small.diverged).sum()
    )  # the largest width is then trained once
    return Estimate(1 - (trials * small.flops + large.flops) / (trials * large.flops))
