"""Numbers that count as one: equal ones that were rounded, and sizes that are nearly equal.

One rate is written by programs with different precision. Sizes that were meant to be equal, such as
tokens per parameter, differ a little because layers and batches are whole.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from mutransfer.analysis.format import format_share
from mutransfer.analysis.results import Cell, Results
from mutransfer.analysis.types.estimates import Floats

# float32 moves a number by 6e-8 of itself, and a print of six digits, such as `%g`, by up to 5e-6.
# Neighbors on a grid of rates differ by far more than 1e-2. [derived: IEEE 754 and C's printf]
ROUNDING = 1e-5
# Sizes that were meant to be equal differ by up to 0.5 % in public sweeps, and the steps between
# others are 30 times as large or more; beta2 of 0.99 and 0.999, which differ by 0.9 %, are
# kept apart by 0.95 or 0.9 next to them. [assumed]
NEAR, MIN_GAP = 0.02, 10.0
MAX_SETS = 3  # sets of near values that a note lists


def without_rounding(values_N: Floats) -> Floats:
    """Replace positive numbers that agree within `ROUNDING` by the shortest decimal among them.

    Numbers without such a neighbor stay as they are. The result does not depend on the order.

    Example:
        >>> without_rounding(np.array([0.0010000000474974513, 0.001, 0.0011])).tolist()
        [0.001, 0.001, 0.0011]
    """
    value_V, index_N, count_V = np.unique(values_N, return_inverse=True, return_counts=True)
    with np.errstate(over="ignore"):
        limit_V = value_V * (1 + ROUNDING)
    if not np.any(value_V[1:] <= limit_V[:-1]):
        return values_N
    # A set is measured from its lowest number, so that a chain of close numbers cannot grow.
    start, last = 0, len(value_V)
    exact_V = value_V.copy()
    for end in range(1, last + 1):
        if end == last or value_V[end] > limit_V[start]:
            spellings = zip(value_V[start:end].tolist(), count_V[start:end].tolist(), strict=True)
            exact_V[start:end] = min(spellings, key=_spelling_cost)[0]
            start = end
    return np.asarray(exact_V[index_N])


def cells_without_rounding(cells: Sequence[Cell]) -> list[Cell]:
    """Apply `without_rounding` to the floats among the cells of a column.

    Example:
        >>> cells_without_rounding(["off", 0.1, 0.10000000149011612, None])
        ['off', 0.1, 0.1, None]
    """
    floats = list(dict.fromkeys(cell for cell in cells if isinstance(cell, float) and cell > 0))
    exact = dict(zip(floats, without_rounding(np.array(floats)).tolist(), strict=True))
    return [exact.get(cell, cell) if isinstance(cell, float) else cell for cell in cells]


def _spelling_cost(spelling: tuple[float, int]) -> tuple[int, int, float]:
    """Order numbers by the length of their decimal, then by how often they occur."""
    value, count = spelling
    return len(repr(value)), -count, value


def merge_near_values(results: Results, columns: Iterable[str]) -> Results:
    """Replace values that are nearly equal by one of them, in some columns; `notes` name them.

    Values are nearly equal if they lie within `NEAR` of each other, and if the gaps to all others
    are at least `MIN_GAP` times as large. A column that does not hold positive numbers only is
    left as it is.

    Example:
        >>> table = {"width": [1, 1, 1], "lr": [1, 2, 4], "d/n": [18.6, 18.7, 53.0]}
        >>> results = Results.from_columns({**table, "loss": [3.0, 2.0, 3.0]})
        >>> merged = merge_near_values(results, ["d/n"])
        >>> merged.axes["d/n"], merged.notes
        ([18.6, 18.6, 53.0], ('values of d/n within 0.538 % count as one: 18.6 (18.6 to 18.7)',))
    """
    axes, notes = dict(results.axes), []
    for name in columns:
        cells = axes.get(name, ())
        sets = near_sets(_distinct_numbers(cells))
        if sets:
            merged = {value: middle_value(near) for near in sets for value in near}
            axes[name] = [merged.get(c, c) if isinstance(c, int | float) else c for c in cells]
            notes.append(_near_note(name, sets))
    return replace(results, axes=axes, notes=(*results.notes, *notes)) if notes else results


def _distinct_numbers(cells: Sequence[Cell]) -> list[float]:
    """Return the distinct numbers of a column, ascending; none if it holds anything else."""
    distinct = {*cells}
    numbers = [c for c in distinct if isinstance(c, int | float) and not isinstance(c, bool)]
    is_positive = all(0 < number <= sys.float_info.max for number in numbers)
    return sorted(map(float, numbers)) if is_positive and len(numbers) == len(distinct) else []


def near_sets(values: Sequence[float]) -> list[list[float]]:
    """Return the sets of nearly equal values among distinct ascending ones.

    Example:
        >>> near_sets([18.6, 18.7, 53.0]), near_sets([0.95, 0.99, 0.999])
        ([[18.6, 18.7]], [])
    """
    value_V = np.array(values)
    gap_V = np.diff(np.log(value_V))
    ends = [0, *(np.flatnonzero(gap_V > np.log1p(NEAR)) + 1).tolist(), len(value_V)]
    sets = []
    for start, end in pairwise(ends if values else []):
        spread = float(np.log(value_V[end - 1] / value_V[start]))
        gaps = [*gap_V[max(start - 1, 0) : start], *gap_V[end - 1 : end]]
        # Within `ROUNDING` they are one value anyway, which needs no note.
        is_near = np.log1p(ROUNDING) < spread <= np.log1p(NEAR)
        if is_near and min(gaps, default=np.inf) >= MIN_GAP * spread:
            sets.append(value_V[start:end].tolist())
    return sets


def middle_value(near: Sequence[float]) -> float:
    """Return the value that stands for a set of nearly equal ones, ascending."""
    return near[(len(near) - 1) // 2]


def _near_note(name: str, sets: Sequence[Sequence[float]]) -> str:
    """Return a sentence on the values of a column that count as one."""
    spread = max(near[-1] / near[0] - 1 for near in sets)
    listed = [f"{middle_value(near):.5g} ({near[0]:.5g} to {near[-1]:.5g})" for near in sets]
    more = f" and {len(sets) - MAX_SETS} more" if len(sets) > MAX_SETS else ""
    shown = ", ".join(listed[:MAX_SETS])
    return f"values of {name} within {format_share(spread)} count as one: {shown}{more}"
