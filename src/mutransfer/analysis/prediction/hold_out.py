"""Hold-out: leave out the largest value of a scale, predict it, and compare with what was run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mutransfer.analysis.analyze import analysis_settings, placed_runs
from mutransfer.analysis.curves.fit import WINDOW
from mutransfer.analysis.curves.group import (
    Settings,
    fitted_groups,
    no_draws_reason,
    optimum_samples,
)
from mutransfer.analysis.curves.skew import regret_weight, skew
from mutransfer.analysis.format import AxisNames, format_rate
from mutransfer.analysis.intervals import estimate, widen_by_skew
from mutransfer.analysis.prediction.group import predict_group
from mutransfer.analysis.results import Results, as_floats
from mutransfer.analysis.scales.cells import Cells, fitted_cells
from mutransfer.analysis.transfer.regret import regret_of_rate, share_of_loss
from mutransfer.analysis.types.estimates import LN2, Bools, Estimate, Floats
from mutransfer.analysis.types.hold_out import HeldOutCell, HoldOut, covers_zero
from mutransfer.analysis.types.scaling import Prediction
from mutransfer.errors import ResultsError, nearest

MIN_KEPT = 2  # values of the scale with an optimum: one shows no trend


def hold_out(
    results: Results,
    *,
    group: str | None = None,
    scale: str | Sequence[str] | None = None,
    hyperparameter: str | None = None,
    group_by: str | Sequence[str] | None = None,
    window: float = WINDOW,
    draws: int = 1000,
    seed: int = 0,
) -> list[HoldOut]:
    """Predict the largest value of every scale from the runs below it, and compare.

    This is the error that the method made on your own runs: what `predict` would have answered if
    the largest had not been run, compared with what was observed there.

    Args:
        results: The trials.
        group: The group; all groups by default.
        scale: As for `analyze`. With several, each of them is held out in turn.
        hyperparameter: As for `analyze`.
        group_by: As for `analyze`.
        window: As for `analyze`.
        draws: As for `analyze`.
        seed: As for `analyze`.

    Returns:
        One check per group and scale; `summary` of each says how far the prediction was off.

    Raises:
        ResultsError: As `analyze`; or there is no group of this name.

    Example:
        >>> trials = [
        ...     (n, 2.0**k, s, 2 + 9 * n**-0.5 + 0.05 * (k + 6) ** 2 + 0.001 * (s * k % 3))
        ...     for n in (64, 128, 256, 512, 1024)
        ...     for k in range(-9, -2)
        ...     for s in (0, 1, 2)
        ... ]
        >>> names = ("width", "lr", "seed", "loss")
        >>> results = Results.from_columns(dict(zip(names, map(list, zip(*trials)))))
        >>> check = hold_out(results)[0]
        >>> check.summary.partition(":")[0], check.cells[0].is_covered
        ('had you not run width 1024', True)
        >>> round(check.rate_error, 2), round(check.regret_share, 4)
        (0.0, 0.0)
    """
    settings = analysis_settings(results, scale, hyperparameter, group_by, window, draws, seed)
    placed = placed_runs(results, settings)
    groups = fitted_cells(placed, settings)
    if group is not None and group not in groups:
        raise ResultsError(
            f"{results.provenance.source} has no group {group!r}",
            why="every group is predicted from its own runs",
            fix=f"for --group (in Python: group), {nearest(group, groups)}",
        )
    skews = {name: skew(cells.group, settings.axes) for name, cells in groups.items()}
    checks = []
    for held_out in settings.axes.scales:
        checks += _along(held_out, placed, groups, skews, settings)
    return [check for check in checks if group in (None, check.group)]


def _along(
    scale: str,
    results: Results,
    groups: Mapping[str, Cells],
    skews: Mapping[str, Estimate],
    settings: Settings,
) -> list[HoldOut]:
    """Hold out the largest value of one scale in every group."""
    column = settings.axes.scales.index(scale)
    largest = {name: float(cells.values[:, column].max()) for name, cells in groups.items()}
    predictions: dict[tuple[str, tuple[float, ...]], Prediction] = {}
    problems: dict[str, str] = {}
    for value in sorted(set(largest.values())):
        names = [name for name in groups if largest[name] == value]
        for name in names:
            if problem := _problem(groups[name], column, value, settings.axes):
                problems[name] = problem
        if all(name in problems for name in names):
            continue
        kept = fitted_groups(_without(results, scale, value), settings)
        for name in names:
            if name not in problems:
                rows = [tuple(row) for row in _sizes_at(groups[name], column, value).tolist()]
                targets = [dict(zip(settings.axes.scales, row, strict=True)) for row in rows]
                predicted = predict_group(kept[name], targets, settings)
                predictions |= {(name, row): one for row, one in zip(rows, predicted, strict=True)}
    checks = []
    for name, cells in groups.items():
        value = largest[name]
        held = {k: tuple(cells.values[k].tolist()) for k in range(len(cells.values))}
        compared = [
            _compare(cells, k, predictions[name, sizes], skews[name], settings.axes)
            for k, sizes in held.items()
            if sizes[column] == value and name not in problems
        ]
        checks.append(
            HoldOut(
                group=name,
                scale=scale,
                value=value,
                kept=_kept(groups[name], column, value),
                cells=tuple(compared),
                undetermined=problems.get(name),
                hyperparameter=settings.axes.hyperparameter,
                loss_unit=results.loss_unit,
            )
        )
    return checks


def _sizes_at(cells: Cells, column: int, value: float) -> Floats:
    """Return the cells that have one value of a scale, one row each."""
    return np.asarray(cells.values[cells.values[:, column] == value])


def _kept(cells: Cells, column: int, value: float) -> tuple[float, ...]:
    """Return the smaller values of a scale that have an optimum, ascending."""
    sizes_C = cells.values[:, column]
    has_optimum_C = np.array([curve.quadratic is not None for curve in cells.group.curves])
    return tuple(np.unique(sizes_C[has_optimum_C & (sizes_C < value)]).tolist())


def _problem(cells: Cells, column: int, value: float, axes: AxisNames) -> str | None:
    """Return why the others cannot predict the largest value of a scale, or None."""
    kept = _kept(cells, column, value)
    if len(kept) >= MIN_KEPT:
        return None
    along = AxisNames(axes.scales[column], axes.hyperparameter)
    below = len(np.unique(cells.values[:, column])) - 1
    return along.too_few("a prediction of the largest", MIN_KEPT, len(kept), below)


def _without(results: Results, scale: str, value: float) -> Results:
    """Return the results without the runs at one value of a scale."""
    is_held_out: Bools = np.isclose(as_floats(results.axes[scale]), value, rtol=1e-5, atol=0)
    return replace(results.without(is_held_out, "the held-out size"), notes=results.notes)


def _compare(
    cells: Cells, index: int, prediction: Prediction, observed_skew: Estimate, axes: AxisNames
) -> HeldOutCell:
    """Compare a prediction with the curve that was observed."""
    group = cells.group
    curve = group.curves[index]
    observed_rate = observed_loss = Estimate(undetermined=curve.undetermined)
    reason = no_draws_reason(group, [index], axes)
    if curve.quadratic is not None:
        x_S, loss_S, _ = optimum_samples(group, index)
        observed_rate = widen_by_skew(estimate(x_S / LN2, reason), observed_skew)
        observed_loss = estimate(loss_S, reason or group.no_loss_interval)
    elif curve.edge is not None:
        side = "below" if curve.edge == "low" else "above"
        last = format_rate(float(curve.grid.log2_lr[curve.argmin or 0]))
        text = f"the best rate lies at or {side} {last}, the last that was tried"
        observed_rate = Estimate(undetermined=f"{text}; {curve.undetermined}")
    regret = _regret(cells, index, prediction, reason, axes, observed_skew)
    rate_error = _difference(prediction.log2_lr, observed_rate)
    return HeldOutCell(
        sizes=dict(zip(cells.scales, cells.values[index].tolist(), strict=True)),
        prediction=prediction,
        log2_lr=observed_rate,
        loss=observed_loss,
        rate_error=rate_error,
        is_covered=covers_zero(rate_error),
        regret=regret,
        regret_share=share_of_loss(regret, curve, axes),
        loss_error=_relative(prediction.loss, observed_loss),
    )


def _regret(
    cells: Cells,
    index: int,
    prediction: Prediction,
    reason: str | None,
    axes: AxisNames,
    observed_skew: Estimate,
) -> Estimate:
    """Estimate the regret of the predicted rate on the observed curve."""
    curve = cells.group.curves[index]
    if prediction.log2_lr.value is None:
        return Estimate(undetermined=prediction.log2_lr.undetermined)
    if curve.quadratic is None and curve.edge is None:
        return Estimate(undetermined=curve.undetermined)
    x = prediction.log2_lr.value * LN2
    drawn = None
    if reason is None:
        target = cells.group.draws[index]
        drawn = (np.full(len(target.mean), x), target)
    # The rate is fixed, so a skew moves only the optimum that it is compared with.
    weight = regret_weight(observed_skew)
    return regret_of_rate(curve, x, drawn, reason, axes, shifts=(0.0,), weight=weight)


def _difference(predicted: Estimate, observed: Estimate) -> Estimate:
    """Return predicted minus observed value, with the interval of two independent errors."""
    if predicted.value is None or observed.value is None:
        return Estimate(undetermined=observed.undetermined or predicted.undetermined)
    difference = predicted.value - observed.value
    if predicted.low is None or predicted.high is None:
        return Estimate(difference, undetermined=predicted.undetermined)
    below, above = predicted.value - predicted.low, predicted.high - predicted.value
    if observed.low is not None and observed.high is not None:
        below = math.hypot(below, observed.high - observed.value)
        above = math.hypot(above, observed.value - observed.low)
    return Estimate(difference, difference - below, difference + above)


def _relative(predicted: Estimate, observed: Estimate) -> Estimate:
    """Return predicted minus observed value as a share of the observed one."""
    error = _difference(predicted, observed)
    if error.value is None or observed.value is None:
        return error
    if observed.value <= 0:
        return Estimate(undetermined="the loss is not positive, so a share of it has no meaning")
    return error.times(1 / observed.value)
