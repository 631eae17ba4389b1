"""A comparison with a paper as numbers: regret and drift of each study, ours and the paper's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mutransfer.report.format import format_percent, format_slope

Source = Literal["ours", "paper"]
Quantity = Literal["regret", "drift"]

# Colours of marks: our verdict, or the paper's number.
STATES = ("transfers", "does not transfer", "undetermined", "paper")
# A regret beyond belongs to runs that diverged: its size depends on where they stopped [assumed].
MOST_PERCENT = 300.0
LEAST_PERCENT = 3.0
ROOM = -0.1  # for marks at zero
TICKS_PERCENT = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)


@dataclass(frozen=True, slots=True)
class StudyMark:
    """A number of one study, ours or the paper's, with its interval."""

    index: int  # of the study, from the top
    name: str  # of the study
    source: Source
    value: float
    low: float  # the value itself where there is no interval
    high: float
    is_unbounded: bool  # whether the interval has no upper end
    state: int  # of `STATES`
    text: str  # the value with its interval


def study_marks(rows: Sequence[Mapping[str, Any]], quantity: Quantity) -> tuple[StudyMark, ...]:
    """Return the marks of a figure, in the order of the studies.

    Args:
        rows: The `studies` of a comparison's JSON data.
        quantity: 'regret', in percent of the loss, or 'drift'.
    """
    marks = _regrets if quantity == "regret" else _drifts
    return tuple(mark for index, row in enumerate(rows) for mark in marks(index, row))


def study_domain(marks: Sequence[StudyMark], quantity: Quantity) -> tuple[float, float]:
    """Return an axis that holds every mark; a vast regret is cut.

    Example:
        >>> study_domain((), "regret"), study_domain((), "drift")
        ((-0.1, 3.0), (-0.55, 0.55))
    """
    if quantity == "regret":
        most = max((max(mark.value, mark.high) for mark in marks), default=0.0)
        return ROOM, min(max(1.1 * most, LEAST_PERCENT), MOST_PERCENT)
    # The interval of a drift may be vast: it stretches the axis to twice the largest value at most.
    values = max((abs(mark.value) for mark in marks), default=0.0)
    ends = max((max(-mark.low, mark.high) for mark in marks), default=0.0)
    reach = 1.1 * max(0.5, values, min(ends, 2 * values))
    return -reach, reach


def _regrets(index: int, row: Mapping[str, Any]) -> Iterator[StudyMark]:
    """Yield the regret in the paper's cells, and ours with its bounds."""
    paper, ours = row["paper"], row["ours"]
    if paper is not None and paper["regrets"]:
        last = paper["regrets"][-1]
        value = 100 * last["share"]
        text = f"{format_percent(last['share'])} at width {last['width']:g}, one seed"
        yield _mark(index, row, "paper", value, text)
    share = ours["regret_share"]
    if share["value"] is None and not share["low"]:
        return
    value = share["low"] if share["value"] is None else share["value"]
    low, high = share["low"], share["high"]
    bounds = ""
    if low is not None:
        end = "unbounded" if high is None else format_percent(high)
        bounds = f" [{format_percent(low)}, {end}]"
    start = "at least " if share["value"] is None else ""
    yield StudyMark(
        index,
        row["name"],
        "ours",
        100 * value,
        100 * (value if low is None else low),
        100 * (value if high is None else high),
        low is not None and high is None,
        STATES.index(ours["verdict"]),
        f"{start}{format_percent(value)}{bounds} at width {ours['widths'][-1]:g}",
    )


def _drifts(index: int, row: Mapping[str, Any]) -> Iterator[StudyMark]:
    """Yield the drift of the best rate on the paper's grid, and ours with its interval."""
    paper, drift = row["paper"], row["ours"]["drift"]
    if paper is not None and len(rates := paper["grid_log2_lr"]) > 1:
        octaves = math.log2(paper["widths"][-1] / paper["widths"][0])
        value = (rates[-1] - rates[0]) / octaves
        text = f"{format_slope(value)} from width {paper['widths'][0]:g} to {paper['widths'][-1]:g}"
        yield _mark(index, row, "paper", value, text)
    value = drift["value"]
    if value is None:
        return
    low, high = (value if drift[end] is None else drift[end] for end in ("low", "high"))
    interval = f" [{format_slope(low)}, {format_slope(high)}]" if low < high else ""
    text = f"{format_slope(value)}{interval}"
    state = STATES.index(row["ours"]["verdict"])
    yield StudyMark(index, row["name"], "ours", value, low, high, False, state, text)


def _mark(index: int, row: Mapping[str, Any], source: Source, value: float, text: str) -> StudyMark:
    """Return a mark without an interval."""
    return StudyMark(
        index, row["name"], source, value, value, value, False, STATES.index("paper"), text
    )
