"""Reasons for caution about a prediction."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mutransfer.analysis.curves.group import FittedGroup
from mutransfer.analysis.format import AxisNames, format_value
from mutransfer.analysis.prediction.cells import OptimumCells
from mutransfer.analysis.prediction.rate import USUAL_OPTIMA

# Ratios of target to largest size that the literature has tested. [derived: docs/numbers.md]
STUDIED_EXTRAPOLATION = 4.0, 64.0


def warnings(
    group: FittedGroup, cells: OptimumCells, target: Mapping[str, float], axes: AxisNames
) -> list[str]:
    """Return reasons for caution, in sentences."""
    sentences = [note for curve in group.curves for note in curve.grid.notes]
    if not len(cells.rate):
        return sentences
    if len(cells.rate) < USUAL_OPTIMA:
        count = "one optimum shows" if len(cells.rate) == 1 else "two optima show"
        sentences.append(f"{count} no scatter about a law: add a {axes.scale}")
    if sentence := _distance(group, cells, target, axes):
        sentences.append(sentence)
    return sentences


def _distance(
    group: FittedGroup, cells: OptimumCells, target: Mapping[str, float], axes: AxisNames
) -> str | None:
    """Return a sentence on a target that is too far from the cells, or too near; or None."""
    sizes, name = tuple(target.values()), axes.cell(*target.values())
    if sizes in [curve.grid.sizes for curve in group.curves]:
        return f"{name} was run: `mutransfer analyze` shows its own result"
    largest_K = 2.0 ** cells.log2_s.max(axis=0)
    ratio_K = np.array(sizes) / largest_K
    least, most = STUDIED_EXTRAPOLATION
    k = int(np.argmax(ratio_K))
    scale, ratio = axes.scales[k], float(ratio_K[k])
    size = f"{scale} {format_value(sizes[k])}"
    largest = f"the largest with an optimum ({format_value(float(largest_K[k]))})"
    if ratio > most:
        return f"{size} is {ratio:.3g}x {largest}; laws were not tested beyond {most:g}x: " + (
            "add a larger proxy"
        )
    if ratio < least:
        distance = f"only {ratio:.3g}x" if ratio > 1 else "not above"
        return f"{size} is {distance} {largest}: tuning there directly may be cheap enough"
    return None
