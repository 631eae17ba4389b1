"""Reasons for caution about a prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mutransfer.analysis.curves.group import FittedGroup
from mutransfer.analysis.format import AxisNames, format_size, format_value
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
    run = [curve.grid.sizes for curve in group.curves]
    fitted = [curve.grid.sizes for curve in group.curves if curve.quadratic is not None]
    if sentence := distance_warning(run, fitted, target, axes):
        sentences.append(sentence)
    return sentences


def distance_warning(
    run: Sequence[tuple[float, ...]],
    fitted: Sequence[tuple[float, ...]],
    target: Mapping[str, float],
    axes: AxisNames,
) -> str | None:
    """Return a sentence on a target that is too far from the cells, or too near; or None.

    Args:
        run: Sizes of all cells.
        fitted: Sizes of the cells with an optimum, one or more.
        target: The target's value of every scale.
        axes: Names of the scales.
    """
    sizes, name = tuple(target.values()), axes.cell(*target.values())
    if sizes in run:
        return f"{name} was run: `mutransfer analyze` shows its own result"
    largest = [max(column) for column in zip(*fitted, strict=True)]
    ratios = [size / most_run for size, most_run in zip(sizes, largest, strict=True)]
    least, most = STUDIED_EXTRAPOLATION
    k = ratios.index(max(ratios))
    scale, ratio, shown = axes.scales[k], ratios[k], format_size if axes.further else format_value
    size, reach = f"{scale} {shown(sizes[k])}", f"the largest with an optimum ({shown(largest[k])})"
    if ratio > most:
        return f"{size} is {ratio:.3g}x {reach}; laws were not tested beyond {most:g}x: " + (
            "add a larger proxy"
        )
    if ratio < least:
        distance = f"only {ratio:.3g}x" if ratio > 1 else "not above"
        return f"{size} is {distance} {reach}: tuning there directly may be cheap enough"
    return None
