"""Lines and paths through the cells: those that differ in one scale, or keep a ratio of two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mutransfer.analysis.curves.lengths import is_length
from mutransfer.analysis.rounding import middle_value, near_sets
from mutransfer.analysis.types.estimates import Floats

# Shape legend: C cells, K scales.

MIN_PATH = 3  # sizes on a path: any two cells have some ratio
# Share of the combinations of two scales from which on they are a grid, and a ratio is no design.
GRID_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class CellLine:
    """Cells that differ in one scale only, or along a path in two whose ratio is fixed.

    Args:
        cells: Indices of the cells, by ascending size.
        fixed: Other scale, or ratio of two -> its value.
    """

    cells: tuple[int, ...]
    fixed: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Path:
    """Cells on which two scales grow in proportion.

    Args:
        scale: Index of the scale that measures the path.
        ratio: Name of the ratio, such as 'tokens/params'.
        lines: One per value of the ratio and of the other scales.
    """

    scale: int
    ratio: str
    lines: tuple[CellLine, ...]


def lines_along(value_CK: Floats, scales: Sequence[str], scale: int) -> tuple[CellLine, ...]:
    """Return the lines of two cells or more along one scale.

    Example:
        >>> cells = np.array([(1.0, 8.0), (1.0, 16.0), (2.0, 8.0)])
        >>> lines_along(cells, ("width", "batch"), 0)
        (CellLine(cells=(0, 2), fixed={'batch': 8.0}),)
    """
    others = [k for k in range(len(scales)) if k != scale]
    return _lines(value_CK[:, scale], value_CK[:, others], [scales[k] for k in others], least=2)


def paths(value_CK: Floats, scales: Sequence[str]) -> tuple[Path, ...]:
    """Return the paths on which two scales keep their ratio, as tokens per parameter.

    A pair of scales has paths if three sizes or more share a ratio, and either the cells are no
    grid of both, or one of the two is a length of training, such as tokens.
    """
    paths_by_pair = []
    for pair in combinations(range(len(scales)), 2):
        # The name does not depend on the order of the scales: the larger numbers come first.
        small, large = sorted(pair, key=lambda k: float(np.median(value_CK[:, k])))
        has_length = is_length(scales[small]) or is_length(scales[large])
        if _is_grid(value_CK[:, [small, large]]) and not has_length:
            continue
        others = [k for k in range(len(scales)) if k not in pair]
        ratio = f"{scales[large]}/{scales[small]}"
        ratio_C = _merged(value_CK[:, large] / value_CK[:, small])
        fixed_CF = np.column_stack([ratio_C, value_CK[:, others]])
        names = [ratio, *(scales[k] for k in others)]
        lines = _lines(value_CK[:, small], fixed_CF, names, least=MIN_PATH)
        if lines:
            paths_by_pair.append(Path(small, ratio, lines))
    return tuple(paths_by_pair)


def _lines(
    size_C: Floats, fixed_CF: Floats, names: Sequence[str], *, least: int
) -> tuple[CellLine, ...]:
    """Group the cells by their fixed values and sort each group by size."""
    fixed_LF, line_C = np.unique(fixed_CF, axis=0, return_inverse=True)
    lines = []
    for line, fixed_F in enumerate(fixed_LF.tolist()):
        cells = np.flatnonzero(line_C.reshape(-1) == line)
        if len(cells) >= least:
            ascending = cells[np.argsort(size_C[cells], kind="stable")].tolist()
            lines.append(CellLine(tuple(ascending), dict(zip(names, fixed_F, strict=True))))
    return tuple(lines)


def _is_grid(value_C2: Floats) -> bool:
    """Return whether the cells fill most combinations of the values of two scales."""
    num_pairs = len(np.unique(value_C2, axis=0))
    num_values = [len(np.unique(value_C)) for value_C in value_C2.T]
    return num_pairs >= GRID_SHARE * num_values[0] * num_values[1]


def _merged(ratio_C: Floats) -> Floats:
    """Replace ratios that are nearly equal by one of them."""
    exact_C = ratio_C.round(9)
    merged_C = exact_C.copy()
    for near in near_sets(np.unique(exact_C).tolist()):
        merged_C[(exact_C >= near[0]) & (exact_C <= near[-1])] = middle_value(near)
    return merged_C
