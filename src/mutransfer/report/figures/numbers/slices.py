"""Slices: the loss along one hyperparameter, with the samples projected onto it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from mutransfer.report.format import format_loss, format_number, format_width

if TYPE_CHECKING:
    from mutransfer.analysis import TunedGroup, TunedValue, TunedWidth, TuningReport

SHOWN = 0.75  # of the losses; the worst ones are marked at the upper edge [assumed]
MARGIN = 0.05  # of the height, around what is shown


@dataclass(frozen=True, slots=True)
class SlicePoint:
    """A sample: its value on the axis, its loss, and what it is."""

    x: float
    loss: float
    index: int
    kind: Literal["fitted", "other", "above", "diverged"]
    where: str
    text: str


@dataclass(frozen=True, slots=True)
class SectionPoint:
    """The fitted loss at one value, with its band; both ends are the loss without a band."""

    x: float
    loss: float
    low: float
    high: float
    index: int


@dataclass(frozen=True, slots=True)
class BestMark:
    """The best value at one width, with its interval; the ends are the value without one."""

    x: float
    loss: float
    low: float
    high: float
    index: int
    where: str
    text: str


@dataclass(frozen=True, slots=True)
class Slice:
    """The data of one hyperparameter's panel."""

    points: list[SlicePoint]
    sections: list[SectionPoint]
    best: list[BestMark]
    domain: tuple[float, float]


def axis_position(value: float, scale: str) -> float:
    """Return the place of a value on its axis.

    Example:
        >>> axis_position(0.25, "log"), axis_position(0.25, "linear")
        (-2.0, 0.25)
    """
    return math.log2(value) if scale == "log" else value


def loss_limits(group: TunedGroup) -> tuple[float, float]:
    """Return the lower and the upper end of the axis of losses, the same for all slices."""
    losses = [s.loss for w in group.widths for s in w.samples if math.isfinite(s.loss)]
    if not losses:
        return 0.0, 1.0
    sections = [v.section for w in group.widths for v in w.values if v.section is not None]
    low = min([min(losses), *(min(section.low or section.loss) for section in sections)])
    high = float(np.quantile(losses, SHOWN))
    room = MARGIN * (high - low) or 0.1
    return low - room, high + room


def slice_numbers(group: TunedGroup, report: TuningReport, name: str) -> Slice:
    """Return the samples, the sections and the best values of one hyperparameter."""
    limits = loss_limits(group)
    points: list[SlicePoint] = []
    sections: list[SectionPoint] = []
    best: list[BestMark] = []
    ends: list[float] = []
    for index, width in enumerate(group.widths):
        value = width[name]
        where = f"{report.scale} {format_width(width.width)}"
        points += _points(width, report.hyperparameters.index(name), value, index, where, limits[1])
        sections += _sections(value, index)
        if value.section is not None:
            best.append(_best(value, width.loss.value, index, where))
        ends += [axis_position(end, value.scale) for end in (value.lowest, value.highest)]
    room = MARGIN * (max(ends) - min(ends)) or 0.5
    return Slice(points, sections, best, (min(ends) - room, max(ends) + room))


def _points(
    width: TunedWidth, position: int, value: TunedValue, index: int, where: str, top: float
) -> Iterable[SlicePoint]:
    """Return the samples of one width."""
    for sample in width.samples:
        kind: Literal["fitted", "other", "above", "diverged"] = "other"
        loss, text = sample.loss, format_loss(sample.loss)
        if not math.isfinite(loss):
            kind, loss, text = "diverged", top, "diverged"
        elif loss > top:
            kind, loss = "above", top
        elif sample.is_fitted:
            kind = "fitted"
        x = axis_position(sample.values[position], value.scale)
        yield SlicePoint(x, loss, index, kind, where, text)


def _sections(value: TunedValue, index: int) -> list[SectionPoint]:
    """Return the fitted section of one width."""
    section = value.section
    if section is None:
        return []
    low, high = section.low or section.loss, section.high or section.loss
    return [
        SectionPoint(axis_position(x, value.scale), loss, *band, index)
        for x, loss, band in zip(
            section.value, section.loss, zip(low, high, strict=True), strict=True
        )
    ]


def _best(value: TunedValue, loss: float | None, index: int, where: str) -> BestMark:
    """Return the best value of one width, where it is determined, else the one to use."""
    assert loss is not None
    x = axis_position(value.recommended, value.scale)
    ends = [
        x if end is None else axis_position(end, value.scale)
        for end in (value.best.low, value.best.high)
    ]
    shown = value.best.value is not None
    low, high = ends if shown else (x, x)
    text = format_number(value.recommended) + ("" if shown else " (undetermined)")
    return BestMark(x, loss, low, high, index, where, text)
