"""Prediction of rate, loss and regret at a target that was not run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import overload

import numpy as np

from mutransfer.analysis.analyze import (
    analysis_settings,
    check_one_scale,
    hyperparameter_names,
    noise_notes,
    placed_runs,
)
from mutransfer.analysis.curves.fit import WINDOW
from mutransfer.analysis.curves.group import FittedGroup, Settings
from mutransfer.analysis.curves.skew import skew
from mutransfer.analysis.intervals import estimate, skew_shifts
from mutransfer.analysis.prediction.cells import OptimumCells, optimum_cells
from mutransfer.analysis.prediction.cost import TargetCurve, target_curve
from mutransfer.analysis.prediction.laws import average_laws
from mutransfer.analysis.prediction.loss import extrapolated_loss, least_loss, loss_over_scales
from mutransfer.analysis.prediction.points import NO_SHARE, predict_points
from mutransfer.analysis.prediction.rate import LAWS, held_out_errors, predict_rate
from mutransfer.analysis.prediction.target import target_values
from mutransfer.analysis.prediction.warnings import warnings
from mutransfer.analysis.results import Results
from mutransfer.analysis.scales.analyze import check_values
from mutransfer.analysis.scales.cells import fitted_cells
from mutransfer.analysis.transfer.optima import Optima, fit_optima
from mutransfer.analysis.tuning.columns import TuningColumns
from mutransfer.analysis.types.estimates import Estimate, Floats
from mutransfer.analysis.types.points import PointPrediction
from mutransfer.analysis.types.scaling import Band, Prediction, RateLaw
from mutransfer.errors import ResultsError, listed, nearest

# Shape legend: K scales, S samples (the data first, then the draws).

NUM_STEPS = 9  # points of the path to the target


@overload
def predict(
    results: Results,
    *,
    width: float | None = None,
    at: Mapping[str, float] | None = None,
    group: str | None = None,
    scale: str | Sequence[str] | None = None,
    hyperparameter: str | None = None,
    group_by: str | Sequence[str] | None = None,
    window: float = WINDOW,
    draws: int = 1000,
    seed: int = 0,
) -> Prediction: ...


@overload
def predict(
    results: Results,
    *,
    width: float | None = None,
    at: Mapping[str, float] | None = None,
    group: str | None = None,
    scale: str | Sequence[str] | None = None,
    hyperparameter: list[str] | tuple[str, ...],
    group_by: str | Sequence[str] | None = None,
    draws: int = 1000,
    seed: int = 0,
) -> Prediction | PointPrediction: ...


def predict(
    results: Results,
    *,
    width: float | None = None,
    at: Mapping[str, float] | None = None,
    group: str | None = None,
    scale: str | Sequence[str] | None = None,
    hyperparameter: str | list[str] | tuple[str, ...] | None = None,
    group_by: str | Sequence[str] | None = None,
    window: float = WINDOW,
    draws: int = 1000,
    seed: int = 0,
) -> Prediction | PointPrediction:
    """Predict the best rate, the loss and the regret at a target that was not run.

    The rate is the median of an average over laws, constant, power and saturating, each with
    smooth departures and scatter, weighted by how well they predict the optima. The interval is
    that of the average. `docs/numbers.md` defines every number.

    Args:
        results: The trials.
        width: The target's value of the scale, or of the first of several.
        at: The target's values of several scales, by name.
        group: The group; required if there are several.
        scale: As for `analyze`, one or several.
        hyperparameter: As for `analyze`, one or several.
        group_by: As for `analyze`.
        window: As for `analyze`.
        draws: As for `analyze`.
        seed: As for `analyze`.

    Returns:
        Rate, loss and regret with intervals, and warnings. With several hyperparameters a
        `PointPrediction`: every value with its interval, and loss and regret of the whole point.

    Raises:
        ResultsError: As `analyze`; or the target lacks a scale or is not positive, or there are
            several groups and `group` does not name one of them.

    Example:
        >>> trials = [
        ...     (n, 2.0**k, s, 2 + 9 * n**-0.5 + 0.05 * (k + 6) ** 2 + 0.001 * (s * k % 3))
        ...     for n in (64, 128, 256, 512, 1024)
        ...     for k in range(-9, -2)
        ...     for s in (0, 1, 2)
        ... ]
        >>> names = ("width", "lr", "seed", "loss")
        >>> results = Results.from_columns(dict(zip(names, map(list, zip(*trials)))))
        >>> prediction = predict(results, width=8192)
        >>> prediction.law, round(prediction.log2_lr.value, 1), prediction.warnings
        ('constant', -6.0, ())
    """
    predictions = predict_groups(
        results,
        width=width,
        at=at,
        group=group,
        scale=scale,
        hyperparameter=hyperparameter,
        group_by=group_by,
        window=window,
        draws=draws,
        seed=seed,
    )
    if len(predictions) > 1:
        raise _group_error(results, "several groups, and none is named", predictions)
    return predictions[0]


@overload
def predict_groups(
    results: Results,
    *,
    width: float | None = None,
    at: Mapping[str, float] | None = None,
    group: str | None = None,
    scale: str | Sequence[str] | None = None,
    hyperparameter: str,
    group_by: str | Sequence[str] | None = None,
    window: float = WINDOW,
    draws: int = 1000,
    seed: int = 0,
) -> list[Prediction]: ...


@overload
def predict_groups(
    results: Results,
    *,
    width: float | None = None,
    at: Mapping[str, float] | None = None,
    group: str | None = None,
    scale: str | Sequence[str] | None = None,
    hyperparameter: str | Sequence[str] | None = None,
    group_by: str | Sequence[str] | None = None,
    window: float = WINDOW,
    draws: int = 1000,
    seed: int = 0,
) -> Sequence[Prediction | PointPrediction]: ...


def predict_groups(
    results: Results,
    *,
    width: float | None = None,
    at: Mapping[str, float] | None = None,
    group: str | None = None,
    scale: str | Sequence[str] | None = None,
    hyperparameter: str | Sequence[str] | None = None,
    group_by: str | Sequence[str] | None = None,
    window: float = WINDOW,
    draws: int = 1000,
    seed: int = 0,
) -> Sequence[Prediction | PointPrediction]:
    """Predict for every group, or for the named one; arguments as for `predict`."""
    names = hyperparameter_names(results, hyperparameter)
    settings = analysis_settings(results, scale, names[0], group_by, window, draws, seed)
    target = target_values(settings.axes, width, at)
    predictions: Sequence[Prediction | PointPrediction]
    if len(names) > 1:
        size = target[check_one_scale(settings.axes.scales, names)]
        columns = TuningColumns(settings.axes.scale, names, settings.group_by)
        predictions = predict_points(results, columns, size, draws=draws, seed=seed)
    else:
        predictions = _predict_groups(results, target, settings)
    if group is None:
        return predictions
    matches = [prediction for prediction in predictions if prediction.group == group]
    if not matches:
        raise _group_error(results, f"no group {group!r}", predictions, group)
    return matches


def _predict_groups(
    results: Results, target: Mapping[str, float], settings: Settings
) -> list[Prediction]:
    """Predict the best rate of every group."""
    results = placed_runs(results, settings)
    fitted = fitted_cells(results, settings)
    if settings.axes.further:
        check_values(results, fitted, settings.axes)
    groups = [cells.group for cells in fitted.values()]
    notes = (*results.notes, *noise_notes(results, groups))
    return [
        replace(predict_group(one, target, settings), notes=notes, loss_unit=results.loss_unit)
        for one in groups
    ]


def _group_error(
    results: Results,
    problem: str,
    predictions: Sequence[Prediction | PointPrediction],
    group: str | None = None,
) -> ResultsError:
    """Build the error about a group that is missing or not named."""
    names = [prediction.group for prediction in predictions]
    fix = f"--group {names[0]} (in Python: group={names[0]!r})"
    if group is not None:
        fix = f"for --group (in Python: group), {nearest(group, names)}"
    return ResultsError(
        f"{results.provenance.source} has {problem}",
        why=f"every group has its own best rate: {listed(names)}",
        fix=fix,
    )


def predict_group(
    group: FittedGroup, target: Mapping[str, float], settings: Settings
) -> Prediction:
    """Predict for one fitted group.

    Args:
        group: The group.
        target: The target's value of every scale.
        settings: The settings that the group was fitted with.
    """
    axes, cells = settings.axes, optimum_cells(group)
    log2_target_K = np.log2(list(target.values()))
    missing = next((c.undetermined for c in group.curves if c.quadratic is None), None)
    skewness = skew(group, axes)
    rate = predict_rate(cells.rate, log2_target_K, skewness, missing or "", axes)
    # The seed contains the group's name, so that draws do not depend on the other groups.
    rng = np.random.default_rng([settings.seed, *group.name.encode(errors="replace"), 1])
    optima = None if axes.further else fit_optima(group, axes)
    if optima is not None:
        law, width = optima.loss_law, target[axes.scale]
        loss = extrapolated_loss(
            optima.n, optima.loss, law, width, optima.no_value, optima.no_interval, rng
        )
    else:
        loss = loss_over_scales(group, np.exp2(log2_target_K), settings, rng)
    # Shares and the bound of an untrained network are relative to this loss.
    best = loss.value
    if best is None:
        best = least_loss(cells.loss[0], cells.log2_s, log2_target_K)
    curve = None
    if rate.law is not None:
        shifts = skew_shifts(skewness)
        curve = target_curve(
            group, cells, rate.law, log2_target_K, shifts, best, rng, settings.draws
        )
    regret, share = _regret(rate.average, curve, best)
    held_out = held_out_errors(cells.rate, axes)
    laws = [
        RateLaw(
            name,
            rate.weights[name],
            rate.by_law[name],
            held_out[name],
            _regret(rate.by_law[name], curve, best)[1],
        )
        for name in LAWS
    ]
    return Prediction(
        group=group.name,
        scale=axes.scale,
        hyperparameter=axes.hyperparameter,
        width=target[axes.scale],
        at=dict(target),
        extrapolation=_extrapolation(cells, log2_target_K),
        lr=_power_of_two(rate.average),
        log2_lr=rate.average,
        loss=loss,
        regret=regret,
        regret_share=share,
        law=max(laws, key=lambda law: law.weight).name,
        laws=tuple(laws),
        warnings=tuple(warnings(group, cells, target, axes)),
        path=() if optima is None else _path(cells, optima, target[axes.scale]),
    )


def _regret(
    rate: Estimate, curve: TargetCurve | None, best_loss: float | None
) -> tuple[Estimate, Estimate]:
    """Estimate what a rate costs at the target, and as a share of the loss there."""
    if curve is None or rate.value is None:
        missing = Estimate(undetermined=rate.undetermined)
        return missing, missing
    regret = curve.regret(rate.value)
    if best_loss is None or best_loss <= 0:
        return regret, NO_SHARE
    return regret, regret.times(1 / best_loss)


def _extrapolation(cells: OptimumCells, log2_target_K: Floats) -> float:
    """Return the ratio of the target to the largest value with an optimum, of all scales."""
    if not len(cells.rate):
        return math.nan
    return float(2.0 ** np.max(log2_target_K - cells.log2_s.max(axis=0)))


def _power_of_two(log2_lr: Estimate) -> Estimate:
    """Convert log2 of a rate to the rate."""
    value, low, high = (
        None if x is None else 2.0**x if x < 1024 else math.inf
        for x in (log2_lr.value, log2_lr.low, log2_lr.high)
    )
    return Estimate(value, low, high, log2_lr.undetermined)


def _path(cells: OptimumCells, optima: Optima, width: float) -> tuple[Band, ...]:
    """Return rate and loss from the largest width with an optimum to the target."""
    if len(cells.rate) < 2:
        return ()
    widths = np.geomspace(float(optima.n[-1]), width, NUM_STEPS)
    bands = []
    for n, law in zip(widths, average_laws(cells.rate, np.log2(widths)[:, None]), strict=True):
        loss = Estimate(undetermined=optima.no_value)
        if optima.loss_law is not None:
            loss = estimate(
                optima.loss_law.at(n), optima.no_loss_interval, optima.loss_law.is_bound
            )
        bands.append(Band(float(n), law.mixture.estimate(), loss))
    return tuple(bands)
