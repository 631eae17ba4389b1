"""Prediction of a whole point: the best values of several hyperparameters at a target.

Every hyperparameter is extrapolated by itself, by the same average over laws as a single one. The
regret is that of all of them together: where two trade off, so do their errors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mutransfer.analysis.format import AxisNames, format_value
from mutransfer.analysis.intervals import Z, no_interval_reason, no_value_reason
from mutransfer.analysis.laws.power_law import fit_floor_law
from mutransfer.analysis.prediction.laws import AveragedLaw, Bounds, ScaleCells, average_laws
from mutransfer.analysis.prediction.loss import extrapolated_loss, least_loss
from mutransfer.analysis.prediction.point_cost import FittedPoint, TargetSurface, target_surface
from mutransfer.analysis.prediction.rate import LAWS, MIN_OPTIMA
from mutransfer.analysis.prediction.warnings import distance_warning
from mutransfer.analysis.results import Results
from mutransfer.analysis.tuning.analyze import fitted_widths
from mutransfer.analysis.tuning.best_values import NO_NOISE
from mutransfer.analysis.tuning.columns import TuningColumns
from mutransfer.analysis.tuning.samples import Coordinate, SampleTable, sample_tables
from mutransfer.analysis.tuning.types import TunedValue, TunedWidth
from mutransfer.analysis.types.estimates import Estimate, Floats
from mutransfer.analysis.types.points import PointPrediction, PredictedValue
from mutransfer.analysis.types.scaling import LawName

# Shape legend: D draws, H hyperparameters, C cells, W widths.

# Laws are in octaves. The range tried of a linear scale counts as eight of them, which is the
# usual range of a search. [assumed]
LINEAR_OCTAVES = 8.0
NO_SHARE = Estimate(undetermined="the loss is not positive, so a share of it has no meaning")


def predict_points(
    results: Results, columns: TuningColumns, width: float, *, draws: int, seed: int
) -> list[PointPrediction]:
    """Predict the best point at a target for every group; errors as for `analyze_points`."""
    tables, notes = sample_tables(results, columns)
    predictions = [
        _predict_group(name, group, columns.scale, width, draws, seed)
        for name, group in tables.items()
    ]
    every = (*results.notes, *notes)
    return [replace(one, notes=every, loss_unit=results.loss_unit) for one in predictions]


def _predict_group(
    name: str,
    tables: Sequence[SampleTable],
    scale: str,
    target: float,
    num_draws: int,
    seed: int,
) -> PointPrediction:
    """Predict the best point of one group."""
    widths, fitted = fitted_widths(name, tables, scale, num_draws, seed)
    points = [FittedPoint(math.log2(w.fit.table.width), w.fit, w.draws) for w in fitted if w.draws]
    # The seed contains the group's name, so that draws do not depend on the other groups.
    rng = np.random.default_rng([seed, *name.encode(errors="replace"), 1])
    tried = [t.width for t in tables], [w.fit.table.width for w in fitted]
    carried = [
        _carry(coordinate, h, widths, points, math.log2(target), rng, num_draws)
        for h, coordinate in enumerate(tables[0].coordinates)
    ]
    axes = AxisNames(scale, ", ".join(value.coordinate.name for value in carried))
    loss, best_loss = _loss(points, widths, target, axes, rng)
    reason = _no_regret_reason(carried, points, widths)
    surface = None if reason else _surface(carried, points, math.log2(target), rng)
    point_H = np.array([value.position for value in carried])
    regret, share = _regret(surface, point_H, best_loss, reason)
    return PointPrediction(
        group=name,
        scale=scale,
        width=target,
        at={scale: target},
        extrapolation=target / max(tried[1]) if tried[1] else math.nan,
        values=tuple(
            PredictedValue(
                value.coordinate.name,
                "log" if value.coordinate.is_log else "linear",
                value.best,
                value.coordinate.value(value.position),
                value.weights,
                _regret(surface, point_H, best_loss, reason, only=h)[1],
            )
            for h, value in enumerate(carried)
        ),
        loss=loss,
        regret=regret,
        regret_share=share,
        warnings=tuple(_warnings(carried, *tried, target, axes)),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Carried:
    """One coordinate at the target.

    Args:
        coordinate: The hyperparameter.
        best: Its best value; 90 % interval.
        position: The position to use.
        draws: Draws of the best position, (D,); None where it may lie beyond the samples.
        weights: The weights of the laws, or nothing where it is carried as it is.
        num: Number of widths that determine it.
    """

    coordinate: Coordinate
    best: Estimate
    position: float
    draws: Floats | None
    weights: Mapping[LawName, float]
    num: int


def _carry(
    coordinate: Coordinate,
    h: int,
    widths: Sequence[TunedWidth],
    points: Sequence[FittedPoint],
    log2_target: float,
    rng: np.random.Generator,
    num_draws: int,
) -> _Carried:
    """Carry one coordinate to the target."""
    values = [width[coordinate.name] for width in widths]
    log2_W = np.log2([width.width for width in widths])
    determined = [k for k, value in enumerate(values) if value.best.value is not None]
    if len(determined) < MIN_OPTIMA:
        # One optimum shows no drift; without any, the largest width says what to use.
        source = determined[0] if determined else len(values) - 1
        value = values[source]
        position = _position(coordinate, value.recommended)
        at_source = [point for point in points if point.log2_s == log2_W[source]] or points[-1:]
        is_bounded = value.edge is None and bool(at_source)
        noise = at_source[0].moved[:, h] if is_bounded else None
        return _Carried(coordinate, value.best, position, noise, {}, len(determined))
    unit = 1.0 if coordinate.is_log else _range(values) / LINEAR_OCTAVES
    cells = _cells(coordinate, values, log2_W, unit)
    [law] = average_laws(cells, np.array([[log2_target]]))
    best = _in_values(law.mixture.estimate().times(unit), coordinate)
    median = unit * law.mixture.quantile(0.5)
    median = median if coordinate.is_log else max(median, 0.0)
    drawn = unit * law.mixture.draw(rng, num_draws)
    if points:
        share = _noise_share(law, cells, log2_target)
        drawn = _coupled(drawn, points[-1].moved[:, h], share, rng)
    else:
        best = Estimate(best.value, undetermined=NO_NOISE)
    weights = {name: law.weight(name) for name in LAWS}
    return _Carried(coordinate, best, median, drawn, weights, len(determined))


def _range(values: Sequence[TunedValue]) -> float:
    """Return the length of the range tried on a linear scale."""
    return max(value.highest for value in values) - min(value.lowest for value in values)


def _cells(
    coordinate: Coordinate, values: Sequence[TunedValue], log2_W: Floats, unit: float
) -> ScaleCells:
    """Return one coordinate's best positions over the widths, with the bounds of edge optima."""
    rows, limits = [], []
    for log2_s, value in zip(log2_W.tolist(), values, strict=True):
        best = value.best
        if best.value is not None:
            center = _position(coordinate, best.value)
            # An end that is missing lies beyond the samples; the other one shows the spread.
            ends = [_position(coordinate, end) for end in (best.low, best.high) if end is not None]
            spread = max((abs(end - center) for end in ends), default=0.0) / (Z * unit)
            rows.append((log2_s, center / unit, spread**2))
        elif value.edge is not None:
            limit = _position(coordinate, value.recommended)
            limits.append((log2_s, limit / unit, value.edge == "low"))
    log2_C, value_C, variance_C = np.array(rows, dtype=np.float64).T
    cells = ScaleCells(log2_C[:, None], value_C, variance_C)
    if not limits:
        return cells
    log2_E, limit_E, is_upper_E = np.array(limits, dtype=np.float64).T
    return cells.with_bounds(Bounds(log2_E[:, None], limit_E, is_upper_E.astype(np.bool_)))


def _position(coordinate: Coordinate, value: float) -> float:
    """Return the position of a value."""
    return math.log2(value) if coordinate.is_log else value


def _in_values(position: Estimate, coordinate: Coordinate) -> Estimate:
    """Convert a position to the value; no linear scale has negative values."""

    def value(x: float | None) -> float | None:
        if x is None:
            return None
        if coordinate.is_log:
            return 2.0**x if x < 1024 else math.inf
        return max(x, 0.0)

    return Estimate(value(position.value), value(position.low), value(position.high))


def _noise_share(law: AveragedLaw, cells: ScaleCells, log2_target: float) -> float:
    """Return the share of the noise of the optima in the variance of the extrapolation.

    The rest, scatter and unknown drift, is independent between hyperparameters.
    """
    octaves_C = cells.log2_s[:, 0] - cells.log2_s[:, 0].mean()
    square = float((octaves_C**2).sum())
    distance = log2_target - float(cells.log2_s[:, 0].mean())
    constant, weight = 1 / len(cells), law.weight("constant")
    leverage = constant + (1 - weight) * (distance**2 / square if square else 0.0)
    low, high = law.mixture.quantile(0.05), law.mixture.quantile(0.95)
    variance = ((high - low) / (2 * Z)) ** 2
    noise = leverage * float(cells.variance.mean())
    return min(noise / variance, 1.0) if variance > 0 else 1.0


def _coupled(drawn: Floats, noise: Floats, share: float, rng: np.random.Generator) -> Floats:
    """Return draws in an order whose ranks correlate with those of the noise of an optimum."""
    spread = float(noise.std())
    score = (noise - noise.mean()) / spread if spread else np.zeros_like(noise)
    rank = math.sqrt(share) * score + math.sqrt(1 - share) * rng.standard_normal(len(noise))
    ordered = np.empty_like(drawn)
    ordered[np.argsort(rank, kind="stable")] = np.sort(drawn)
    return ordered


def _loss(
    points: Sequence[FittedPoint],
    widths: Sequence[TunedWidth],
    target: float,
    axes: AxisNames,
    rng: np.random.Generator,
) -> tuple[Estimate, float | None]:
    """Extrapolate the best loss; with a low estimate of it, of which a regret is a share."""
    missing = next((width.undetermined for width in widths if width.undetermined), None)
    if not points:
        return Estimate(undetermined=missing or NO_NOISE), None
    n_W = np.array([2.0**point.log2_s for point in points])
    data_W = [float(p.fit.polynomials(p.fit.minimum[None])[0]) for p in points]
    drawn_DW = np.column_stack([point.draws.loss for point in points])
    loss_SW = np.concatenate([[data_W], drawn_DW])
    no_value = no_value_reason(len(points), len(widths), missing, axes)
    no_interval = no_value or no_interval_reason(n_W, None, axes)
    law = None if no_value else fit_floor_law(n_W, loss_SW)
    loss = extrapolated_loss(n_W, loss_SW, law, target, no_value, no_interval, rng)
    if loss.value is not None:
        return loss, loss.value
    return loss, least_loss(loss_SW[0], np.log2(n_W)[:, None], np.log2([target]))


def _no_regret_reason(
    carried: Sequence[_Carried], points: Sequence[FittedPoint], widths: Sequence[TunedWidth]
) -> str | None:
    """Return why the regret is undetermined, or None."""
    if not points:
        return next((width.undetermined for width in widths if width.undetermined), NO_NOISE)
    return next((v.best.undetermined or NO_NOISE for v in carried if v.draws is None), None)


def _surface(
    carried: Sequence[_Carried],
    points: Sequence[FittedPoint],
    log2_target: float,
    rng: np.random.Generator,
) -> TargetSurface:
    """Return the loss near the best point of the target."""
    draws = [value.draws for value in carried if value.draws is not None]
    return target_surface(points, np.column_stack(draws), log2_target, rng)


def _regret(
    surface: TargetSurface | None,
    point_H: Floats,
    best_loss: float | None,
    reason: str | None,
    only: int | None = None,
) -> tuple[Estimate, Estimate]:
    """Estimate what a point costs, or `only` one of its coordinates; and the share of the loss."""
    if surface is None:
        missing = Estimate(undetermined=reason)
        return missing, missing
    regret = surface.regret(point_H, only)
    if best_loss is None or best_loss <= 0:
        return regret, NO_SHARE
    return regret, regret.times(1 / best_loss)


def _warnings(
    carried: Sequence[_Carried],
    run: Sequence[float],
    fitted: Sequence[float],
    target: float,
    axes: AxisNames,
) -> list[str]:
    """Return reasons for caution, in sentences."""
    sentences = []
    linear = [value.coordinate.name for value in carried if not value.coordinate.is_log]
    if len(run) == 1:
        sentences.append(
            f"one {axes.scale} ({format_value(run[0])}) was run, so the point is carried as it is "
            f"and its drift is not measured: add a {axes.scale}"
        )
    else:
        for value in carried:
            name = value.coordinate.name
            if value.num == 1:
                sentences.append(
                    f"{name} is determined at one {axes.scale} only, so it is carried as it is"
                )
            elif value.num == 0:
                sentences.append(
                    f"the best {name} is undetermined at every {axes.scale}, so the one to use is "
                    f"that of the largest {axes.scale}"
                )
    if any(value.num == MIN_OPTIMA for value in carried):
        sentences.append(f"two optima show no scatter about a law: add a {axes.scale}")
    sentences += [
        f"{name} was tried at 0, so it is extrapolated on a linear scale" for name in linear
    ]
    if fitted:
        distance = distance_warning(
            [(n,) for n in run], [(n,) for n in fitted], {axes.scale: target}, axes
        )
        sentences += [distance] if distance else []
    return sentences
