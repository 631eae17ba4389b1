"""Analysis over several scales: cells, exponents, and where the best rate transfers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mutransfer.analysis.curves.fit import CurveFit
from mutransfer.analysis.curves.group import (
    FittedGroup,
    Settings,
    no_draws_reason,
    optimum_samples,
)
from mutransfer.analysis.curves.skew import regret_weight, skew
from mutransfer.analysis.format import AxisNames, format_size
from mutransfer.analysis.intervals import estimate, skew_shifts, widen_by_skew
from mutransfer.analysis.laws.plane import Plane
from mutransfer.analysis.results import Results
from mutransfer.analysis.scales.cells import Cells, fitted_cells
from mutransfer.analysis.scales.exponents import (
    CellOptima,
    cell_optima,
    optimum_limit,
    rate_exponents,
)
from mutransfer.analysis.scales.loss_law import fit_loss_law
from mutransfer.analysis.scales.verdicts import Criterion, scale_verdicts
from mutransfer.analysis.types.estimates import LN2, Estimate
from mutransfer.analysis.types.scales import CellOptimum, ScalesGroupReport, Side
from mutransfer.errors import ResultsError

SIDES: Mapping[str, Side] = {"low": "below", "high": "above"}


def scales_groups(
    results: Results, settings: Settings, threshold: float
) -> tuple[dict[str, ScalesGroupReport], dict[str, FittedGroup]]:
    """Report every group over several scales; return the reports, and the fitted groups.

    Raises:
        ResultsError: As `analyze`; or a scale has a single value.
    """
    fitted = fitted_cells(results, settings)
    check_values(results, fitted, settings.axes)
    reports = {
        name: _group_report(cells, settings, threshold, results.loss_unit)
        for name, cells in fitted.items()
    }
    return reports, {name: cells.group for name, cells in fitted.items()}


def check_values(results: Results, fitted: Mapping[str, Cells], axes: AxisNames) -> None:
    """Raise if a scale has one value in all groups.

    Raises:
        ResultsError: A scale has a single value.
    """
    value_CK = np.concatenate([cells.values for cells in fitted.values()])
    single = [k for k in range(value_CK.shape[1]) if len(np.unique(value_CK[:, k])) == 1]
    if not single:
        return
    others = [scale for k, scale in enumerate(axes.scales) if k not in single]
    values = [f"{axes.scales[k]} ({format_size(float(value_CK[0, k]))})" for k in single]
    fix = f"run others, or leave {'it' if len(single) == 1 else 'them'} out"
    if others:
        fix += f": --scale {','.join(others)}"
    raise ResultsError(
        f"{results.provenance.source}: there is one value of {' and '.join(values)} only",
        why="no exponent and no verdict follows from a single size",
        fix=fix,
    )


def _group_report(
    cells: Cells, settings: Settings, threshold: float, loss_unit: str | None
) -> ScalesGroupReport:
    """Build the report of one group."""
    group, axes = cells.group, settings.axes
    # Another generator than that of the draws, whose numbers would repeat.
    rng = np.random.default_rng([settings.seed, *group.name.encode(errors="replace"), 2])
    curve_skew = skew(group, axes)
    optima = cell_optima(cells, settings.draws)
    rate, plane = rate_exponents(cells, optima, curve_skew, axes, rng)
    loss = fit_loss_law(optima, axes, rng).exponents
    criterion = Criterion(
        axes, skew_shifts(curve_skew), regret_weight(curve_skew), threshold, loss_unit
    )
    return ScalesGroupReport(
        name=group.name,
        cells=tuple(
            _cell(cells, k, curve_skew, optima, plane, axes) for k in range(len(group.curves))
        ),
        rate=rate,
        loss=loss,
        verdicts=scale_verdicts(cells, criterion),
    )


def _cell(
    cells: Cells,
    index: int,
    curve_skew: Estimate,
    optima: CellOptima,
    plane: Plane | None,
    axes: AxisNames,
) -> CellOptimum:
    """Build the report of one cell."""
    group, curve = cells.group, cells.group.curves[index]
    log2_lr = loss = Estimate(undetermined=curve.undetermined)
    residual = None
    if curve.quadratic is not None:
        x_S, loss_S, _ = optimum_samples(group, index)
        reason = no_draws_reason(group, [index], axes)
        log2_lr = widen_by_skew(estimate(x_S / LN2, reason), curve_skew)
        loss = estimate(loss_S, reason or group.no_loss_interval)
        if plane is not None:
            law = plane.at(np.log2(cells.values[index : index + 1, optima.basis]))[0, 0]
            residual = float(x_S[0] / LN2 - law)
    return CellOptimum(
        sizes=dict(zip(cells.scales, cells.values[index].tolist(), strict=True)),
        log2_lr=log2_lr,
        loss=loss,
        side=None if curve.edge is None else SIDES[curve.edge],
        limit=optimum_limit(curve),
        residual=residual,
        **_grid_optimum(curve),
    )


def _grid_optimum(curve: CurveFit) -> dict[str, float | None]:
    """Return the best rate that was tried and the loss there, as fields of a cell."""
    if curve.argmin is None:
        return {"grid_log2_lr": None, "grid_loss": None}
    rate, loss = curve.grid.log2_lr[curve.argmin], curve.grid.mean[curve.argmin]
    return {"grid_log2_lr": float(rate), "grid_loss": float(loss)}
