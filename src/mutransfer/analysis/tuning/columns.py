"""The columns of an analysis of several hyperparameters, and the checks of their values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.format import format_value
from mutransfer.analysis.loading.columns import closest_name, format_mapping
from mutransfer.analysis.loading.numbers import parse_cells
from mutransfer.analysis.results import Results, as_floats
from mutransfer.analysis.types.estimates import Floats
from mutransfer.errors import ResultsError, listed

# Shape legend: N trials, H hyperparameters.

MAX_HYPERPARAMETERS = 8  # a quadratic in 8 has 45 coefficients [assumed]


@dataclass(frozen=True, slots=True)
class TuningColumns:
    """Names of the columns.

    Args:
        scale: The column of sizes.
        hyperparameters: The columns that are tuned, two or more.
        group_by: The columns that make groups.
    """

    scale: str
    hyperparameters: tuple[str, ...]
    group_by: tuple[str, ...]

    @property
    def used(self) -> tuple[str, ...]:
        """All of them."""
        return (self.scale, *self.hyperparameters, *self.group_by)

    def check(self, results: Results) -> None:
        """Raise one error for all names that are not columns, or that have two uses."""
        names = self.hyperparameters
        if repeated := sorted({name for name in self.used if self.used.count(name) > 1}):
            raise ResultsError(
                f"column {listed(repeated)} is named twice",
                why="every column has one use: scale, hyperparameter or group",
                fix="name different columns by --scale, --hyperparameter and --group-by "
                "(in Python: scale, hyperparameter, group_by)",
            )
        if len(names) > MAX_HYPERPARAMETERS:
            raise ResultsError(
                f"{len(names)} hyperparameters are more than {MAX_HYPERPARAMETERS}",
                why="a quadratic would have more coefficients than a search has samples",
                fix=_option(names[:MAX_HYPERPARAMETERS]),
            )
        if missing := [name for name in self.used if name not in results.axes]:
            close = [n if n in results.axes else closest_name(n, results.axes) for n in names]
            fix = f"choose from {listed(results.axes, limit=12)}"
            if {*missing} <= {*names} and None not in close and len({*close}) == len(close):
                fix = _option([name for name in close if name is not None])
            raise ResultsError(
                f"{results.provenance.source} has no column {listed(dict.fromkeys(missing))}",
                why="a best point needs the values of every hyperparameter in every run",
                fix=fix,
            )

    def check_values(self, results: Results, value_NH: Floats) -> None:
        """Raise if a hyperparameter has a single value."""
        values = dict(zip(self.hyperparameters, value_NH.T, strict=True))
        single = {name: v[0] for name, v in values.items() if len(np.unique(v)) == 1}
        if not single:
            return
        shown = ", ".join(f"{name} is {value:g} in every run" for name, value in single.items())
        rest = [name for name in self.hyperparameters if name not in single]
        raise ResultsError(
            f"{results.provenance.source}: {shown}",
            why="the best value of a hyperparameter shows only where several were tried",
            fix=f"{_option(rest)}, or add runs with other values" if rest else "add runs",
        )


def _option(names: Sequence[str]) -> str:
    """Return the option that names hyperparameters, on the command line and in Python."""
    python = json.dumps(names[0] if len(names) == 1 else list(names))
    return f"--hyperparameter {','.join(names)} (in Python: hyperparameter={python})"


def numbers(results: Results, name: str, *, zero: bool = False) -> Floats:
    """Return a column of positive numbers, or of numbers that are not negative.

    Raises:
        ResultsError: A value is something else.
    """
    # A column with a single text is text throughout: its numbers are read, and the text is named.
    values = parse_cells(results.axes[name], decimal_comma=False)
    column = as_floats(values)
    with np.errstate(invalid="ignore"):
        is_valid = np.isfinite(column) & (column >= 0 if zero else column > 0)
    if is_valid.all():
        return column
    wrong = np.flatnonzero(~is_valid).tolist()
    shown = ["nothing" if values[row] is None else format_value(values[row]) for row in wrong]
    fix = f"correct {len(wrong)} of {len(values)} values of '{name}', or leave them empty"
    if (column < 0).all():  # not where a cell is no number: nan is not negative
        fix += f"; if it is a logarithm: {format_mapping({name: f'2^{name}'})}"
    raise ResultsError(
        f"{results.provenance.source}: column '{name}' must hold "
        f"{'numbers that are not negative' if zero else 'positive numbers'}, "
        f"not {listed(dict.fromkeys(shown))} in {results.places.format(wrong)}",
        why="best values are compared on logarithmic axes, or linear ones where a value is 0",
        fix=fix,
    )
