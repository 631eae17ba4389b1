"""Numbers that differ by rounding only: one rate, written by programs with different precision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mutransfer.analysis.results import Cell
from mutransfer.analysis.types.estimates import Floats

# float32 moves a number by 6e-8 of itself, and a print of six digits, such as `%g`, by up to 5e-6.
# Neighbors on a grid of rates differ by far more than 1e-2. [derived: IEEE 754 and C's printf]
ROUNDING = 1e-5


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
