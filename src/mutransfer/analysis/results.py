"""This file is results in memory: one row per trial, whatever they were read from."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mutransfer.analysis.types import Bools, Floats
from mutransfer.errors import ResultsError, listed, nearest
from mutransfer.records import AnalysisTable

Cell = bool | int | float | str | None

# Columns that are outcomes; every other column is an axis.
OUTCOMES = ("loss", "diverged_at")
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

    def __len__(self) -> int:
        return len(self.loss)

    @classmethod
    def from_columns(
        cls, columns: Mapping[str, Sequence[Cell]], *, source: str = "columns"
    ) -> Results:
        """Take columns: `loss`, optionally `diverged_at`, and the axes.

        A loss that is None, NaN or beyond 1e100, and any `diverged_at`, is a diverged trial.

        Raises:
            ResultsError: Without `loss`, without rows, with columns of unequal length, or
                with a loss that is no number.
        """
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
        loss = _losses(columns["loss"], source)
        steps = columns.get("diverged_at", [None] * rows)
        diverged = ~np.isfinite(loss) | np.array([step is not None for step in steps])
        return cls(
            axes={name: list(v) for name, v in columns.items() if name not in OUTCOMES},
            loss=np.where(diverged, np.nan, loss),
            diverged=diverged,
            untrained_loss=np.full(rows, np.nan),
            defaults=AnalysisTable(),
            provenance=Provenance(source, trials=rows, diverged=int(diverged.sum())),
        )


def _losses(values: Sequence[Cell], source: str) -> Floats:
    """Read losses; what is empty is NaN."""
    loss = np.full(len(values), np.nan)
    wrong = []
    for row, value in enumerate(values):
        if value is None:
            continue
        if isinstance(value, bool | str):
            wrong.append(f"{value!r} in row {row + 1}")
        else:
            try:
                loss[row] = float(value)
            except OverflowError:
                loss[row] = math.inf
            if abs(loss[row]) > LARGEST_LOSS:
                loss[row] = math.inf
    if wrong:
        raise ResultsError(
            f"{source}: the loss is no number: {', '.join(wrong[:3])}"
            + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""),
            why="a run without a number cannot be compared",
            fix="write a number, or leave the cell empty if the run diverged",
        )
    return loss


def load_results(path: str | os.PathLike[str]) -> Results:
    r"""Read results from a trial store (a folder) or from a CSV file.

    A CSV file has a header with `loss`, the scale (`width`), the hyperparameter (`lr`) and
    optionally `seed`, `diverged_at` and columns to group by. A loss that is empty, NaN or
    infinite is a diverged run.

    Args:
        path: The folder or the file.

    Returns:
        The finished trials. `provenance` says what they cost and how many are unfinished.

    Raises:
        ResultsError: Where the path cannot be read as either, naming the file and the line.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "runs.csv")
        >>> _ = file.write_text("width,lr,seed,loss\n64,0.25,0,3.1\n64,0.5,0,3.4\n")
        >>> load_results(file).axes["lr"]
        [0.25, 0.5]
    """
    from mutransfer.analysis.store import read_store
    from mutransfer.analysis.table import read_csv

    place = Path(path)
    try:
        if place.is_dir():
            return read_store(place)
        if place.is_file():
            return read_csv(place)
        exists = place.exists()
    except PermissionError as refused:
        raise ResultsError(
            f"no permission to read '{refused.filename or place}'",
            why="results that cannot be read would be missing from the answer",
            fix=f"ask its owner, or: chmod -R u+rX '{place}'",
        ) from None
    except OSError as refused:
        raise ResultsError(
            f"'{refused.filename or place}' cannot be read: {refused.strerror}",
            why="results that cannot be read would be missing from the answer",
            fix="give the folder of a trial store, or a CSV file with columns width, lr, loss",
        ) from None
    raise ResultsError(
        f"'{place}' is neither a folder nor a file" if exists else f"there is no '{place}'",
        why="results are read from a trial store or from a CSV file",
        fix="give the folder of a trial store, or a CSV file with columns width, lr, loss",
    )
