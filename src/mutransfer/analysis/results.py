"""This file is results in memory: one row per trial, whatever they were read from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress

import numpy as np

from mutransfer.analysis.types.estimates import Bools, Floats
from mutransfer.errors import ResultsError, listed, nearest
from mutransfer.records import AnalysisTable

Cell = bool | int | float | str | None

# Columns that are outcomes; every other column is an axis.
OUTCOMES = ("loss", "diverged_at")
# A run without one of these stands nowhere.
NEEDED = ("width", "lr")
LARGEST_LOSS = 1e100  # beyond, nothing was learned, and squares would overflow


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where results come from and what they cost. A trial copied from another costs nothing.

    Args:
        source: The path that was read.
        trials: Finished trials.
        unfinished: Trials without a result.
        diverged: Trials that diverged.
        shared: Trials whose numbers were copied from an identical one.
        seconds: Seconds of training, or None where not recorded.
        flops: Floating-point operations of training, or None where not recorded.
        tokens: Tokens trained on, or None where not recorded.
        versions: Package -> every version that took part.
        commits: Every commit that took part.
        hosts: Every machine that took part.
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
    """Where trials were read from, for an error to name.

    Args:
        unit: What is counted: 'row', 'line' or 'trial'.
        names: One number or name per trial.

    Example:
        >>> Places("line", [2, 3, 5, 8, 13]).of([0, 2, 3, 4])
        'line 2, 5, 8 and 1 more'
    """

    unit: str
    names: Sequence[int | str]

    def of(self, rows: Iterable[int]) -> str:
        """Name the places of these trials, the first few only."""
        every = list(rows)
        more = f" and {len(every) - 3} more" if len(every) > 3 else ""
        return f"{self.unit} {', '.join(str(self.names[row]) for row in every[:3])}{more}"

    def kept(self, chosen: Sequence[bool]) -> Places:
        """Keep the places of the chosen trials."""
        return Places(self.unit, list(compress(self.names, chosen)))


@dataclass(frozen=True, slots=True, eq=False)
class Results:
    """Finished trials, one per row.

    Args:
        axes: Column -> one value per trial; None where a trial does not have it.
        loss: Final loss in nats; NaN where diverged.
        diverged: Whether a trial diverged.
        untrained_loss: Loss before training, in nats; NaN where not recorded.
        defaults: The study's own analysis settings, where the store has a study.
        provenance: Where the trials come from and what they cost.
        flops: Floating-point operations of each trial; NaN where unknown.
        places: Where each trial was read from.
        notes: What was left out or counted once, in sentences.

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
    ) -> Results:
        """Take columns: `loss`, optionally `diverged_at`, and the axes.

        A loss that is NaN or beyond 1e100, and any `diverged_at`, is a diverged trial. A loss
        that is None is a run without a result: it is left out, as is a run whose `width` or
        `lr` is None, and `notes` count them.

        Raises:
            ResultsError: Without `loss`, without rows, with columns of unequal length, with a
                loss that is no number, or where no run is left.
        """
        rows = _checked_rows(columns, source)
        places = places or Places("row", range(1, rows + 1))
        loss, known = _losses(columns["loss"], source, places)
        steps = columns.get("diverged_at", [None] * rows)
        stopped = np.array([step is not None and step == step for step in steps], dtype=np.bool_)
        diverged = (known & ~np.isfinite(loss)) | stopped
        results = cls(
            axes={name: list(v) for name, v in columns.items() if name not in OUTCOMES},
            loss=np.where(diverged, np.nan, loss),
            diverged=diverged,
            untrained_loss=np.full(rows, np.nan) if untrained_loss is None else untrained_loss,
            defaults=AnalysisTable(),
            provenance=Provenance(source, trials=rows, diverged=int(diverged.sum())),
            flops=_flops(columns, rows) if flops is None else flops,
            places=places,
            notes=tuple(notes),
        )
        advice = "; if they diverged write nan or inf (pandas leaves nan empty: na_rep='nan')"
        return results.without(~(known | stopped), "no loss", advice).having(*NEEDED)

    def having(self, *names: str) -> Results:
        """Leave out the trials that have nothing in these columns, and note how many.

        Columns that do not exist or are empty throughout are not looked at.

        Raises:
            ResultsError: Where no trial is left.

        Example:
            >>> table = {"width": [64, 64], "lr": [0.5, 0.25], "depth": [2, None]}
            >>> Results.from_columns({**table, "loss": [3.1, 3.2]}).having("depth").notes
            ('1 run has no depth and is left out',)
        """
        left = self
        for name in names:
            empty = np.array([value is None for value in left.axes.get(name, ())], dtype=np.bool_)
            if empty.any() and not empty.all():
                left = left.without(empty, f"no {name}")
        return left

    def without(self, rows: Bools, lack: str, advice: str = "") -> Results:
        """Leave out these trials because of what they lack.

        Raises:
            ResultsError: Where no trial is left.
        """
        count = int(rows.sum())
        if not count:
            return self
        if count == len(self):
            raise ResultsError(
                f"{self.provenance.source}: {_runs(count)} {lack}, and no other run is there",
                why="there is nothing to analyze",
                fix="write the final loss of every finished run, and nan where a run diverged"
                if lack == "no loss"
                else f"write {lack.removeprefix('no ')} and loss of every run",
            )
        kept = ~rows
        chosen = kept.tolist()
        diverged = self.diverged[kept]
        note = f"{_runs(count)} {lack} and {'is' if count == 1 else 'are'} left out{advice}"
        return replace(
            self,
            axes={name: list(compress(values, chosen)) for name, values in self.axes.items()},
            loss=self.loss[kept],
            diverged=diverged,
            untrained_loss=self.untrained_loss[kept],
            provenance=replace(
                self.provenance, trials=int(kept.sum()), diverged=int(diverged.sum())
            ),
            flops=self.flops[kept],
            places=self.places.kept(chosen),
            notes=(*self.notes, note),
        )


def _runs(count: int) -> str:
    """Begin a sentence about some runs."""
    return "1 run has" if count == 1 else f"{count} runs have"


def _checked_rows(columns: Mapping[str, Sequence[Cell]], source: str) -> int:
    """Count the rows, and refuse columns that do not match."""
    if "loss" not in columns:
        raise ResultsError(
            f"{source} has no column 'loss'",
            why="the loss is what rates are compared by",
            fix=f"name the column of final losses 'loss': {nearest('loss', columns)}",
        )
    lengths = {name: len(values) for name, values in columns.items()}
    rows = lengths["loss"]
    if not rows:
        raise ResultsError(
            f"{source} has no rows",
            why="there is nothing to analyze",
            fix="give one row per training run",
        )
    if uneven := [name for name, length in lengths.items() if length != rows]:
        raise ResultsError(
            f"{source}: column {listed(uneven)} does not have {rows} rows as 'loss' has",
            why="values would be paired with the wrong runs",
            fix="give every column one value per training run",
        )
    return rows


def as_floats(values: Sequence[Cell]) -> Floats:
    """Give numbers as they are, what is too large as infinite, anything else as NaN.

    Example:
        >>> as_floats([3, 10**400, "3", True, None]).tolist()
        [3.0, inf, nan, nan, nan]
    """
    if set(map(type, values)) <= {float}:
        return np.array(values, dtype=np.float64)
    return np.array([_as_float(value) for value in values], dtype=np.float64)


def _as_float(value: Cell) -> float:
    """Give a number as a float, and what is none as NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _losses(values: Sequence[Cell], source: str, places: Places) -> tuple[Floats, Bools]:
    """Read losses, and where there is one: what is None has no result."""
    loss = as_floats(values)
    known = np.array([value is not None for value in values], dtype=np.bool_)
    if {bool, str} & set(map(type, values)):
        wrong = [row for row, value in enumerate(values) if isinstance(value, bool | str)]
        raise ResultsError(
            f"{source}: the loss is no number: {listed(values[row] for row in wrong)} "
            f"in {places.of(wrong)}",
            why="a run without a number cannot be compared",
            fix="write a number, nan if the run diverged, or nothing if it has no result",
        )
    return np.where(np.abs(loss) > LARGEST_LOSS, np.inf, loss), known


def _flops(columns: Mapping[str, Sequence[Cell]], rows: int) -> Floats:
    """Take each run's cost as recorded, else 6 per parameter and token, else NaN."""

    def positive(name: str) -> Floats:
        found = as_floats(columns[name]) if name in columns else np.full(rows, np.nan)
        return np.where(np.isfinite(found) & (found > 0), found, np.nan)

    recorded = positive("flops")
    # Forward and backward of a dense model [assumed: 6 N D].
    with np.errstate(over="ignore"):
        counted = 6 * positive("params") * positive("tokens")
    found = np.where(np.isnan(recorded), counted, recorded)
    return np.asarray(np.where(np.isfinite(found), found, np.nan), dtype=np.float64)
