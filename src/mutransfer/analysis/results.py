"""Results in memory: one row per trial, wherever they come from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress

import numpy as np

from mutransfer.analysis.training_curves import MEASURES
from mutransfer.analysis.types.estimates import Bools, Floats
from mutransfer.errors import ResultsError, listed, nearest
from mutransfer.records import AnalysisTable

Cell = bool | int | float | str | None

OUTCOMES = ("loss", "diverged_at")  # beside these and `MEASURES`, every column is an axis
REQUIRED = ("width", "lr")  # a run without one of them has no place on a curve
MAX_LOSS = 1e100  # beyond, nothing was learned, and squares would overflow [assumed]


@dataclass(frozen=True, slots=True)
class Provenance:
    """The origin and the cost of results. A trial that was copied from another costs nothing.

    Args:
        source: The path of the results.
        trials: Finished trials.
        unfinished: Trials without a result.
        diverged: Trials that diverged.
        shared: Trials whose numbers were copied from an identical one.
        seconds: Seconds of training, or None where not recorded.
        flops: Floating-point operations of training, or None where not recorded.
        tokens: Tokens trained on, or None where not recorded.
        versions: Package -> every version that was used.
        commits: Every commit that was used.
        hosts: Every machine that was used.
        finished: When the first and the last trial ended (ISO 8601), or None.
    """

    source: str
    trials: int
    unfinished: int = 0
    diverged: int = 0
    shared: int = 0
    seconds: float | None = None
    flops: float | None = None
    tokens: int | None = None
    versions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    commits: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    finished: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Places:
    """The location of every trial in its source, for error messages.

    Args:
        unit: What the source consists of: 'row', 'line' or 'trial'.
        names: One number or name per trial.

    Example:
        >>> Places("line", [2, 3, 5, 8, 13]).format([0, 2, 3, 4])
        'lines 2, 5, 8 and 1 more'
    """

    unit: str
    names: Sequence[int | str]

    def format(self, rows: Iterable[int]) -> str:
        """Format the locations of these trials, the first three of them."""
        names = [str(self.names[row]) for row in rows]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return f"{self.unit}{'s' if len(names) > 1 else ''} {', '.join(names[:3])}{more}"

    def select(self, chosen: Sequence[bool]) -> Places:
        """Return the locations of the chosen trials."""
        return Places(self.unit, list(compress(self.names, chosen)))


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """Finished trials, one per row.

    Args:
        axes: Column -> one value per trial; None where a trial does not have it.
        loss: Final loss; NaN where diverged.
        diverged: Whether a trial diverged.
        untrained_loss: Loss before training; NaN where not recorded.
        defaults: The study's own analysis settings, where the store has a study.
        provenance: The origin and the cost of the trials.
        flops: Floating-point operations of each trial; NaN where not recorded.
        places: The location of each trial in its source.
        notes: Sentences on the runs, rows and columns that were left out.
        loss_unit: Unit of the losses: 'nats' for the lab's own trials, None where undetermined.
        spread: `sem`, `std` or `count` -> the column that holds it, where its name is another.
        measures: Measure of instability -> one value per trial, NaN where it has none; empty where
            training curves were not recorded.
        curves: The training curve of each trial, one row (step, loss) per stored step; empty
            where the source has none.

    Example:
        >>> results = Results.from_columns(
        ...     {"width": [64, 64], "lr": [0.25, 0.5], "loss": [3.1, float("nan")]}
        ... )
        >>> len(results), results.diverged.tolist()
        (2, [False, True])
    """

    axes: Mapping[str, Sequence[Cell]]
    loss: Floats
    diverged: Bools
    untrained_loss: Floats
    defaults: AnalysisTable
    provenance: Provenance
    flops: Floats
    places: Places
    notes: tuple[str, ...] = ()
    loss_unit: str | None = None
    spread: Mapping[str, str] = field(default_factory=dict)
    measures: Mapping[str, Floats] = field(default_factory=dict)
    curves: Sequence[Floats] = ()

    def __len__(self) -> int:
        return len(self.loss)

    @classmethod
    def from_columns(
        cls,
        columns: Mapping[str, Sequence[Cell]],
        *,
        source: str = "columns",
        places: Places | None = None,
        notes: Sequence[str] = (),
        untrained_loss: Floats | None = None,
        flops: Floats | None = None,
        curves: Sequence[Floats] = (),
    ) -> Results:
        """Build results from columns: `loss`, `diverged_at` and measures if any, and the axes.

        A trial has diverged if its loss is NaN or beyond 1e100, or if it has a `diverged_at`. A
        run whose loss, `width` or `lr` is None is left out, and `notes` count such runs.

        Raises:
            ResultsError: There is no `loss` or no row, columns differ in length, a loss is not a
                number, or no run remains.
        """
        rows = _checked_rows(columns, source)
        places = places or Places("row", range(1, rows + 1))
        loss, has_loss = _losses(columns["loss"], source, places)
        steps = columns.get("diverged_at", [None] * rows)
        stopped = np.array([step is not None and step == step for step in steps], dtype=np.bool_)
        diverged = (has_loss & ~np.isfinite(loss)) | stopped
        not_axes = {*OUTCOMES, *MEASURES}
        results = cls(
            axes={name: list(v) for name, v in columns.items() if name not in not_axes},
            loss=np.where(diverged, np.nan, loss),
            diverged=diverged,
            untrained_loss=np.full(rows, np.nan) if untrained_loss is None else untrained_loss,
            defaults=AnalysisTable(),
            provenance=Provenance(source, trials=rows, diverged=int(diverged.sum())),
            flops=_flops(columns, rows) if flops is None else flops,
            places=places,
            notes=tuple(notes),
            measures={name: as_floats(columns[name]) for name in MEASURES if name in columns},
            curves=curves,
        )
        advice = "; where a run diverged write nan or inf (pandas leaves nan empty: na_rep='nan')"
        fix = "write the final loss of every finished run, and nan where a run diverged"
        is_empty = ~(has_loss | stopped)
        return results.without(is_empty, "no loss", advice, fix=fix).having(*REQUIRED)

    def having(self, *names: str) -> Results:
        """Return the trials that have a value in all of these columns; `notes` count the others.

        Columns that do not exist or are empty throughout are ignored.

        Raises:
            ResultsError: No trial remains.

        Example:
            >>> table = {"width": [64, 64], "lr": [0.5, 0.25], "depth": [2, None]}
            >>> Results.from_columns({**table, "loss": [3.1, 3.2]}).having("depth").notes
            ('1 run has no depth and is left out',)
        """
        results = self
        for name in names:
            column = results.axes.get(name, ())
            is_empty = np.array([value is None for value in column], dtype=np.bool_)
            if is_empty.any() and not is_empty.all():
                results = results.without(is_empty, f"no {name}")
        return results

    def without(
        self, rows: Bools, lack: str, advice: str = "", *, fix: str | None = None
    ) -> Results:
        """Return the trials that are not in `rows`, with a note on what those in `rows` lack.

        Args:
            rows: The trials to leave out.
            lack: What they have not, such as 'no loss'.
            advice: The end of the note.
            fix: What to do if no trial remains.

        Raises:
            ResultsError: No trial remains.
        """
        count = int(rows.sum())
        if not count:
            return self
        if count == len(self):
            raise ResultsError(
                f"{self.provenance.source}: {_runs(count)} {lack}, and there is no other run",
                why="there is nothing to analyze",
                fix=fix or f"write {lack.removeprefix('no ')} and loss of every run",
            )
        remaining = ~rows
        selectors = remaining.tolist()
        diverged = self.diverged[remaining]
        note = f"{_runs(count)} {lack} and {'is' if count == 1 else 'are'} left out{advice}"
        return replace(
            self,
            axes={name: list(compress(values, selectors)) for name, values in self.axes.items()},
            loss=self.loss[remaining],
            diverged=diverged,
            untrained_loss=self.untrained_loss[remaining],
            provenance=replace(
                self.provenance, trials=int(remaining.sum()), diverged=int(diverged.sum())
            ),
            flops=self.flops[remaining],
            measures={name: values[remaining] for name, values in self.measures.items()},
            curves=list(compress(self.curves, selectors)),
            places=self.places.select(selectors),
            notes=(*self.notes, note),
        )


def _runs(count: int) -> str:
    """Format the beginning of a sentence about some runs."""
    return "1 run has" if count == 1 else f"{count} runs have"


def _checked_rows(columns: Mapping[str, Sequence[Cell]], source: str) -> int:
    """Return the number of rows; raise where the columns do not match."""
    if "loss" not in columns:
        raise ResultsError(
            f"{source} has no column 'loss'",
            why="rates are compared by their loss",
            fix=f"name the column of final losses 'loss': {nearest('loss', columns)}",
        )
    lengths = {name: len(values) for name, values in columns.items()}
    rows = lengths["loss"]
    if not rows:
        raise ResultsError(
            f"{source} has no rows",
            why="there is nothing to analyze",
            fix="write one row per training run",
        )
    if uneven := [name for name, length in lengths.items() if length != rows]:
        raise ResultsError(
            f"{source}: column {listed(uneven)} does not have {rows} rows as 'loss' has",
            why="values would be paired with the wrong runs",
            fix="give every column one value per training run",
        )
    return rows


def as_floats(values: Sequence[Cell]) -> Floats:
    """Convert numbers to floats: too large ones to infinity, anything else to NaN.

    Example:
        >>> as_floats([3, 10**400, "3", True, None]).tolist()
        [3.0, inf, nan, nan, nan]
    """
    if set(map(type, values)) <= {float}:
        return np.array(values, dtype=np.float64)
    return np.array([_as_float(value) for value in values], dtype=np.float64)


def _as_float(value: Cell) -> float:
    """Convert a number to a float, and anything else to NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _losses(values: Sequence[Cell], source: str, places: Places) -> tuple[Floats, Bools]:
    """Return the losses, and whether each run has one; None means that a run has no result."""
    loss = as_floats(values)
    has_loss = np.array([value is not None for value in values], dtype=np.bool_)
    if {bool, str} & set(map(type, values)):
        wrong = [row for row, value in enumerate(values) if isinstance(value, bool | str)]
        raise ResultsError(
            f"{source}: the loss is not a number: {listed(values[row] for row in wrong)} "
            f"in {places.format(wrong)}",
            why="a run without a number cannot be compared",
            fix="write a number, nan if the run diverged, or nothing if it has no result",
        )
    return np.where(np.abs(loss) > MAX_LOSS, np.inf, loss), has_loss


def _flops(columns: Mapping[str, Sequence[Cell]], rows: int) -> Floats:
    """Return the recorded FLOPs of each run, else 6 per parameter and token, else NaN."""

    def positive(name: str) -> Floats:
        values = as_floats(columns[name]) if name in columns else np.full(rows, np.nan)
        return np.where(np.isfinite(values) & (values > 0), values, np.nan)

    recorded = positive("flops")
    # Forward and backward pass of a dense model: 6 N D. [assumed]
    with np.errstate(over="ignore"):
        estimated = 6 * positive("params") * positive("tokens")
    flops = np.where(np.isnan(recorded), estimated, recorded)
    return np.asarray(np.where(np.isfinite(flops), flops, np.nan), dtype=np.float64)
