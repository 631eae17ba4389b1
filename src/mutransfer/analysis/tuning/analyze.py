"""Analysis of several hyperparameters: from samples to best points, importances and verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from mutransfer.analysis.format import AxisNames, format_value
from mutransfer.analysis.intervals import LOWER, UPPER, central_interval
from mutransfer.analysis.results import Results
from mutransfer.analysis.transfer.verdict import compare_with_threshold
from mutransfer.analysis.tuning.best_values import (
    NO_NOISE,
    ON_LIMIT,
    best_value,
    section_losses,
    section_points,
)
from mutransfer.analysis.tuning.columns import TuningColumns
from mutransfer.analysis.tuning.importance import Importances, importances
from mutransfer.analysis.tuning.interactions import interactions
from mutransfer.analysis.tuning.noise import SurfaceDraws, draw_surfaces
from mutransfer.analysis.tuning.samples import SampleTable, sample_tables
from mutransfer.analysis.tuning.surface import Surface, fit_surfaces
from mutransfer.analysis.tuning.transfer import (
    FittedWidth,
    estimate_drift,
    estimate_regret,
)
from mutransfer.analysis.tuning.types import (
    Form,
    Sample,
    Section,
    TunedGroup,
    TunedValue,
    TunedWidth,
    TuningReport,
)
from mutransfer.analysis.types.estimates import Estimate

# Shape legend: D draws, H hyperparameters, G grid of a section.


def analyze_points(
    results: Results, columns: TuningColumns, *, threshold: float, draws: int, seed: int
) -> TuningReport:
    """Find the best point of several hyperparameters at every width, and whether it transfers.

    Raises:
        ResultsError: A column is missing or holds no numbers, a hyperparameter has one value, or
            two trials share a point.
    """
    tables, notes = sample_tables(results, columns)
    unit = results.loss_unit
    groups = {
        name: _group(name, group, columns.scale, threshold, unit, draws, seed)
        for name, group in tables.items()
    }
    return TuningReport(
        groups=groups,
        threshold=threshold,
        scale=columns.scale,
        hyperparameters=columns.hyperparameters,
        group_by=columns.group_by,
        notes=(*results.notes, *notes),
        draws=draws,
        seed=seed,
        loss_unit=unit,
    )


def fitted_widths(
    name: str, tables: Sequence[SampleTable], scale: str, num_draws: int, seed: int
) -> tuple[list[TunedWidth], list[FittedWidth]]:
    """Fit every width of a group: all best points, and the fits that can be trusted.

    The draws do not depend on which other groups there are.
    """
    rng = np.random.default_rng([seed, *name.encode(errors="replace")])
    candidates = fit_surfaces(tables)
    drawn = draw_surfaces(candidates, num_draws, rng) if candidates else [None for _ in tables]
    fits = candidates[0].surfaces if candidates else [None for _ in tables]
    widths, fitted = [], []
    for table, fit, draws in zip(tables, fits, drawn, strict=True):
        shares = importances(table, num_draws, rng)
        is_trusted = fit is not None and not _is_among_diverged(fit)
        width = _width(table, fit if is_trusted else None, draws, shares, scale)
        widths.append(width)
        if fit is not None and is_trusted:
            reasons = {v.name: v.best.undetermined for v in width.values if v.best.undetermined}
            fitted.append(FittedWidth(fit, draws, reasons))
    return widths, fitted


def _group(
    name: str,
    tables: Sequence[SampleTable],
    scale: str,
    threshold: float,
    loss_unit: str | None,
    num_draws: int,
    seed: int,
) -> TunedGroup:
    """Analyze one group."""
    widths, fitted = fitted_widths(name, tables, scale, num_draws, seed)
    drift = {
        coordinate.name: _drift(widths, fitted, h, coordinate.name)
        for h, coordinate in enumerate(tables[0].coordinates)
    }
    regret, share, claim = _regret(widths, fitted, scale)
    verdict, reason = compare_with_threshold(
        regret, share, threshold, claim=claim, advice="add samples", loss_unit=loss_unit
    )
    return TunedGroup(name, verdict, reason, tuple(widths), drift, regret, share)


def _is_among_diverged(fit: Surface) -> bool:
    """Return whether most of the samples nearest to an optimum inside the range diverged."""
    if (np.abs(fit.minimum) > 1 - ON_LIMIT).any():
        return False  # it is reported as one on the edge
    distance_P = np.linalg.norm(fit.z - fit.minimum, axis=1)
    nearest = np.argsort(distance_P, kind="stable")[: 2 * len(fit.center) + 1]
    return bool(fit.table.diverged[nearest].mean() > 0.5)


def _width(
    table: SampleTable,
    fit: Surface | None,
    draws: SurfaceDraws | None,
    shares: Importances,
    scale: str,
) -> TunedWidth:
    """Return the best point of one width: that of the fit, else the best sample."""
    at = f"at {scale} {format_value(table.width)}"
    best = int(np.nanargmin(table.mean)) if table.usable.any() else None
    fitted = set() if fit is None else set(fit.region.tolist())
    samples = tuple(
        Sample(_point(table, row), float(table.mean[row]), row in fitted)
        for row in range(len(table.points))
    )
    form: Form = "sample"
    reason: str | None = _no_fit_reason(table, at)
    note = None
    loss = Estimate(undetermined=reason)
    if fit is not None:
        form = "quadratic" if fit.terms.has_products else "diagonal"
        value = float(fit.polynomials(fit.minimum[None])[0])
        loss = (
            central_interval(value, draws.loss) if draws else Estimate(value, undetermined=NO_NOISE)
        )
        reason = None
        if not fit.terms.has_products:
            note = f"too few samples {at} for interactions: the fit has none"
    values = tuple(
        _tuned_value(table, fit, draws, shares, h, best, reason, scale)
        for h in range(len(table.coordinates))
    )
    pairs = interactions(fit, draws, shares) if fit is not None else ()
    return TunedWidth(table.width, form, values, loss, pairs, samples, best,
                      int(table.diverged.sum()), shares.explained, note, reason)  # fmt: skip


def _no_fit_reason(table: SampleTable, at: str) -> str:
    """Return why a width has no fit, and what to add."""
    if not table.usable.any():
        return f"every sample diverged {at}: add samples with lower rates"
    num, count = int(table.usable.sum()), table.points.shape[1]
    single = [
        c.name
        for c, column in zip(table.coordinates, table.points[table.usable].T, strict=True)
        if np.ptp(column) == 0
    ]
    if single:
        return f"{single[0]} has one value among the samples {at}: add samples with others"
    needed = 1 + 2 * count + 4
    if num < needed:
        return (
            f"{num} samples {at} are too few for a surface in {count} hyperparameters, so the best "
            f"sample stands: add {needed - num} or more"
        )
    return (
        f"the fitted minimum lies among samples that diverged {at}, so the best sample stands: "
        "add samples near it"
    )


def _point(table: SampleTable, row: int) -> tuple[float, ...]:
    """Return the values of one sample."""
    pairs = zip(table.coordinates, table.points[row].tolist(), strict=True)
    return tuple(coordinate.value(position) for coordinate, position in pairs)


def _tuned_value(
    table: SampleTable,
    fit: Surface | None,
    draws: SurfaceDraws | None,
    shares: Importances,
    h: int,
    best: int | None,
    reason: str | None,
    scale: str,
) -> TunedValue:
    """Return the best value of one hyperparameter at one width."""
    coordinate, column_P = table.coordinates[h], table.points[:, h]
    lowest, highest = (coordinate.value(float(end(column_P))) for end in (np.min, np.max))
    kind: Literal["log", "linear"] = "log" if coordinate.is_log else "linear"
    if fit is None:
        recommended = lowest if best is None else coordinate.value(float(column_P[best]))
        estimate = Estimate(undetermined=reason)
        return TunedValue(coordinate.name, kind, estimate, recommended, lowest, highest, None,
                          shares.main[h], None, None)  # fmt: skip
    optimum = best_value(fit, draws, h, scale)
    recommended = coordinate.value(float(fit.center[h] + fit.half[h] * fit.minimum[h]))
    return TunedValue(coordinate.name, kind, optimum.estimate, recommended, lowest, highest,
                      optimum.edge, shares.main[h], optimum.cost,
                      _section(fit, draws, h))  # fmt: skip


def _section(fit: Surface, draws: SurfaceDraws | None, h: int) -> Section:
    """Return the fitted loss along one hyperparameter through the best point."""
    position_G, loss_G = section_losses(fit, h)
    values = tuple(map(fit.table.coordinates[h].value, position_G.tolist()))
    losses = tuple(loss_G.tolist())
    if draws is None:
        return Section(values, losses, None, None)
    drawn_DG = draws.polynomials.at_points(section_points(fit, h))
    low_G, high_G = np.quantile(drawn_DG, [LOWER, UPPER], axis=0)
    return Section(values, losses, tuple(low_G.tolist()), tuple(high_G.tolist()))


def _drift(
    widths: Sequence[TunedWidth], fitted: Sequence[FittedWidth], h: int, name: str
) -> Estimate:
    """Estimate the drift of one hyperparameter over the widths at which it is determined."""
    by_width = {width.width: width for width in widths}
    determined = [f for f in fitted if by_width[f.fit.table.width][name].best.value is not None]
    reasons = [w[name].best.undetermined for w in widths if w[name].best.value is None]
    drift = estimate_drift(determined, h, reasons[0] if reasons else None)
    is_open = [
        by_width[f.fit.table.width][name].best.undetermined
        for f in determined
        if by_width[f.fit.table.width][name].best.undetermined
    ]
    if drift.value is not None and is_open:
        return Estimate(drift.value, undetermined=is_open[0])
    return drift


def _regret(
    widths: Sequence[TunedWidth], fitted: Sequence[FittedWidth], scale: str
) -> tuple[Estimate, Estimate, str]:
    """Estimate the regret from the smallest width to the largest, its share, and the claim."""
    claim = ""
    if len(widths) < 2:
        missing = Estimate(undetermined=AxisNames(scale, "").only(widths[0].width))
        return missing, missing, claim
    ends = (widths[0], widths[-1])
    for width in ends:
        if width.undetermined:
            missing = Estimate(undetermined=width.undetermined)
            return missing, missing, claim
    source, target = fitted[0], fitted[-1]
    edges = [v.best.undetermined for v in ends[0].values if v.edge]
    if edges:
        missing = Estimate(undetermined=edges[0])
        return missing, missing, claim
    regret = estimate_regret(source, target, scale)
    if beyond := [v.best.undetermined for v in ends[1].values if v.edge]:
        regret = Estimate(None, regret.low, None, beyond[0])  # the best loss may be lower still
    best = ends[1].loss.value
    assert best is not None
    claim = (
        f"carrying the whole point from {scale} {format_value(ends[0].width)} to "
        f"{format_value(ends[1].width)} raises the loss by"
    )
    if best <= 0:
        text = "the loss is not positive, so a share of it has no meaning"
        return regret, Estimate(undetermined=text), claim
    return regret, regret.times(1 / best), claim
