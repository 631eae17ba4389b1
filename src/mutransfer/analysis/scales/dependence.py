"""Dependence of scales: which exponents the cells that were run can separate.

If tokens are a fixed multiple of parameters, all cells lie on a path, and no data can tell the
exponent of one from that of the other. What can be estimated is the exponent along the path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.format import format_size
from mutransfer.analysis.types.estimates import Bools, Floats

# Shape legend: C cells, K scales.

# In octaves: the least standard deviation of a combination of sizes that determines an exponent.
# Sizes that were meant to be equal differ by less, and two values 20 % apart by more. [assumed]
MIN_VARIATION = 0.1
MIN_SHARE = 0.05  # part of a scale in a combination that does not vary, below which it is rounding


@dataclass(frozen=True, slots=True)
class ScaleSet:
    """Scales whose exponents can only be estimated together, or a scale of its own.

    Args:
        members: Indices of the scales.
        basis: The members that determine the others; none if no member varies.
    """

    members: tuple[int, ...]
    basis: tuple[int, ...]

    @property
    def is_separate(self) -> bool:
        """Whether the set is one scale with an exponent of its own."""
        return len(self.members) == len(self.basis) == 1

    @property
    def is_path(self) -> bool:
        """Whether the members vary together along a line."""
        return len(self.basis) == 1 < len(self.members)


def scale_sets(value_CK: Floats) -> list[ScaleSet]:
    """Sort the scales into sets by the combinations of log2(size) that do not vary.

    Example:
        >>> cells = np.array([(n, 20 * n, b) for n in (1.0, 2, 4) for b in (8.0, 16)])
        >>> [(s.members, s.basis) for s in scale_sets(cells)]
        [((0, 1), (0,)), ((2,), (2,))]
    """
    log2_CK = np.log2(value_CK)
    constant_KK = _constant_directions(log2_CK)
    num = log2_CK.shape[1]
    sets: list[ScaleSet] = []
    for k in range(num):
        if any(k in earlier.members for earlier in sets):
            continue
        members = [k]
        for member in members:  # grows while it is walked
            linked = np.flatnonzero(np.abs(constant_KK[member]) > MIN_SHARE).tolist()
            members += [other for other in linked if other not in members]
        members.sort()
        basis: list[int] = []
        for member in members:
            if not _has_constant_direction(log2_CK[:, [*basis, member]]):
                basis.append(member)
        sets.append(ScaleSet(tuple(members), tuple(basis)))
    return sets


def _constant_directions(log2_CK: Floats) -> Floats:
    """Return the projection onto the combinations of log2(size) that vary too little."""
    rest_CK = log2_CK - log2_CK.mean(axis=0)
    variance_K, vector_KK = np.linalg.eigh(rest_CK.T @ rest_CK / len(rest_CK))
    constant = vector_KK[:, variance_K < MIN_VARIATION**2]
    return np.asarray(constant @ constant.T)


def _has_constant_direction(log2_CK: Floats) -> Bools:
    """Return whether a combination of these columns varies too little."""
    return np.asarray(_constant_directions(log2_CK).any())


def path_slopes(value_CK: Floats, path: ScaleSet) -> Floats:
    """Return by which power of the first member every member of a path grows."""
    log2_CK = np.log2(value_CK[:, path.members])
    rest_CK = log2_CK - log2_CK.mean(axis=0)
    first_C = np.log2(value_CK[:, path.basis[0]])
    first_C = first_C - first_C.mean()
    return np.asarray(first_C @ rest_CK / (first_C @ first_C))


def dependence_reason(value_CK: Floats, scale_set: ScaleSet, scales: Sequence[str]) -> str:
    """Return why a set of scales has no separate exponents, and what to add."""
    names = [scales[k] for k in scale_set.members]
    if not scale_set.basis:
        if len(names) == 1:
            size = format_size(float(np.median(value_CK[:, scale_set.members[0]])))
            return f"only one value of {names[0]} ({size}) has an optimum: run others"
        return f"{' and '.join(names)} hardly vary: run other values of each"
    if scale_set.is_path:
        base = scales[scale_set.basis[0]]
        powers = [
            f"{name} = {base}^{slope:.3g} up to a factor"
            for name, slope in zip(names, path_slopes(value_CK, scale_set).tolist(), strict=True)
            if name != base
        ]
        both = " and ".join(names)
        alone = f"run cells in which one of {both} varies alone"
        return f"{both} vary together ({', '.join(powers)}): {alone}"
    return f"{', '.join(names)} determine one another: leave one of them out"
