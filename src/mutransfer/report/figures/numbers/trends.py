"""Trends over width as numbers: optima, fitted laws and predicted targets."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mutransfer.report.figures.numbers.loss import all_widths, rate_with_interval
from mutransfer.report.format import format_loss, format_width

if TYPE_CHECKING:
    from mutransfer.analysis import Estimate, Optimum, Prediction, Report

What = Literal["rate", "loss"]
Kind = Literal["fitted", "low", "high"]

OFFSET = 0.04  # octaves of width between two groups, so that marks do not hide each other
NUM_STEPS = 9  # points of a law beyond the largest width
MOST_REACH = 1.5  # of the measured range: how far a prediction's interval may stretch an axis


@dataclass(frozen=True, slots=True)
class TrendMark:
    """The best rate or the best loss at one width, with its interval."""

    index: int  # of the group; 0 is the first of the report
    log2_width: float  # with the group's offset
    where: str  # the width, as text
    value: float  # log2 of the best rate, or the loss there
    low: float  # the value itself where there is no interval
    high: float
    text: str  # the value with its interval
    kind: Kind  # 'low' or 'high': the optimum lies beyond that edge of the tried rates
    has_law: bool  # whether a law is drawn through the group; else a line joins the marks


@dataclass(frozen=True, slots=True)
class LawPoint:
    """A fitted law at one width, with its 90 % band where there is one."""

    index: int
    log2_width: float
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Trends:
    """The data of one figure against width."""

    marks: tuple[TrendMark, ...]  # measured, one per group and width
    laws: tuple[LawPoint, ...]  # over the measured widths
    beyond: tuple[LawPoint, ...]  # from the largest width to the targets
    targets: tuple[TrendMark, ...]  # predicted

    def select(self, groups: Container[int]) -> Trends:
        """Return the data of some groups."""
        return Trends(
            tuple(mark for mark in self.marks if mark.index in groups),
            tuple(point for point in self.laws if point.index in groups),
            tuple(point for point in self.beyond if point.index in groups),
            tuple(mark for mark in self.targets if mark.index in groups),
        )


def trends(report: Report, what: What, predictions: Sequence[Prediction] = ()) -> Trends:
    """Return the data of a figure of the best rate, or of the best loss, against width."""
    return Trends(
        tuple(_marks(report, what)),
        law_points(report, what),
        tuple(_beyond(report, predictions, what)),
        tuple(_target_marks(report, predictions, what)),
    )


def law_points(report: Report, what: What) -> tuple[LawPoint, ...]:
    """Return each group's law from its smallest width to its largest, with the band."""
    points = []
    for k, group in enumerate(report.values()):
        for band in group.scaling.bands:
            law = band.log2_lr if what == "rate" else band.loss
            if law.value is not None:
                at = math.log2(band.width) + group_offset(report, k)
                points.append(LawPoint(k, at, law.value, law.low, law.high))
    return tuple(points)


def trend_widths(
    report: Report, predictions: Sequence[Prediction], what: What
) -> tuple[float, ...]:
    """Return the widths of the axis: the measured ones, and targets with a prediction."""
    targets = {
        prediction.width
        for _, prediction in _targets(report, predictions)
        if _predicted(prediction, what).value is not None
    }
    return tuple(sorted({*all_widths(report), *targets}))


def trend_domain(data: Trends, what: What) -> tuple[float, float]:
    """Return an axis that holds every interval with some room; a vast one of a target is cut.

    Example:
        >>> trend_domain(Trends((), (), (), ()), "rate")
        (0.0, 1.0)
    """
    if not data.marks:
        return 0.0, 1.0
    ends = [(p.value if p.low is None else p.low, p.value if p.high is None else p.high)
            for p in data.laws]  # fmt: skip
    ends += [(mark.low, mark.high) for mark in data.marks]
    ends += [(target.value, target.value) for target in data.targets]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    least = 0.75 if what == "rate" else 1e-3 * max(abs(low), 1e-6)
    reach = MOST_REACH * max(high - low, least)
    low = max(low - reach, min([low, *(target.low for target in data.targets)]))
    high = min(high + reach, max([high, *(target.high for target in data.targets)]))
    room = max(0.1 * (high - low), least)
    return low - room, high + room


def _marks(report: Report, what: What) -> Iterator[TrendMark]:
    """Yield the measured optima; of one on the edge of the tried rates, the edge."""
    with_law = {point.index for point in law_points(report, what)}
    for k, group in enumerate(report.values()):
        for optimum in group.optimum:
            kind, value, low, high = _measured(optimum, what)
            if value is None:
                continue
            edge = "" if kind == "fitted" else " at the edge of the tried rates"
            yield TrendMark(
                index=k,
                log2_width=math.log2(optimum.width) + group_offset(report, k),
                where=f"{report.scale} {format_width(optimum.width)}",
                value=value,
                low=low,
                high=high,
                text=_text(what, value, low, high) + edge,
                kind=kind,
                has_law=k in with_law,
            )


def _measured(optimum: Optimum, what: What) -> tuple[Kind, float | None, float, float]:
    """Return the kind, the value and the interval that are drawn at one width."""
    estimate = optimum.log2_lr if what == "rate" else optimum.loss
    grid = optimum.grid_log2_lr if what == "rate" else optimum.grid_loss
    if estimate.value is not None:
        return "fitted", estimate.value, *_ends(estimate, estimate.value)
    if grid is None or optimum.edge is None:
        return "fitted", None, 0.0, 0.0
    return optimum.edge, grid, grid, grid


def _target_marks(
    report: Report, predictions: Sequence[Prediction], what: What
) -> Iterator[TrendMark]:
    """Yield the prediction at each target, with its interval."""
    for k, prediction in _targets(report, predictions):
        estimate = _predicted(prediction, what)
        if estimate.value is None:
            continue
        low, high = _ends(estimate, estimate.value)
        yield TrendMark(
            index=k,
            log2_width=math.log2(prediction.width) + group_offset(report, k),
            where=f"{report.scale} {format_width(prediction.width)}, not run",
            value=estimate.value,
            low=low,
            high=high,
            text=f"predicted {_text(what, estimate.value, low, high)}",
            kind="fitted",
            has_law=True,
        )


def _beyond(report: Report, predictions: Sequence[Prediction], what: What) -> Iterator[LawPoint]:
    """Yield the path of each prediction, from the largest width to the target, with its band."""
    for k, prediction in _targets(report, predictions):
        for step in prediction.path:
            law = step.log2_lr if what == "rate" else step.loss
            if law.value is not None:
                at = math.log2(step.width) + group_offset(report, k)
                yield LawPoint(k, at, law.value, law.low, law.high)


def _targets(report: Report, predictions: Sequence[Prediction]) -> Iterator[tuple[int, Prediction]]:
    """Yield the predictions beyond the measured widths, each with its group's index."""
    order = {name: k for k, name in enumerate(report)}
    for prediction in predictions:
        k = order.get(prediction.group)
        if k is not None and prediction.width > report[prediction.group].curves[-1].width:
            yield k, prediction


def _predicted(prediction: Prediction, what: What) -> Estimate:
    """Return the predicted rate or loss."""
    return prediction.log2_lr if what == "rate" else prediction.loss


def group_offset(report: Report, k: int) -> float:
    """Return by how many octaves of width a group's marks are moved."""
    return OFFSET * max(-3, min(3, k - (len(report) - 1) / 2))


def _ends(estimate: Estimate, value: float) -> tuple[float, float]:
    """Return the interval of an estimate; the value itself where there is none."""
    low = value if estimate.low is None else estimate.low
    return low, value if estimate.high is None else estimate.high


def _text(what: What, value: float, low: float, high: float) -> str:
    """Format a value with its interval, if it has one."""
    if what == "rate":
        return rate_with_interval(value, low, high)
    interval = f" [{format_loss(low)}, {format_loss(high)}]" if low < high else ""
    return format_loss(value) + interval
