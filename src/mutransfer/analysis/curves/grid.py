"""This file is results sorted into one table of rates by seeds per group and width."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mutransfer.analysis.format import label
from mutransfer.analysis.loading.columns import (
    PLACEHOLDER,
    closest_name,
    format_mapping,
    format_suggestion,
    seed_column,
)
from mutransfer.analysis.types.estimates import LN2, Bools, Floats
from mutransfer.errors import ResultsError, listed

if TYPE_CHECKING:
    from mutransfer.analysis.results import Results

# Shape legend: N trials, R rates, S seeds.

SEED = "seed"
# Columns that differ between any two runs, and tell nothing apart: a store's own, W&B's own, and
# what numbers repetitions.
INCIDENTAL = frozenset(
    {"id", "seconds", "shared_from", "flops", "tokens", "state", "notes", "user", "created"}
    | {"updated", "status", "runtime", "end time", "hostname", "host", "sweep", "run id", "run_id"}
    | {"trial", "repeat", "rep", "replicate", "random_seed"}
)
MEASURED = re.compile(r"loss|acc(uracy)?\b|ppl|perplexity|_norm|time|date", re.IGNORECASE)
STEPS = frozenset({"step", "steps", "_step", "iter", "iters", "iteration", "epoch", "tokens_seen"})
ALONE = "all"  # the name of the only group, where nothing groups


@dataclass(frozen=True, slots=True)
class Cells:
    """One width's losses, by rate and seed.

    Args:
        width: The value of the scale.
        log2_lr: Rates that were tried, rising.
        seeds: Names of the seeds.
        losses: Losses; NaN where diverged or not run.
        diverged: Where a trial diverged.
        untrained: Loss before training; NaN where unknown.
        flops: Floating-point operations of a trial, on average; NaN where unknown.
    """

    width: float
    log2_lr: Floats
    seeds: tuple[str, ...]
    losses: Floats
    diverged: Bools
    untrained: Floats
    flops: float

    @property
    def x(self) -> Floats:
        """Natural logarithms of the rates."""
        return self.log2_lr * LN2

    @property
    def run(self) -> Bools:
        """Where there is a finite loss."""
        return np.isfinite(self.losses)

    @property
    def usable(self) -> Bools:
        """Rates with a loss at which no seed diverged."""
        return np.asarray(self.run.any(axis=1) & ~self.diverged.any(axis=1))

    @property
    def mean(self) -> Floats:
        """Mean loss over seeds; NaN where a seed diverged."""
        count_R = np.maximum(self.run.sum(axis=1), 1)
        sum_R = np.where(self.run, self.losses, 0.0).sum(axis=1)
        return np.where(self.usable, sum_R / count_R, np.nan)

    @property
    def floor(self) -> Floats:
        """What the mean loss is at least: a diverged run ends above the untrained loss."""
        known_RS = np.where(self.diverged, self.untrained, self.losses)
        there_RS = self.run | self.diverged
        count_R = np.maximum(there_RS.sum(axis=1), 1)
        floor_R: Floats = np.where(there_RS, known_RS, 0.0).sum(axis=1) / count_R
        return floor_R

    @property
    def grid_argmin(self) -> int | None:
        """Index of the lowest mean loss; an exact tie goes to the larger rate."""
        mean_R = self.mean
        if not self.usable.any():
            return None
        lowest = np.nanmin(mean_R)
        # Equal losses may differ in the last bit after averaging in another order.
        ties = np.flatnonzero(mean_R <= lowest + 1e-12 * abs(lowest))
        return int(ties[-1])


def cells_by_group(
    results: Results, *, scale: str, hyperparameter: str, group_by: Sequence[str]
) -> Mapping[str, tuple[Cells, ...]]:
    """Sort trials into groups and widths.

    A trial without width or rate is left out. Where there is no column of seeds, trials at
    the same point are repeated runs, numbered in the order in which they stand.

    Raises:
        ResultsError: Where a column is missing, a width or rate is no positive number, or
            two trials stand at the same point.
    """
    _check_columns(results, scale, hyperparameter, group_by)
    results = results.having(scale, hyperparameter)
    width_N = _positive(results, scale)
    # Rates that differ in the last bits are the same point of the grid.
    log2_lr_N = np.asarray(np.round(np.log2(_positive(results, hyperparameter)), 9), np.float64)
    name_N = _group_names(results, group_by)
    seed_N = _seeds(results, (name_N, width_N, log2_lr_N))
    key = (name_N, width_N, log2_lr_N, seed_N)
    _refuse_duplicates(results, key, (scale, hyperparameter), group_by)
    groups = {}
    names, code_N = np.unique(name_N, return_inverse=True)
    for code, name in enumerate(names):
        groups[str(name)] = tuple(
            _cells(results, np.flatnonzero((code_N == code) & (width_N == width)), cols)
            for cols in [(width_N, log2_lr_N, seed_N)]
            for width in np.unique(width_N[code_N == code])
        )
    return groups


def _cells(
    results: Results, rows: NDArray[np.intp], columns: tuple[Floats, Floats, NDArray[np.str_]]
) -> Cells:
    """Lay one width's trials out as a table."""
    width_N, log2_lr_N, seed_N = columns
    rate_R, at_rate = np.unique(log2_lr_N[rows], return_inverse=True)
    seeds, at_seed = np.unique(seed_N[rows], return_inverse=True)
    shape = (len(rate_R), len(seeds))
    loss_RS, untrained_RS = np.full(shape, np.nan), np.full(shape, np.nan)
    diverged_RS = np.zeros(shape, dtype=np.bool_)
    loss_RS[at_rate, at_seed] = results.loss[rows]
    diverged_RS[at_rate, at_seed] = results.diverged[rows]
    untrained_RS[at_rate, at_seed] = results.untrained_loss[rows]
    names = tuple(str(seed) for seed in seeds)
    flops = float(results.flops[rows].mean())
    width = float(width_N[rows[0]])
    return Cells(width, rate_R, names, loss_RS, diverged_RS, untrained_RS, flops)


def _check_columns(
    results: Results, scale: str, hyperparameter: str, group_by: Sequence[str]
) -> None:
    """Refuse names that are no columns, all at once."""
    axes = results.axes
    missing = [name for name in (scale, hyperparameter, *group_by) if name not in axes]
    if missing:
        usual = [n for n in missing if n in (scale, hyperparameter) and n in ("width", "lr")]
        said = [format_suggestion(usual, axes)] if usual else []
        for flag, key, name in (
            ("--scale", "scale", scale),
            ("--hyperparameter", "hyperparameter", hyperparameter),
        ):
            if name in missing and name not in usual:
                close = closest_name(name, axes) or PLACEHOLDER
                said.append(f"{flag} {shlex.quote(close)} (in Python: {key}={json.dumps(close)})")
        if any(name in missing for name in group_by):
            said.append(grouping([n if n in axes else closest_name(n, axes) for n in group_by]))
        if any(PLACEHOLDER in line for line in said) and not usual:
            said.append(f"choose from {listed(axes, limit=12)}")
        raise ResultsError(
            f"{results.provenance.source} has no column {listed(dict.fromkeys(missing))}",
            why="rates cannot be compared without knowing width and rate of every run"
            if {scale, hyperparameter} & {*missing}
            else "runs that belong to different groups would be averaged",
            fix="; ".join(said),
        )
    used = [scale, hyperparameter, *group_by]
    if twice := sorted({name for name in used if used.count(name) > 1}):
        raise ResultsError(
            f"column {listed(twice)} is asked to be two things",
            why="every group would have a single width or a single rate",
            fix="name different columns by --scale, --hyperparameter and --group-by "
            "(in Python: scale, hyperparameter, group_by)",
        )


def grouping(names: Sequence[str | None]) -> str:
    """Write columns to group by as they are typed at the shell, and in Python.

    Example:
        >>> grouping(["form", "optimizer"])
        '--group-by form,optimizer (in Python: group_by=["form", "optimizer"])'
    """
    named = [name or PLACEHOLDER for name in names]
    return f"--group-by {shlex.quote(','.join(named))} (in Python: group_by={json.dumps(named)})"


def _positive(results: Results, name: str) -> Floats:
    """Read a column of positive numbers."""
    values = results.axes[name]
    column = np.array([_number(value) for value in values])
    wrong = np.flatnonzero(~np.isfinite(column)).tolist()
    if wrong:
        odd = [values[row] for row in wrong]
        shown = dict.fromkeys("nothing" if value is None else label(value) for value in odd)
        raise ResultsError(
            f"{results.provenance.source}: column '{name}' must hold positive numbers, "
            f"not {listed(shown)} in {results.places.of(wrong)}",
            why="optima are compared on logarithmic axes",
            fix=f"correct {len(wrong)} of {len(values)} values of '{name}', or leave them empty"
            + (
                f"; if it is a logarithm: {format_mapping({name: f'2^{name}'})}"
                if _negative(values)
                else ""
            ),
        )
    return column


def _negative(values: Sequence[object]) -> bool:
    """Say whether all of them are negative numbers."""
    return all(isinstance(value, int | float) and value < 0 for value in values)


def _number(value: object) -> float:
    """Give a positive finite number as it is, anything else as NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return np.nan
    return float(value) if 0 < value <= sys.float_info.max else np.nan


def _labels(values: Sequence[object]) -> NDArray[np.str_]:
    """Name the values of a column."""
    # Few values stand in many rows; 1 and True are equal keys, so the type is one too.
    keys = [(type(value), value) for value in values]
    names = {key: label(key[1]) for key in dict.fromkeys(keys)}
    return np.array([names[key] for key in keys], dtype=np.str_)


def _group_names(results: Results, group_by: Sequence[str]) -> NDArray[np.str_]:
    """Name each trial's group."""
    if not group_by:
        return np.array([ALONE] * len(results))
    columns = [results.axes[name] for name in group_by]
    for name, values in zip(group_by, columns, strict=True):
        if lacking := sum(value is None for value in values):
            rest = [other for other in group_by if other != name]
            raise ResultsError(
                f"{results.provenance.source}: {lacking} of {len(values)} trials have no '{name}'",
                why="they belong to no group",
                fix=(grouping(rest) if rest else "leave out --group-by (in Python: group_by)")
                + ", or analyze one study at a time",
            )
    rows = zip(*(_labels(values).tolist() for values in columns), strict=True)
    return np.array([", ".join(row) for row in rows])


def _points(key: Sequence[NDArray[np.str_] | Floats]) -> NDArray[np.intp]:
    """Number the points that trials stand at, equal numbers for equal points."""
    codes = [np.unique(column, return_inverse=True) for column in key]
    flat = np.ravel_multi_index([code for _, code in codes], [len(values) for values, _ in codes])
    return np.asarray(np.unique(flat, return_inverse=True)[1], np.intp)


def _seeds(results: Results, key: Sequence[NDArray[np.str_] | Floats]) -> NDArray[np.str_]:
    """Name each trial's seed; without such a column, runs at the same point are numbered."""
    seeds = results.axes.get(SEED, ())
    if any(seed is not None for seed in seeds):
        return _labels(seeds)
    point_N = _points(key)
    # A step or an optimizer is not a repetition: what differs so is told apart, or refused.
    if _differing(results, point_N, used=()):
        return np.full(len(results), "0")
    order = np.argsort(point_N, kind="stable")
    first = np.searchsorted(point_N[order], point_N[order])
    count_N = np.empty(len(results), np.intp)
    count_N[order] = np.arange(len(results)) - first
    return count_N.astype(np.str_)


def _differing(results: Results, point_N: NDArray[np.intp], used: Sequence[str]) -> list[str]:
    """Name the columns that tell runs at the same point apart, and are settings."""
    count = np.bincount(point_N)
    rows = np.flatnonzero(count[point_N] > 1).tolist()
    if not rows:
        return []
    at = point_N[rows].tolist()
    points = len(set(at))
    found = []
    for name, values in results.axes.items():
        if name in used or name.lower() in INCIDENTAL or MEASURED.search(name):
            continue
        # Two NaN are never equal; here they tell nothing apart.
        cells = [None if values[row] != values[row] else values[row] for row in rows]
        if len(set(zip(at, cells, strict=True))) > points and (
            name.lower() in STEPS or not _is_unlike(values)
        ):
            found.append(name)
    return found


def _is_unlike(values: Sequence[object]) -> bool:
    """Whether nearly every run has its own value: something measured, or the run's name."""
    distinct = len(set(values))
    named = all(isinstance(value, str) for value in values)
    return distinct == len(values) if named else len(values) > 10 and distinct > len(values) / 2


def _refuse_duplicates(
    results: Results,
    key: tuple[NDArray[np.str_], Floats, Floats, NDArray[np.str_]],
    names: tuple[str, str],
    group_by: Sequence[str],
) -> None:
    """Name the points at which more than one trial stands."""
    point_N = _points(key)
    _, first, count = np.unique(point_N, return_index=True, return_counts=True)
    twice = np.flatnonzero(count > 1)
    if not len(twice):
        return
    seeded = any(seed is not None for seed in results.axes.get(SEED, ()))
    points = [
        f"{key[0][row]}: {names[0]} {label(float(key[1][row]))}, "
        f"{names[1]} {results.axes[names[1]][row]:g}" + f", seed {key[3][row]}" * seeded
        for row in first[twice[:3]].tolist()
    ]
    differ = _differing(results, point_N, used=(*names, SEED, *group_by))
    steps = [name for name in differ if name.lower() in STEPS]
    seed = None if seeded else seed_column(differ)
    more = f" and {len(twice) - 3} more" if len(twice) > 3 else ""
    raise ResultsError(
        f"{results.provenance.source} has several trials at the same point: "
        + "; ".join(points)
        + more,
        why="losses of unfinished training would be averaged with final ones"
        if steps
        else "runs that differ in something else would be averaged as if they were one",
        fix=f"keep the last row of each run, the one with the largest '{steps[0]}'"
        if steps
        else f"repeated runs are told apart by their seed: {format_mapping({SEED: seed})}"
        if seed
        else f"tell them apart: {grouping([*group_by, *differ])}"
        if differ
        else "keep one row per run, or give repeated runs different values of 'seed'",
    )
