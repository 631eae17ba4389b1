"""Spread of the runs behind a table of means: its standard errors, or deviations with counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.loading.numbers import parse_cells
from mutransfer.analysis.results import Results, as_floats
from mutransfer.analysis.types.estimates import Bools, Floats

# Shape legend: N rows of a table.

# Without a count, a standard error is that of the fewest runs that have one, which widens the
# intervals: its own error is then the largest.
LEAST_RUNS = 2
COUNT = "count=COLUMN to --columns, or count=3 for three runs each"


@dataclass(frozen=True, slots=True)
class Spread:
    """Variance of a single run, and the number of runs behind each mean.

    Args:
        variance: Variance of a single run; NaN where the table has none.
        runs: Number of runs.
    """

    variance: Floats
    runs: Floats

    def at_rates(self, is_kept: Bools) -> Spread:
        """Return the spread of some of the means."""
        return Spread(self.variance[is_kept], self.runs[is_kept])


def spread_of_means(results: Results) -> Spread | None:
    """Return the spread behind every row, from `sem`, or from `std` with `count`; None without.

    Example:
        >>> table = {"width": [64], "lr": [0.1], "loss": [3.0], "sem": [0.02], "count": [4]}
        >>> spread_of_means(Results.from_columns(table)).variance.round(9).tolist()
        [0.0016]
    """
    sem_N, std_N, count_N = (_numbers(results, name) for name in ("sem", "std", "count"))
    has_count = bool(np.isfinite(count_N).any())
    if np.isfinite(sem_N).any():
        least = np.nanmin(count_N) if has_count else LEAST_RUNS
        runs_N = np.where(np.isfinite(count_N), count_N, least)
        variance_N = sem_N**2 * runs_N
    elif np.isfinite(std_N).any() and has_count:
        runs_N = np.where(np.isfinite(count_N), count_N, np.nanmin(count_N))
        variance_N = std_N**2
    else:
        return None
    return Spread(np.where(runs_N >= LEAST_RUNS, variance_N, np.nan), runs_N)


def spread_notes(results: Results, *, is_used: bool, has_noise: bool) -> list[str]:
    """Return a sentence on a spread that is used, that is not needed, or that is unclear."""
    names = {ours: results.spread.get(ours, ours) for ours in ("sem", "std", "count", "±")}
    has = {ours: bool(np.isfinite(_numbers(results, ours)).any()) for ours in names}
    kind = "sem" if has["sem"] else "std"
    if is_used:
        words = "standard errors" if has["sem"] else "standard deviations"
        note = f"the noise is that of the {words} in column '{names[kind]}'"
        if has["count"]:
            return [f"{note}, over the runs that '{names['count']}' counts"]
        return [f"{note}; they count as those of {LEAST_RUNS} runs each: add {COUNT}"]
    if has_noise:
        has_spread = has["sem"] or (has["std"] and has["count"])
        unused = f"the column '{names[kind]}' is not used: the noise is that of repeated runs"
        return [unused] if has_spread else []
    if has["std"] and not has["count"]:
        return [
            f"the column '{names['std']}' is not used: a standard deviation is that of a mean only "
            f"with the number of runs: add {COUNT}"
        ]
    if has["±"]:
        options = f"add sem={names['±']} to --columns, or std={names['±']},count=3"
        return [
            "the numbers after ± are not used, since they may be standard errors or standard "
            f"deviations: {options} for deviations of three runs each"
        ]
    return []


def _numbers(results: Results, name: str) -> Floats:
    """Return the positive numbers of a column of the spread, NaN elsewhere."""
    cells = results.axes.get(results.spread.get(name, name), [None] * len(results))
    numbers = as_floats(parse_cells(cells, decimal_comma=False))
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(numbers) & (numbers > 0), numbers, np.nan)
