"""Best rates against each of several scales as numbers: marks, lines, and the fitted law."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from mutransfer.analysis.format import format_power, format_size

if TYPE_CHECKING:
    from mutransfer.analysis import ScalesGroupReport
    from mutransfer.analysis.types.scales import CellOptimum

Kind = Literal["fitted", "below", "above"]
ROOM = 0.25  # octaves of rate above and below the marks
MOST_COLOURS = 8  # more values of the scale that colours the lines share a colour with neighbors


@dataclass(frozen=True, slots=True)
class CellMark:
    """The best rate of one cell against one scale."""

    index: int  # colour: the rank of the value of the scale that colours the lines
    line: str  # the values of all other scales; marks of one line are joined
    log2_size: float
    where: str  # the whole cell
    value: float  # log2 of the best rate, or of the limit of one that lies beyond the rates tried
    low: float  # the value itself where there is no interval
    high: float
    text: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class ScaleFrame:
    """One figure: the scale of its axis, and the scale that colours its lines, if any."""

    scale: str
    colour: str | None
    sizes: tuple[float, ...]  # values on the axis
    colours: tuple[float, ...]  # values of the scale that colours the lines
    low: float  # log2 of rates
    high: float


def scale_frame(groups: Iterable[ScalesGroupReport], scale: str) -> ScaleFrame:
    """Return the axes of the figure of one scale, the same for every group.

    Lines are coloured by the other scale with the fewest values, if it has two or more.
    """
    cells = [cell for group in groups for cell in group.cells]
    values = {name: sorted({cell.sizes[name] for cell in cells}) for name in cells[0].sizes}
    others = [name for name in values if name != scale and len(values[name]) > 1]
    colour = min(others, key=lambda name: len(values[name]), default=None)
    rates = [rate for cell in cells for rate in _ends(cell)] or [0.0]
    return ScaleFrame(
        scale=scale,
        colour=colour,
        sizes=tuple(values[scale]),
        colours=() if colour is None else tuple(values[colour]),
        low=min(rates) - ROOM,
        high=max(rates) + ROOM,
    )


def _ends(cell: CellOptimum) -> list[float]:
    """Return the rates that the axis must hold."""
    rate = cell.log2_lr
    return [x for x in (rate.value, cell.limit if rate.value is None else None) if x is not None]


def colour_index(frame: ScaleFrame, cell: CellOptimum) -> int:
    """Return the rank of the colour of a cell; ranks are at most `MOST_COLOURS`."""
    if frame.colour is None:
        return 0
    rank = frame.colours.index(cell.sizes[frame.colour])
    return rank * num_colours(frame) // len(frame.colours)


def num_colours(frame: ScaleFrame) -> int:
    """Return the number of colours of the lines."""
    return max(min(len(frame.colours), MOST_COLOURS), 1)


def colour_names(frame: ScaleFrame) -> list[str]:
    """Return what each colour stands for.

    Example:
        >>> colour_names(ScaleFrame("width", "batch", (1.0,), (64.0, 128.0), 0.0, 1.0))
        ['batch 64', 'batch 128']
    """
    if frame.colour is None:
        return []
    num, names = num_colours(frame), []
    for k in range(num):
        of_colour = [
            v for rank, v in enumerate(frame.colours) if rank * num // len(frame.colours) == k
        ]
        ends = dict.fromkeys(map(format_size, (of_colour[0], of_colour[-1])))
        names.append(f"{frame.colour} {' to '.join(ends)}")
    return names


def scale_rows(group: ScalesGroupReport, frame: ScaleFrame) -> dict[str, list[dict[str, Any]]]:
    """Return the data of one group's figure: its marks, and its law at the center of the rest."""
    marks = [mark for cell in group.cells if (mark := _mark(cell, frame)) is not None]
    return {"marks": [asdict(mark) for mark in marks], "law": _law(group, frame)}


def _mark(cell: CellOptimum, frame: ScaleFrame) -> CellMark | None:
    """Return the mark of a cell; None where neither an optimum nor a limit exists."""
    rate = cell.log2_lr
    value = cell.limit if rate.value is None else rate.value
    if value is None:
        return None
    has_interval = rate.low is not None and rate.high is not None
    others = [f"{n} {format_size(size)}" for n, size in cell.sizes.items() if n != frame.scale]
    where = ", ".join(f"{name} {format_size(size)}" for name, size in cell.sizes.items())
    text = format_power(value)
    kind: Kind = "fitted"
    if rate.value is None and cell.side is not None:
        kind, text = cell.side, f"{cell.side} {text}"
    return CellMark(
        index=colour_index(frame, cell),
        line=", ".join(others),
        log2_size=math.log2(cell.sizes[frame.scale]),
        where=where,
        value=value,
        low=rate.low if has_interval and rate.low is not None else value,
        high=rate.high if has_interval and rate.high is not None else value,
        text=text,
        kind=kind,
    )


def _law(group: ScalesGroupReport, frame: ScaleFrame) -> list[dict[str, Any]]:
    """Return two points of the law of the rate, with all other scales at their center."""
    exponent, level = group.rate.exponents[frame.scale].value, group.rate.log2_lr.value
    if exponent is None or level is None:
        return []
    center = math.log2(group.rate.center[frame.scale])
    own = [math.log2(cell.sizes[frame.scale]) for cell in group.cells]
    return [
        {"log2_size": x, "value": level + exponent * (x - center)} for x in (min(own), max(own))
    ]
