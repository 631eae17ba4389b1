"""Samples of several hyperparameters: one table per group and width, points by seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutransfer.analysis.curves.duplicates import (
    INCIDENTAL,
    MEASURED,
    SEED,
    distinguishing_columns,
    point_ids,
)
from mutransfer.analysis.curves.grid import group_names
from mutransfer.analysis.curves.lengths import is_length
from mutransfer.analysis.format import format_group_by, format_power, format_value
from mutransfer.analysis.results import Cell, Results, as_floats
from mutransfer.analysis.rounding import without_rounding
from mutransfer.analysis.tuning.columns import TuningColumns, numbers
from mutransfer.analysis.types.estimates import Bools, Floats
from mutransfer.errors import ResultsError, listed

# Shape legend: N trials, P points, H hyperparameters, S seeds.

# The steps of a grid are equal; those between random points scatter as much as they are long,
# and those of a Sobol sequence by half of that. [derived: uniform spacings are exponential]
IRREGULAR, UNEVEN = 0.3, 0.7
MIN_RANDOM = 6  # rates, of which fewer show no pattern [assumed]


@dataclass(frozen=True, slots=True)
class Coordinate:
    """A hyperparameter and the scale on which its quadratic is fitted.

    Args:
        name: The hyperparameter.
        is_log: Whether positions are log2 of the value, or the value itself.
    """

    name: str
    is_log: bool

    def position(self, values: Floats) -> Floats:
        """Return the positions of values."""
        return np.asarray(np.log2(values).round(9) if self.is_log else values, dtype=np.float64)

    def value(self, position: float) -> float:
        """Return the value at a position."""
        return float(2.0**position) if self.is_log else position

    def format(self, position: float) -> str:
        """Format the value at a position, for messages.

        Example:
            >>> Coordinate("lr", True).format(-6.0), Coordinate("weight_decay", False).format(0.1)
            ('2^-6 (0.01562)', '0.1')
        """
        value = f"{self.value(position):.4g}"
        is_small = self.is_log and not 0.01 < self.value(position) < 1000
        is_rate = self.is_log and (is_small or self.name.endswith("lr"))
        return f"{format_power(position)} ({value})" if is_rate else value


@dataclass(frozen=True, slots=True, eq=False)
class SampleTable:
    """One width's samples.

    Args:
        width: The value of the scale.
        coordinates: One per hyperparameter.
        points: Their positions, one row per point.
        losses: One column per seed; NaN where diverged or not run.
        diverged: Points at which a run diverged.
    """

    width: float
    coordinates: tuple[Coordinate, ...]
    points: Floats
    losses: Floats
    diverged: Bools

    @property
    def count(self) -> Floats:
        """Number of runs with a loss, at every point."""
        return np.asarray(np.isfinite(self.losses).sum(axis=1), dtype=np.float64)

    @property
    def usable(self) -> Bools:
        """Points with a loss at which no run diverged."""
        return np.asarray((self.count > 0) & ~self.diverged)

    @property
    def mean(self) -> Floats:
        """Mean loss over seeds; NaN where a run diverged, since the others' mean is too good."""
        total_P = np.nansum(self.losses, axis=1)
        return np.where(self.usable, total_P / np.maximum(self.count, 1), np.nan)


def sample_tables(
    results: Results, columns: TuningColumns
) -> tuple[Mapping[str, tuple[SampleTable, ...]], list[str]]:
    """Arrange the trials of every group and width as tables of points and seeds.

    Returns:
        The tables of each group, by ascending width, and sentences about the columns.

    Raises:
        ResultsError: A column is missing or holds no numbers, a hyperparameter has one value, or
            two trials share a point.
    """
    columns.check(results)
    results = results.having(columns.scale, *columns.hyperparameters)
    width_N = without_rounding(numbers(results, columns.scale))
    value_NH = np.column_stack(
        [without_rounding(numbers(results, h, zero=True)) for h in columns.hyperparameters]
    )
    columns.check_values(results, value_NH)
    values = dict(zip(columns.hyperparameters, value_NH.T, strict=True))
    coordinates = tuple(Coordinate(name, bool((v > 0).all())) for name, v in values.items())
    position_NH = np.column_stack([c.position(values[c.name]) for c in coordinates])
    name_N = group_names(results, columns.group_by)
    key = (name_N, width_N, *position_NH.T)
    seed_N = _seeds(results, key, columns)
    _check_repeated(results, key, seed_N, columns)
    loss_N, diverged_N = _losses(results)
    tables: dict[str, tuple[SampleTable, ...]] = {}
    for name in np.unique(name_N).tolist():
        tables[name] = ()
        for width in np.unique(width_N[name_N == name]).tolist():
            rows = np.flatnonzero((name_N == name) & (width_N == width))
            points_PH, place = np.unique(position_NH[rows], axis=0, return_inverse=True)
            seeds, column = np.unique(seed_N[rows], return_inverse=True)
            loss_PS = np.full((len(points_PH), len(seeds)), np.nan)
            loss_PS[place.ravel(), column] = np.where(diverged_N[rows], np.nan, loss_N[rows])
            diverged_P = np.zeros(len(points_PH), dtype=np.bool_)
            np.logical_or.at(diverged_P, place.ravel(), diverged_N[rows])
            table = SampleTable(width, coordinates, points_PH, loss_PS, diverged_P)
            tables[name] += (table,)
    return tables, _column_notes(results, columns, coordinates)


def _losses(results: Results) -> tuple[Floats, Bools]:
    """Return losses, and which runs diverged; so did one that is worse than an untrained model."""
    with np.errstate(invalid="ignore"):
        is_worse_N = results.loss > results.untrained_loss
    return results.loss, np.asarray(results.diverged | is_worse_N)


def _seeds(
    results: Results, key: Sequence[NDArray[np.str_] | Floats], columns: TuningColumns
) -> NDArray[np.str_]:
    """Return each trial's seed; without such a column, number the runs at the same point."""
    seeds = results.axes.get(SEED, ())
    if any(seed is not None for seed in seeds) and SEED not in columns.used:
        return np.array([format_value(seed) for seed in seeds], dtype=np.str_)
    point_N = point_ids(key)
    if distinguishing_columns(results, point_N, columns.used):
        return np.full(len(results), "0")  # they are not repetitions: `_check_repeated` raises
    order = np.argsort(point_N, kind="stable")
    first = np.searchsorted(point_N[order], point_N[order])
    repetition_N = np.empty(len(results), np.intp)
    repetition_N[order] = np.arange(len(results)) - first
    return repetition_N.astype(np.str_)


def _check_repeated(
    results: Results,
    key: Sequence[NDArray[np.str_] | Floats],
    seed_N: NDArray[np.str_],
    columns: TuningColumns,
) -> None:
    """Raise if several trials share group, width, point and seed."""
    point_N = point_ids((*key, seed_N))
    _, first, count = np.unique(point_N, return_index=True, return_counts=True)
    repeated = first[count > 1]
    if not len(repeated):
        return
    names = (columns.scale, *columns.hyperparameters)
    points = [
        ", ".join(f"{name} {_text(results.axes[name][row])}" for name in names)
        for row in repeated[:3].tolist()
    ]
    more = f" and {len(repeated) - 3} more" if len(repeated) > 3 else ""
    settings = distinguishing_columns(results, point_N, (*columns.used, SEED))
    fix = "keep one row per run, or give repeated runs different values of 'seed'"
    if settings:
        fix = f"distinguish the runs: {format_group_by([*columns.group_by, *settings])}"
    raise ResultsError(
        f"{results.provenance.source} has several trials at the same point: "
        f"{'; '.join(points)}{more}",
        why="runs that differ in another setting would be averaged as if they were repetitions",
        fix=fix,
    )


def _text(value: Cell) -> str:
    """Format a value of a column, with few digits."""
    is_fraction = isinstance(value, float) and not value.is_integer()
    return f"{value:.4g}" if is_fraction else format_value(value)


def _column_notes(
    results: Results, columns: TuningColumns, coordinates: Sequence[Coordinate]
) -> list[str]:
    """Return sentences on linear scales, and on settings that vary but are not tuned."""
    notes = [
        f"{c.name} is 0 in some runs, so its optimum is fitted on a linear scale"
        for c in coordinates
        if not c.is_log
    ]
    varying = _varying(results, columns.scale, columns.used)
    if varying:
        notes.append(
            f"{listed(varying)} {'varies' if len(varying) == 1 else 'vary'} too; what "
            f"{'it changes' if len(varying) == 1 else 'they change'} counts as noise: name "
            "every hyperparameter that was sampled, or group by it"
        )
    return notes


def _varying(results: Results, scale: str, used: Sequence[str]) -> list[str]:
    """Return the columns of settings that have many values at one width and are not used."""
    return [
        name
        for name, values in results.axes.items()
        if name not in used
        and name.lower() not in {*INCIDENTAL, SEED}
        and not MEASURED.search(name)
        and not is_length(name)
        and _varies_with_the_point(values, results.axes[scale])
    ]


def random_points_note(results: Results, scale: str, tuned: str, used: Sequence[str]) -> str | None:
    """Return a sentence where random points are read as the curve of one setting, or None.

    On a grid two runs would share a rate, which is an error; random points share none.
    """
    unevenness = _unevenness(as_floats(results.axes[scale]), as_floats(results.axes[tuned]))
    if unevenness < IRREGULAR:
        return None
    names = [
        name
        for name in _varying(results, scale, used)
        if not _follows(results.axes[name], results.axes[tuned])
    ]
    if names:
        option = ",".join([tuned, *names])
        return (
            f"{listed(names)} {'varies' if len(names) == 1 else 'vary'} with {tuned} too, as "
            f"random points do, and what {'it changes' if len(names) == 1 else 'they change'} "
            f"counts as noise of the curve: --hyperparameter {option} gives the best point of all"
        )
    if unevenness < UNEVEN:
        return None
    return (
        f"the values of {tuned} are as uneven as random points, and between two that nearly agree "
        "noise looks like a step of the curve, or a divergence: prefer an even grid"
    )


def _unevenness(size_N: Floats, rate_N: Floats) -> float:
    """Return the scatter of the steps between rates over their mean, where most rates were run."""
    is_number_N = np.isfinite(size_N) & np.isfinite(rate_N) & (rate_N > 0)
    rate_N = without_rounding(np.where(is_number_N, rate_N, 1.0))
    rates = [np.unique(rate_N[is_number_N & (size_N == size)]) for size in np.unique(size_N)]
    most = max(rates, key=len, default=np.empty(0))
    if len(most) < MIN_RANDOM:
        return 0.0
    steps = np.diff(np.log2(most))
    return float(steps.std() / steps.mean())


def _follows(values: Sequence[Cell], rates: Sequence[Cell]) -> bool:
    """Return whether a column is a function of the rate, such as a decay of 0.1/lr."""
    value_N, rate_N = as_floats(values), as_floats(rates)
    is_number_N = np.isfinite(value_N) & np.isfinite(rate_N)
    pairs = np.unique(np.column_stack([rate_N, value_N])[is_number_N], axis=0)
    moves = np.diff(pairs[:, 1])
    is_function = len(np.unique(pairs[:, 0])) == len(pairs)
    return is_function and bool((moves >= 0).all() or (moves <= 0).all())


def _varies_with_the_point(values: Sequence[Cell], widths: Sequence[Cell]) -> bool:
    """Return whether a column of numbers has many values at one width."""
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return False
    pairs = set(zip(widths, values, strict=True))
    return len(pairs) > 2 * len(set(widths))
