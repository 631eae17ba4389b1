"""Prediction of rate, loss and regret at a target that was not run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mutransfer.analysis.analyze import analysis_settings, noise_notes, placed_runs
from mutransfer.analysis.curves.fit import WINDOW
from mutransfer.analysis.curves.group import FittedGroup, fitted_groups
from mutransfer.analysis.format import AxisNames, format_value
from mutransfer.analysis.intervals import UPPER, estimate, widen_by_skew
from mutransfer.analysis.laws.power_law import fit_floor_law, fit_power_law
from mutransfer.analysis.results import Results
from mutransfer.analysis.transfer.optima import Optima, fit_optima
from mutransfer.analysis.types.estimates import LN2, Estimate, Floats
from mutransfer.analysis.types.scaling import LawName, Prediction, RateLaw
from mutransfer.errors import ResultsError, listed, nearest

# Shape legend: W widths, S samples (the data first, then the draws).

# Ratios of target to largest width that the literature has tested. [derived: docs/numbers.md]
STUDIED_EXTRAPOLATION = 4.0, 64.0
RATE_LAWS: tuple[LawName, ...] = ("constant", "power")
MIN_WIDTHS = 3  # a line through two leaves no scatter to estimate


def predict(
    results: Results,
    *,
    width: float,
    group: str | None = None,
    scale: str | None = None,
    hyperparameter: str | None = None,
    group_by: str | Sequence[str] | None = None,
    window: float = WINDOW,
    draws: int = 1000,
    seed: int = 0,
) -> Prediction:
    """Predict the best rate, the loss and the regret at a width that was not run.

    Two laws of the best rate are extrapolated: a constant, and a power of width. The value comes
    from the law that, fitted without the largest width, misses its best rate less. The interval
    is the union of both laws', and includes the scatter of the optima from width to width.

    Args:
        results: The trials.
        width: The target's value of the scale.
        group: The group; required if there are several.
        scale: As for `analyze`.
        hyperparameter: As for `analyze`.
        group_by: As for `analyze`.
        window: As for `analyze`.
        draws: As for `analyze`.
        seed: As for `analyze`.

    Returns:
        Rate, loss and regret with intervals, and warnings.

    Raises:
        ResultsError: As `analyze`; or the width is not a positive number, or there are several
            groups and `group` does not name one of them.

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


def predict_groups(
    results: Results,
    *,
    width: float,
    group: str | None = None,
    scale: str | None = None,
    hyperparameter: str | None = None,
    group_by: str | Sequence[str] | None = None,
    window: float = WINDOW,
    draws: int = 1000,
    seed: int = 0,
) -> list[Prediction]:
    """Predict for every group, or for the named one; arguments as for `predict`."""
    settings = analysis_settings(results, scale, hyperparameter, group_by, window, draws, seed)
    axes = settings.axes
    if not 0 < width < math.inf:
        raise ResultsError(
            f"the target {axes.scale} is {width:g}",
            why="optima are extrapolated on logarithmic axes",
            fix=f"give a positive {axes.scale}, larger than those that were run: --width 8192",
        )
    results = placed_runs(results, settings)
    groups = fitted_groups(results, settings).values()
    notes = (*results.notes, *noise_notes(results, groups))
    predictions = [
        replace(_prediction(fitted, width, axes, seed, results.loss_unit), notes=notes)
        for fitted in groups
    ]
    if group is None:
        return predictions
    matches = [prediction for prediction in predictions if prediction.group == group]
    if not matches:
        raise _group_error(results, f"no group {group!r}", predictions, group)
    return matches


def _group_error(
    results: Results, problem: str, predictions: Sequence[Prediction], group: str | None = None
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


def _prediction(
    group: FittedGroup, width: float, axes: AxisNames, seed: int, loss_unit: str | None
) -> Prediction:
    """Predict for one group."""
    optima = fit_optima(group, axes)
    rng = np.random.default_rng([seed, *group.name.encode(errors="replace"), 1])
    no_interval = _no_interval_reason(optima, axes)
    extrapolation = width / float(optima.n[-1]) if len(optima.n) else math.nan
    x = {law: _extrapolated_rate(optima, width, law, rng) for law in RATE_LAWS}
    no_rate = Estimate(undetermined=optima.no_value)
    laws = {
        law: RateLaw(
            law,
            widen_by_skew(estimate(x_S / LN2, no_interval), optima.skew)
            if len(optima.n)
            else no_rate,
            _held_out_error(optima, law, axes),
        )
        for law, x_S in x.items()
    }
    best = min(RATE_LAWS, key=lambda law: laws[law].held_out.value or 0.0)
    log2_lr = _union(laws[best].log2_lr, [law.log2_lr for law in laws.values()])
    loss = _extrapolated_loss(optima, width, rng)
    regret = _regret(optima, width, x, best, no_interval)
    best_loss = loss.value
    if best_loss is None and len(optima.n):
        best_loss = float(optima.loss[0, -1])  # that of the largest width, an upper bound
    share = Estimate(undetermined=no_interval)
    if best_loss is not None and best_loss > 0:
        share = regret.times(1 / best_loss)
    return Prediction(
        group=group.name,
        scale=axes.scale,
        hyperparameter=axes.hyperparameter,
        width=width,
        extrapolation=extrapolation,
        lr=_power_of_two(log2_lr),
        log2_lr=log2_lr,
        loss=loss,
        regret=regret,
        regret_share=share,
        law=best,
        laws=tuple(laws.values()),
        warnings=tuple(_warnings(group, optima, width, axes)),
        loss_unit=loss_unit,
    )


def _no_interval_reason(optima: Optima, axes: AxisNames) -> str | None:
    """Return why there is no interval, or None."""
    if optima.no_draws:
        return optima.no_draws
    if len(optima.n) >= MIN_WIDTHS:
        return None
    return axes.too_few("an interval", MIN_WIDTHS, len(optima.n))


def _scatter(
    values_SW: Floats, fitted_SW: Floats, freedom: int, rng: np.random.Generator
) -> Floats:
    """Draw the standard deviation between widths beyond that of noise; zero for the data itself."""
    num_draws = len(values_SW) - 1
    if not num_draws or freedom < 1:
        return np.zeros(num_draws + 1)
    # The mean square about the law estimates noise plus scatter. Its expectation is drawn by chi².
    square = float(((values_SW[0] - fitted_SW[0]) ** 2).sum()) / freedom
    noise = float(values_SW[1:].var(axis=0).mean())
    scatter_D = square * freedom / rng.chisquare(freedom, num_draws) - noise
    return np.concatenate([[0.0], np.sqrt(np.maximum(scatter_D, 0.0))])


def _extrapolated_rate(
    optima: Optima, width: float, law: LawName, rng: np.random.Generator
) -> Floats:
    """Extrapolate ln of the best rate by one law: the data, then draws with noise and scatter."""
    if optima.rate_law is None:
        return optima.x[:, 0] if len(optima.n) else np.full(1, np.nan)
    line_SW = np.array([optima.rate_law.log_at(n) for n in optima.n]).T
    scatter_S = _scatter(optima.x, line_SW, len(optima.n) - 2, rng)
    x_SW = optima.x + scatter_S[:, None] * rng.standard_normal(optima.x.shape)
    target_S = scatter_S * rng.standard_normal(len(scatter_S))
    if law == "constant":
        return np.asarray(x_SW.mean(axis=1) + target_S)
    return fit_power_law(optima.n, x_SW).log_at(width) + target_S


def _held_out_error(optima: Optima, law: LawName, axes: AxisNames) -> Estimate:
    """Return by how many octaves the law of the smaller widths misses the largest one."""
    if len(optima.n) < MIN_WIDTHS:
        return Estimate(undetermined=axes.too_few("this error", MIN_WIDTHS, len(optima.n)))
    x_W, observed = optima.x[0, :-1], optima.x[0, -1]
    predicted = x_W.mean()
    if law == "power":
        predicted = fit_power_law(optima.n[:-1], x_W[None]).log_at(float(optima.n[-1]))[0]
    return Estimate(abs(float(observed - predicted)) / LN2)


def _union(best: Estimate, laws: Sequence[Estimate]) -> Estimate:
    """Return the best law's value with the union of the intervals of all laws."""
    # A law that the data contradict counts too: where the drift fades with width, as under µP, the
    # union covered the truth on all of 200 surfaces, and the power law alone on none.
    # [measured: docs/decisions.md]
    lows = [law.low for law in laws if law.low is not None]
    highs = [law.high for law in laws if law.high is not None]
    if len(lows) < len(laws) or len(highs) < len(laws):
        return Estimate(best.value, undetermined=best.undetermined)
    return Estimate(best.value, min(lows), max(highs))


def _power_of_two(log2_lr: Estimate) -> Estimate:
    """Convert log2 of a rate to the rate."""
    value, low, high = (
        None if x is None else 2.0**x if x < 1024 else math.inf
        for x in (log2_lr.value, log2_lr.low, log2_lr.high)
    )
    return Estimate(value, low, high, log2_lr.undetermined)


def _extrapolated_loss(optima: Optima, width: float, rng: np.random.Generator) -> Estimate:
    """Extrapolate the best loss by its law, with the scatter between widths."""
    if optima.loss_law is None:
        return Estimate(undetermined=optima.no_value)
    law, loss_SW = optima.loss_law, optima.loss
    line_SW = np.array([law.at(n) for n in optima.n]).T
    scatter_S = _scatter(loss_SW, line_SW, len(optima.n) - 3, rng)
    if len(scatter_S) == 1 or optima.no_interval is not None:
        return estimate(law.at(width), optima.no_interval, law.is_bound)
    loss_SW = loss_SW + scatter_S[:, None] * rng.standard_normal(loss_SW.shape)
    drawn = fit_floor_law(optima.n, loss_SW)
    loss_S = drawn.at(width) + scatter_S * rng.standard_normal(len(scatter_S))
    return estimate(loss_S, None, drawn.is_bound | law.is_bound[0])


def _regret(
    optima: Optima, width: float, x: Mapping[LawName, Floats], best: LawName, reason: str | None
) -> Estimate:
    """Estimate the excess loss of the predicted rate over that of the rates the laws draw."""
    if reason is not None or optima.curvature_law is None:
        return Estimate(undetermined=reason or optima.no_value)
    with np.errstate(over="ignore"):
        curvature_S = np.exp(optima.curvature_law.log_at(width))
    distances = {law: x_S[1:] - x[best][0] for law, x_S in x.items()}
    value = _finite(0.5 * curvature_S[1:] * distances[best] ** 2)
    # Where curves are skewed, the best rate lies off the parabola's by up to these shifts.
    costs = [
        np.max([0.5 * curvature_S[1:] * (x_D + shift) ** 2 for shift in optima.shifts], axis=0)
        for x_D in distances.values()
    ]
    all_costs = np.concatenate([_finite(cost_D) for cost_D in costs])
    if not len(value):
        return Estimate(undetermined="the noise hides a curvature: add seeds")
    return Estimate(float(np.median(value)), 0.0, float(np.quantile(all_costs, UPPER)))


def _finite(values: Floats) -> Floats:
    """Return the finite ones."""
    return np.asarray(values[np.isfinite(values)])


def _warnings(group: FittedGroup, optima: Optima, width: float, axes: AxisNames) -> list[str]:
    """Return reasons for caution."""
    warnings = [note for curve in group.curves for note in curve.grid.notes]
    if not len(optima.n):
        return warnings
    least, most = STUDIED_EXTRAPOLATION
    ratio, target = width / float(optima.n[-1]), f"{axes.scale} {format_value(float(width))}"
    largest = f"the largest with an optimum ({format_value(float(optima.n[-1]))})"
    if ratio > most:
        limit = f"laws were not tested beyond {most:g}x: add a larger proxy"
        warnings.append(f"{target} is {ratio:.3g}x {largest}; {limit}")
    elif width in [curve.grid.width for curve in group.curves]:
        warnings.append(f"{target} was run: `mutransfer analyze` shows its own result")
    elif ratio < least:
        distance = f"only {ratio:.3g}x" if ratio > 1 else "not above"
        advice = "tuning there directly may be cheap enough"
        warnings.append(f"{target} is {distance} {largest}: {advice}")
    if optima.no_draws:
        warnings.append(f"no interval: {optima.no_draws}")
    return warnings
