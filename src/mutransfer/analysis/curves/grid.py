"""Grids of losses, one per group and width, or combination of several scales: rates by seeds."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mutransfer.analysis.curves.duplicates import (
    SEED,
    check_duplicates,
    distinguishing_columns,
    point_ids,
)
from mutransfer.analysis.curves.lengths import is_length, longest_runs, short_runs, trial_lengths
from mutransfer.analysis.curves.spread import Spread, spread_of_means
from mutransfer.analysis.format import AxisNames, format_group_by, format_value
from mutransfer.analysis.loading.columns import (
    PLACEHOLDER,
    closest_name,
    format_mapping,
    format_suggestion,
)
from mutransfer.analysis.loading.names import alias_rank
from mutransfer.analysis.results import Results
from mutransfer.analysis.rounding import cells_without_rounding, without_rounding
from mutransfer.analysis.types.estimates import LN2, Bools, Floats
from mutransfer.errors import ResultsError, listed

# Shape legend: N trials, R rates, S seeds.

# Names of the column that holds the number of classes of a language model's loss.
VOCABULARY = frozenset({"vocab_size", "vocab", "n_vocab", "vocabulary", "vocabulary_size"})
ONLY_GROUP = "all"  # name of the only group if results are not grouped


@dataclass(frozen=True, slots=True)
class LossGrid:
    """One width's losses, by rate and seed.

    Args:
        width: The value of the scale, or of the first of several.
        log2_lr: Rates that were tried, ascending.
        seeds: Names of the seeds.
        losses: Losses; NaN where diverged or not run.
        diverged: Where a trial diverged.
        untrained: Loss before training; NaN where not recorded.
        flops: Floating-point operations of a trial, on average; NaN where not recorded.
        plateau: Where a trial counts as diverged although its loss is finite.
        spiked: Where a trial is left out, since it lies far above the others.
        lengths: How long the longest run trained, by column; empty where groups differ in it.
        short_runs: Sentence on the runs that were left out because they ended early, or None.
        screened: Sentences on the runs that `plateau` and `spiked` mark.
        spread: Spread of the runs behind each rate of a table of means, or None.
        measures: Measures of the training curves, NaN where a run has none.
        further: The values of the other scales.
    """

    width: float
    log2_lr: Floats
    seeds: tuple[str, ...]
    losses: Floats
    diverged: Bools
    untrained: Floats
    flops: float
    plateau: Bools
    spiked: Bools
    lengths: Mapping[str, float] = field(default_factory=dict)
    short_runs: str | None = None
    screened: tuple[str, ...] = ()
    spread: Spread | None = None
    measures: Mapping[str, Floats] = field(default_factory=dict)
    further: tuple[float, ...] = ()

    @property
    def sizes(self) -> tuple[float, ...]:
        """The value of every scale."""
        return (self.width, *self.further)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on the runs that are not part of the curve."""
        return (*self.screened, *([self.short_runs] if self.short_runs else []))

    @property
    def x(self) -> Floats:
        """Natural logarithms of the rates."""
        return self.log2_lr * LN2

    @property
    def finite(self) -> Bools:
        """Where there is a loss that belongs to the curve."""
        return np.isfinite(self.losses) & ~self.plateau & ~self.spiked

    @property
    def usable(self) -> Bools:
        """Rates with a loss at which no seed diverged."""
        return np.asarray(self.finite.any(axis=1) & ~(self.diverged | self.plateau).any(axis=1))

    @property
    def mean(self) -> Floats:
        """Mean loss over seeds; NaN where a seed diverged, since the others' mean is too good."""
        return np.where(self.usable, self.measured, np.nan)

    @property
    def measured(self) -> Floats:
        """As `mean`, but also where runs diverged with a finite loss."""
        is_measured_RS = self.finite | self.plateau
        count_R = np.maximum(is_measured_RS.sum(axis=1), 1)
        sum_R = np.where(is_measured_RS, self.losses, 0.0).sum(axis=1)
        is_known_R = is_measured_RS.any(axis=1) & ~self.diverged.any(axis=1)
        return np.where(is_known_R, sum_R / count_R, np.nan)

    @property
    def lower_bound(self) -> Floats:
        """Lower bound of the mean loss: a diverged run ends above the untrained loss."""
        loss_RS = np.where(self.diverged, self.untrained, self.losses)
        was_run_RS = self.finite | self.plateau | self.diverged
        count_R = np.maximum(was_run_RS.sum(axis=1), 1)
        return np.asarray(np.where(was_run_RS, loss_RS, 0.0).sum(axis=1) / count_R)

    @property
    def argmin(self) -> int | None:
        """Index of the lowest mean loss; of equal ones, that of the larger rate."""
        if not self.usable.any():
            return None
        lowest = np.nanmin(self.mean)
        # Equal losses may differ in the last bit after averaging in another order.
        return int(np.flatnonzero(self.mean <= lowest + 1e-12 * abs(lowest))[-1])

    def at_rates(self, is_kept_R: Bools) -> LossGrid:
        """Return the grid with some of its rates."""
        rows = {
            name: getattr(self, name)[is_kept_R]
            for name in ("log2_lr", "losses", "diverged", "untrained", "plateau", "spiked")
        }
        spread = None if self.spread is None else self.spread.at_rates(is_kept_R)
        measures = {name: values[is_kept_R] for name, values in self.measures.items()}
        return self if is_kept_R.all() else replace(self, **rows, spread=spread, measures=measures)


def loss_grids(
    results: Results, axes: AxisNames, group_by: Sequence[str]
) -> Mapping[str, tuple[LossGrid, ...]]:
    """Arrange the trials of every group and width as a grid of rates and seeds.

    With several scales there is one grid per combination of their values. A trial without width or
    rate is left out, and so is one that ended well before the longest of its width. Without a
    column of seeds, trials at the same point are repeated runs, numbered in the order of their
    rows.

    Raises:
        ResultsError: A column is missing, a width or rate is not a positive number, or two trials
            share a point.
    """
    _check_columns(results, axes, group_by)
    results = results.having(*axes.scales, axes.hyperparameter)
    size_KN = [without_rounding(_positive_column(results, scale)) for scale in axes.scales]
    # Rates that differ by rounding are the same point of the grid, and so are their logarithms.
    lr_N = without_rounding(_positive_column(results, axes.hyperparameter))
    log2_lr_N: Floats = np.log2(lr_N).round(9)
    name_N = group_names(results, group_by)
    seed_N = _seeds(results, (name_N, *size_KN, log2_lr_N))
    check_duplicates(results, (name_N, *size_KN, log2_lr_N, seed_N), axes, group_by)
    untrained_N = _untrained_losses(results)
    lengths, is_grouped = trial_lengths(results), any(map(is_length, group_by))
    spread = spread_of_means(results)
    names, group_N = np.unique(name_N, return_inverse=True)
    sizes, cell_N = _cells(size_KN)
    grids: dict[str, tuple[LossGrid, ...]] = {}
    for group, name in enumerate(names.tolist()):
        grids[name] = ()
        for cell in np.unique(cell_N[group_N == group]).tolist():
            rows = np.flatnonzero((group_N == group) & (cell_N == cell))
            short = short_runs(lengths, rows, log2_lr_N, results.diverged)
            note = None if short is None else short.note(axes.at(*sizes[cell]))
            rows = rows if short is None else rows[~short.is_short]
            grid = _grid(results, rows, sizes[cell], log2_lr_N, seed_N, untrained_N)
            longest = {} if is_grouped else longest_runs(lengths, rows, results.diverged)
            behind = _spread_by_rate(spread, grid, rows, log2_lr_N)
            grids[name] += (replace(grid, lengths=longest, short_runs=note, spread=behind),)
    return grids


def _cells(size_KN: Sequence[Floats]) -> tuple[list[tuple[float, ...]], NDArray[np.intp]]:
    """Return the combinations of sizes that were run, ascending, and that of each trial.

    Draws follow this order, so it does not depend on the order in which the scales are named.
    """
    size_NK = np.stack(size_KN, axis=1)
    size_CK, cell_N = np.unique(size_NK, axis=0, return_inverse=True)
    by_content = sorted(size_CK.T, key=lambda size_C: (np.unique(size_C).tolist(), size_C.tolist()))
    order_C = np.lexsort(by_content[::-1])
    rank_C = np.empty(len(order_C), np.intp)
    rank_C[order_C] = np.arange(len(order_C))
    return [tuple(sizes) for sizes in size_CK[order_C].tolist()], rank_C[cell_N.reshape(-1)]


def _grid(
    results: Results,
    rows: NDArray[np.intp],
    sizes: tuple[float, ...],
    log2_lr_N: Floats,
    seed_N: NDArray[np.str_],
    untrained_N: Floats,
) -> LossGrid:
    """Arrange one width's trials as a grid."""
    log2_lr_R, rate_index = np.unique(log2_lr_N[rows], return_inverse=True)
    seeds, seed_index = np.unique(seed_N[rows], return_inverse=True)
    shape = (len(log2_lr_R), len(seeds))
    none_RS = np.zeros(shape, dtype=np.bool_)

    def arranged(values_N: Floats) -> Floats:
        value_RS = np.full(shape, np.nan)
        value_RS[rate_index, seed_index] = values_N[rows]
        return value_RS

    diverged_RS = none_RS.copy()
    diverged_RS[rate_index, seed_index] = results.diverged[rows]
    return LossGrid(
        width=sizes[0],
        further=sizes[1:],
        log2_lr=log2_lr_R,
        seeds=tuple(str(seed) for seed in seeds),
        losses=arranged(results.loss),
        diverged=diverged_RS,
        untrained=arranged(untrained_N),
        flops=float(results.flops[rows].mean()),
        plateau=none_RS,
        spiked=none_RS,
        measures={name: arranged(values_N) for name, values_N in results.measures.items()},
    )


def _untrained_losses(results: Results) -> Floats:
    """Return each trial's loss before training, or ln(vocabulary), that of a uniform guess."""
    for name, values in results.axes.items():
        if re.split(r"[./]", name.lower())[-1] in VOCABULARY:
            sizes = np.array([_positive_or_nan(value) for value in values])
            return np.where(np.isnan(results.untrained_loss), np.log(sizes), results.untrained_loss)
    return results.untrained_loss


def _spread_by_rate(
    spread: Spread | None, grid: LossGrid, rows: NDArray[np.intp], log2_lr_N: Floats
) -> Spread | None:
    """Arrange the spread of one width's means, or return None where it has repeated runs."""
    if spread is None or len(grid.seeds) > 1:
        return None
    order = rows[np.argsort(log2_lr_N[rows])]
    return Spread(spread.variance[order], spread.runs[order])


def _check_columns(results: Results, axes: AxisNames, group_by: Sequence[str]) -> None:
    """Raise one error for all names that are not columns, or that have two uses."""
    columns, placed = results.axes, (*axes.scales, axes.hyperparameter)
    missing = [name for name in (*placed, *group_by) if name not in columns]
    if missing:
        raise ResultsError(
            f"{results.provenance.source} has no column {listed(dict.fromkeys(missing))}",
            why="rates cannot be compared without the width and the rate of every run"
            if {*placed} & {*missing}
            else "runs that belong to different groups would be averaged",
            fix="; ".join(_column_fixes(columns, axes, group_by, missing)),
        )
    used = [*placed, *group_by]
    if repeated := sorted({name for name in used if used.count(name) > 1}):
        raise ResultsError(
            f"column {listed(repeated)} has two uses",
            why="every group would have a single width or a single rate",
            fix="name different columns by --scale, --hyperparameter and --group-by "
            "(in Python: scale, hyperparameter, group_by)",
        )


def _column_fixes(
    columns: Mapping[str, object], axes: AxisNames, group_by: Sequence[str], missing: Sequence[str]
) -> list[str]:
    """Return an argument to type for every missing column."""
    placed = (*axes.scales, axes.hyperparameter)
    usual = [name for name in missing if name in placed and name in ("width", "lr")]
    fixes = [format_suggestion(usual, columns)] if usual else []
    for key, names in (("scale", axes.scales), ("hyperparameter", (axes.hyperparameter,))):
        if any(name in missing and name not in usual for name in names):
            close = [n if n in columns else closest_name(n, columns) or PLACEHOLDER for n in names]
            python = json.dumps(close if len(close) > 1 else close[0])
            fixes.append(f"--{key} {shlex.quote(','.join(close))} (in Python: {key}={python})")
    if any(name in missing for name in group_by):
        close_names = [n if n in columns else closest_name(n, columns) for n in group_by]
        fixes.append(format_group_by([name or PLACEHOLDER for name in close_names]))
    if any(PLACEHOLDER in fix for fix in fixes) and not usual:
        fixes.append(f"choose from {listed(columns, limit=12)}")
    return fixes


def _positive_column(results: Results, name: str) -> Floats:
    """Return a column of positive numbers."""
    values = results.axes[name]
    column = np.array([_positive_or_nan(value) for value in values])
    wrong = np.flatnonzero(~np.isfinite(column)).tolist()
    if wrong:
        shown = ["nothing" if values[row] is None else format_value(values[row]) for row in wrong]
        fix = f"correct {len(wrong)} of {len(values)} values of '{name}', or leave them empty"
        if all(isinstance(value, int | float) and value < 0 for value in values):
            fix += f"; if it is a logarithm: {format_mapping({name: f'2^{name}'})}"
        if all(text.strip().endswith("%") for text in shown):
            fix = "remove the % sign"
        if shown == ["0"] * len(values) and alias_rank("lr", name) is not None:
            fix = "0 is the last rate of a schedule: map the rate that was set, --columns lr=COLUMN"
        raise ResultsError(
            f"{results.provenance.source}: column '{name}' must hold positive numbers, "
            f"not {listed(dict.fromkeys(shown))} in {results.places.format(wrong)}",
            why="optima are compared on logarithmic axes",
            fix=fix,
        )
    return column


def _positive_or_nan(value: object) -> float:
    """Convert a positive finite number to a float, and anything else to NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return np.nan
    return float(value) if 0 < value <= sys.float_info.max else np.nan


def _text_column(values: Sequence[object]) -> NDArray[np.str_]:
    """Format the values of a column."""
    # Each distinct value is formatted once. The type is in the key because 1 and True are equal.
    keys = [(type(value), value) for value in values]
    texts = {key: format_value(key[1]) for key in dict.fromkeys(keys)}
    return np.array([texts[key] for key in keys], dtype=np.str_)


def group_names(results: Results, group_by: Sequence[str]) -> NDArray[np.str_]:
    """Return each trial's group.

    Raises:
        ResultsError: A trial has no value in one of the columns.
    """
    if not group_by:
        return np.array([ONLY_GROUP] * len(results))
    source, columns = results.provenance.source, [results.axes[name] for name in group_by]
    for name, values in zip(group_by, columns, strict=True):
        if num_empty := sum(value is None for value in values):
            rest = [other for other in group_by if other != name]
            fix = format_group_by(rest) if rest else "leave out --group-by (in Python: group_by)"
            raise ResultsError(
                f"{source}: {num_empty} of {len(values)} trials have no '{name}'",
                why="they belong to no group",
                fix=f"{fix}, or analyze one study at a time",
            )
    texts = [_text_column(cells_without_rounding(values)).tolist() for values in columns]
    rows = zip(*texts, strict=True)
    return np.array([", ".join(row) for row in rows])


def _have_names(results: Results) -> bool:
    """Return whether a column holds a different text for every run, as names and ids do."""
    return any(
        {*map(type, values)} == {str} and len({*values}) == len(values)
        for values in results.axes.values()
    )


def _seeds(results: Results, key: Sequence[NDArray[np.str_] | Floats]) -> NDArray[np.str_]:
    """Return each trial's seed; without such a column, number the runs at the same point."""
    seeds = results.axes.get(SEED, ())
    if any(seed is not None for seed in seeds):
        return _text_column(seeds)
    point_N = point_ids(key)
    # Runs that differ in a step or an optimizer are not repetitions: `check_duplicates` raises.
    # Rows with names of their own are runs, and none of them is an earlier step of another.
    used = list(filter(is_length, results.axes)) if _have_names(results) else []
    if distinguishing_columns(results, point_N, used):
        return np.full(len(results), "0")
    order = np.argsort(point_N, kind="stable")
    first = np.searchsorted(point_N[order], point_N[order])
    repetition_N = np.empty(len(results), np.intp)
    repetition_N[order] = np.arange(len(results)) - first
    return repetition_N.astype(np.str_)
