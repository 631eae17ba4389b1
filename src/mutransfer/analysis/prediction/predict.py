"""Prediction of rate, loss and regret at a target that was not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import overload

from mutransfer.analysis.analyze import (
    analysis_settings,
    check_one_scale,
    hyperparameter_names,
    noise_notes,
    placed_runs,
)
from mutransfer.analysis.curves.fit import WINDOW
from mutransfer.analysis.curves.group import Settings
from mutransfer.analysis.prediction.group import predict_group
from mutransfer.analysis.prediction.points import predict_points
from mutransfer.analysis.prediction.target import target_values
from mutransfer.analysis.results import Results
from mutransfer.analysis.scales.analyze import check_values
from mutransfer.analysis.scales.cells import fitted_cells
from mutransfer.analysis.tuning.columns import TuningColumns
from mutransfer.analysis.types.points import PointPrediction
from mutransfer.analysis.types.scaling import Prediction
from mutransfer.errors import ResultsError, listed, nearest

# Shape legend: K scales, S samples (the data first, then the draws).


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
        replace(prediction, notes=notes, loss_unit=results.loss_unit)
        for one in groups
        for prediction in predict_group(one, [target], settings)
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
