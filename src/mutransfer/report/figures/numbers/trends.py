"""This file is the numbers of the figures against width: optima, laws and targets."""

from __future__ import annotations

import math
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mutransfer.report.figures.numbers.loss import ranged, widths_of
from mutransfer.report.format import loss_text, power, width_text

if TYPE_CHECKING:
    from mutransfer.analysis import Estimate, GroupReport, Optimum, Prediction, Report

What = Literal["rate", "loss"]

APART = 0.04  # octaves of width between two groups, so that marks do not hide each other
STEPS_BEYOND = 9  # points that a law is drawn with beyond the largest width
MOST_REACH = 1.5  # of what was measured: how far a prediction's interval may stretch an axis


@dataclass(frozen=True, slots=True)
class Trend:
    """One number of one width, with its interval, for the figures against width.

    Args:
        index: Which group: 0 is the first of the report.
        log2_width: log2 of the width, moved a little so that groups do not hide each other.
        where: The width, in words.
        value: log2 of the best rate, or the loss there in nats.
        low: Lower end of the interval; the value itself where there is none.
        high: Upper end of the interval; the value itself where there is none.
        text: The value with its interval, in words.
        kind: 'fitted', or the edge of the tried rates beyond which it lies: 'low' or 'high'.
        lawful: Whether a law is drawn through the group, so that no line needs to join the marks.
    """

    index: int
    log2_width: float
    where: str
    value: float
    low: float
    high: float
    text: str
    kind: Literal["fitted", "low", "high"]
    lawful: bool


@dataclass(frozen=True, slots=True)
class LawPoint:
    """A law at one width, for the figures against width.

    Args:
        index: Which group.
        log2_width: log2 of the width, moved as the group's marks are.
        value: log2 of the rate, or the loss, by the law.
        low: Lower end of its 90 % band; None where there is none.
        high: Upper end of it.
    """

    index: int
    log2_width: float
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Trends:
    """Everything that one figure against width draws.

    Args:
        marks: What ran, one per group and width.
        laws: The laws over what ran.
        beyond: The laws from the largest width to the targets.
        targets: What is predicted there.
    """

    marks: tuple[Trend, ...]
    laws: tuple[LawPoint, ...]
    beyond: tuple[LawPoint, ...]
    targets: tuple[Trend, ...]

    def only(self, chosen: Container[int]) -> Trends:
        """Keep the groups with these indices."""
        return Trends(
            tuple(mark for mark in self.marks if mark.index in chosen),
            tuple(point for point in self.laws if point.index in chosen),
            tuple(point for point in self.beyond if point.index in chosen),
            tuple(mark for mark in self.targets if mark.index in chosen),
        )


def trends_of(report: Report, what: What, predictions: Sequence[Prediction] = ()) -> Trends:
    """Gather what a figure against width draws."""
    return Trends(
        best_rates(report) if what == "rate" else best_losses(report),
        laws_of(report, what),
        beyond_of(report, predictions, what),
        targets_of(report, predictions, what),
    )


def best_rates(report: Report) -> tuple[Trend, ...]:
    """Give log2 of the best rate against width; on an edge, the edge and its side."""
    return tuple(_trends(report, "rate"))


def best_losses(report: Report) -> tuple[Trend, ...]:
    """Give the loss at each width's own best rate."""
    return tuple(_trends(report, "loss"))


def laws_of(report: Report, what: What) -> tuple[LawPoint, ...]:
    """Give each group's law from its smallest width to its largest, with the band."""
    points = []
    for k, group in enumerate(report.values()):
        for band in group.scaling.bands:
            law = band.log2_lr if what == "rate" else band.loss
            if law.value is not None:
                place = math.log2(band.width) + _moved(report, k)
                points.append(LawPoint(k, place, law.value, law.low, law.high))
    return tuple(points)


def beyond_of(
    report: Report, predictions: Sequence[Prediction], what: What
) -> tuple[LawPoint, ...]:
    """Give the law that each prediction took, from the largest width to the target."""
    points: list[LawPoint] = []
    for k, prediction in _targets(report, predictions):
        group = report[prediction.group]
        if not group.scaling.bands:
            continue
        last = group.scaling.bands[-1]
        for step in range(STEPS_BEYOND):
            share = step / (STEPS_BEYOND - 1)
            width = last.width ** (1 - share) * prediction.width**share
            value = _law_at(group, prediction, width, what)
            if value is not None:
                points.append(LawPoint(k, math.log2(width) + _moved(report, k), value))
    return tuple(points)


def targets_of(report: Report, predictions: Sequence[Prediction], what: What) -> tuple[Trend, ...]:
    """Give what is predicted at each target, with its interval."""
    marks = []
    for k, prediction in _targets(report, predictions):
        estimate = prediction.log2_lr if what == "rate" else prediction.loss
        if estimate.value is None:
            continue
        value, low, high = _ends(estimate, estimate.value)
        write = power if what == "rate" else loss_text
        marks.append(
            Trend(
                index=k,
                log2_width=math.log2(prediction.width) + _moved(report, k),
                where=f"{report.scale} {width_text(prediction.width)}, not run",
                value=value,
                low=low,
                high=high,
                text="predicted " + ranged(write(value), write(low), write(high), low < high),
                kind="fitted",
                lawful=True,
            )
        )
    return tuple(marks)


def trend_widths(
    report: Report, predictions: Sequence[Prediction], what: What
) -> tuple[float, ...]:
    """Give the widths of the axis: those that ran, and targets where something is predicted."""
    targets = {
        one.width
        for _, one in _targets(report, predictions)
        if (one.log2_lr if what == "rate" else one.loss).value is not None
    }
    return tuple(sorted({*widths_of(report), *targets}))


def trend_domain(drawn: Trends, what: What) -> tuple[float, float]:
    """Give an axis that holds every interval with some room; a vast one of a target is cut.

    Example:
        >>> trend_domain(Trends((), (), (), ()), "rate")
        (0.0, 1.0)
    """
    if not drawn.marks:
        return 0.0, 1.0
    targets = drawn.targets
    bands = [(p.value if p.low is None else p.low, p.value if p.high is None else p.high)
             for p in drawn.laws]  # fmt: skip
    ends = [*bands, *((mark.low, mark.high) for mark in drawn.marks)]
    ends += [(target.value, target.value) for target in targets]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    least = 0.75 if what == "rate" else 1e-3 * max(abs(low), 1e-6)
    reach = MOST_REACH * max(high - low, least)
    low = max(low - reach, min([low, *(target.low for target in targets)]))
    high = min(high + reach, max([high, *(target.high for target in targets)]))
    room = max(0.1 * (high - low), least)
    return low - room, high + room


def _targets(report: Report, predictions: Sequence[Prediction]) -> Iterator[tuple[int, Prediction]]:
    """Give the predictions that lie beyond what was run, each with its group's index."""
    order = {name: k for k, name in enumerate(report)}
    for prediction in predictions:
        k = order.get(prediction.group)
        if k is not None and prediction.width > report[prediction.group].curves[-1].width:
            yield k, prediction


def _law_at(group: GroupReport, prediction: Prediction, width: float, what: What) -> float | None:
    """Evaluate the law that a prediction took."""
    laws = group.laws
    if what == "rate" and prediction.law == "constant":
        return prediction.log2_lr.value
    if what == "rate":
        start, slope = laws.log2_lr.value, laws.beta.value
        return None if start is None or slope is None else start - slope * math.log2(width)
    floor, amplitude, alpha = laws.loss_inf.value, laws.amplitude.value, laws.alpha.value
    if floor is None or amplitude is None or alpha is None:
        return None
    return floor + amplitude * math.exp(-alpha * math.log(width))


def _moved(report: Report, k: int) -> float:
    """Give by how many octaves a group's marks are moved."""
    return APART * max(-3, min(3, k - (len(report) - 1) / 2))


def _ends(estimate: Estimate, value: float) -> tuple[float, float, float]:
    """Give a value with its interval; the value itself where there is none."""
    low = value if estimate.low is None else estimate.low
    high = value if estimate.high is None else estimate.high
    return value, low, high


def _trends(report: Report, what: What) -> Iterator[Trend]:
    """Walk over groups and widths."""
    lawful = {point.index for point in laws_of(report, what)}
    for k, group in enumerate(report.values()):
        for optimum in group.optimum:
            kind, value, low, high = _trend(optimum, what)
            if value is None:
                continue
            if what == "rate":
                text = ranged(power(value), power(low), power(high), low < high)
            else:
                text = ranged(loss_text(value), loss_text(low), loss_text(high), low < high)
            if kind != "fitted":
                text += " at the edge of what was tried"
            yield Trend(
                index=k,
                log2_width=math.log2(optimum.width) + _moved(report, k),
                where=f"{report.scale} {width_text(optimum.width)}",
                value=value,
                low=low,
                high=high,
                text=text,
                kind=kind,
                lawful=k in lawful,
            )


def _trend(
    optimum: Optimum, what: What
) -> tuple[Literal["fitted", "low", "high"], float | None, float, float]:
    """Give the kind, the value and the ends of what is drawn at one width."""
    estimate = optimum.log2_lr if what == "rate" else optimum.loss
    grid = optimum.grid_log2_lr if what == "rate" else optimum.grid_loss
    if estimate.value is not None:
        return "fitted", *_ends(estimate, estimate.value)
    if grid is None or optimum.edge is None:
        return "fitted", None, 0.0, 0.0
    return optimum.edge, grid, grid, grid
