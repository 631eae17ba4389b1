"""Tables of a study's trials, as they ship: one row per trial, without its training curve.

A table holds what an analysis needs and what a reader would check: the id, the point on every axis,
the loss, the instability, the size and the cost. Floats are written so that they are read back
exactly.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mutransfer.analysis import Results
from mutransfer.analysis.results import Cell, Places, as_floats
from mutransfer.analysis.training_curves import MEASURES, curve_measures
from mutransfer.errors import ResultsError
from mutransfer.records import LabRunner, StudySpec, TrialResult, lab_settings

# Behind the id and the axes of the study.
COLUMNS = (
    "loss", "diverged_at", "untrained_loss", "steps", "tokens", "flops", "parameters", "seconds",
    "finished", "commit", "shared_from",
)  # fmt: skip
TEXT = ("id", "finished", "commit", "shared_from")

Row = Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a study costs to run from nothing.

    Args:
        trials: Number of trials.
        trained: Trials that were trained; the others are copies of these.
        core_minutes: Minutes of training on one core.
        flops: Floating-point operations of training.
    """

    trials: int
    trained: int
    core_minutes: float
    flops: float


@dataclass(frozen=True, slots=True)
class StudyTable:
    """The finished trials of one study.

    Args:
        axes: The axes of the study.
        rows: One mapping per trial, sorted by the axes.
    """

    axes: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the trials."""
        return tuple(str(row["id"]) for row in self.rows)

    @property
    def cost(self) -> Cost:
        """The cost from nothing: a copy costs nothing if its original is in the table."""
        ids = set(self.ids)
        trained = [row for row in self.rows if row["shared_from"] not in ids]
        minutes, flops = (
            float(np.nansum(as_floats([row[name] for row in trained])))
            for name in ("seconds", "flops")
        )
        return Cost(len(self.rows), len(trained), minutes / 60, flops)

    @property
    def has_measures(self) -> bool:
        """Whether the instability of a trial is recorded; older tables have no such columns."""
        return any(row.get(name) is not None for row in self.rows for name in MEASURES)

    def column(self, name: str) -> list[Cell]:
        """Return one column."""
        return [row[name] for row in self.rows]

    def results(self, source: str, study: StudySpec) -> Results:
        """Return the trials as results for `analyze`.

        Args:
            source: Where they are from, for messages.
            study: The study, whose analysis and parametrization these have.
        """
        columns = {name: self.column(name) for name in (*self.axes, "diverged_at")}
        assert study.lab is not None
        # Draws depend on the name of a group, which has to be that of the study's own store.
        columns.setdefault(
            "parametrization", [study.lab.settings.get("parametrization", "mup")] * len(self.rows)
        )
        # A finished trial without a loss diverged.
        columns["loss"] = [np.nan if loss is None else loss for loss in self.column("loss")]
        columns |= {name: self.column(name) for name in MEASURES if self.has_measures}
        results = Results.from_columns(
            columns,
            source=source,
            places=Places("trial", [f"{trial_id[:12]}…" for trial_id in self.ids]),
            untrained_loss=as_floats(self.column("untrained_loss")),
            flops=as_floats(self.column("flops")),
        )
        return replace(results, defaults=study.analysis, loss_unit="nats")

    def to_csv(self) -> str:
        """Return the table as text."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names = ("id", *self.axes, *COLUMNS, *(MEASURES if self.has_measures else ()))
        writer.writerow(names)
        writer.writerows([_format_cell(row[name]) for name in names] for row in self.rows)
        return text.getvalue()


def table_of(results: Sequence[TrialResult], axes: Sequence[str]) -> StudyTable:
    """Return the table of a study's results.

    Args:
        results: Results of the lab's trials.
        axes: The axes of the study, of which the first is the first key of the order.
    """
    measures = zip(results, _measures(results), strict=True)
    rows: list[Row] = [_row(result, axes) | own for result, own in measures]
    return StudyTable(
        tuple(axes), tuple(sorted(rows, key=lambda row: [row[name] for name in axes]))
    )


def read_table(text: str, source: str) -> StudyTable:
    r"""Read a table.

    Args:
        text: The file.
        source: Its name, for messages.

    Raises:
        ResultsError: It is not such a table.

    Example:
        >>> read_table("id,loss\n0,2.5\n", "lion.csv")
        Traceback (most recent call last):
        ...
        mutransfer.errors.ResultsError: lion.csv has no column 'diverged_at', 'untrained_loss', ...
    """
    reader = csv.DictReader(text.splitlines())
    names = tuple(reader.fieldnames or ())
    if missing := [name for name in ("id", *COLUMNS) if name not in names]:
        raise ResultsError(
            f"{source} has no column {', '.join(map(repr, missing))}",
            why="a table of trials has all of them",
            fix="write it with tools/study_results.py",
        )
    axes = tuple(name for name in names if name not in ("id", *COLUMNS, *MEASURES))
    rows = [{name: _parse_cell(name, text) for name, text in row.items()} for row in reader]
    return StudyTable(axes, tuple(rows))


def _row(result: TrialResult, axes: Sequence[str]) -> dict[str, Cell]:
    """Return one row."""
    settings = lab_settings(result.spec)
    steps = None
    if result.tokens is not None:
        steps = result.tokens // (settings.batch * settings.context)
    own = {"id": result.id, "steps": steps}
    values = result.spec.values
    return {
        **{name: values[name] for name in axes},
        **{name: getattr(result, name) for name in COLUMNS if name not in own},
        **own,
    }


def _measures(results: Sequence[TrialResult]) -> list[dict[str, Cell]]:
    """Return the instability of every trial; empty mappings if no trial has any."""
    settings = []
    for spec in (result.spec for result in results):
        assert isinstance(spec.runner, LabRunner)
        settings.append({**spec.runner.settings, **spec.axes})
    curves = [np.array(result.curve, dtype=np.float64).reshape(-1, 2) for result in results]
    has_diverged = [result.loss is None or result.diverged_at is not None for result in results]
    measures = curve_measures(curves, has_diverged, settings, "lr")
    columns = [[None if x != x else x for x in measures[name].tolist()] for name in MEASURES]
    if all(value is None for column in columns for value in column):
        return [{} for _ in results]
    return [dict(zip(MEASURES, values, strict=True)) for values in zip(*columns, strict=True)]


def _format_cell(value: Cell) -> str:
    """Format a cell so that it is read back exactly."""
    if value is None:
        return ""
    return repr(value) if isinstance(value, float) else str(value)


def _parse_cell(name: str, text: str) -> Cell:
    """Parse a cell: empty is None, a number is a number, anything else is text."""
    if not text:
        return None
    if name in TEXT:
        return text
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"True": True, "False": False}.get(text, text)
