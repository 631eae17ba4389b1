"""This file is the data half of a coordinate check: its panels, lines and numbers, drawn by none.

A check comes as what its `to_json` gives, so that whoever can write that down can be shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Protocol

from mutransfer.report.format import minus, shortened

WORST_FIRST = ("fail", "undetermined", "pass")
ALONE = ("attention", "pull")  # quantities of no parameter's role
LABELLED = 2  # failing lines of a panel that are named on it
LINE = 15  # pixels of a label
LEAST = 0.45  # powers of width that a panel shows to either side of what is expected
MEANINGS: Mapping[str, str] = {
    "gain": "What fresh weights make of their input.",
    "size": "The size of fresh vectors; a bias may fade.",
    "pull": "The gradient that comes out of the readout, against the one that enters it.",
    "attention": "Attention logits of the fresh model.",
    "effect": "What an update does to the output, along the loss's gradient.",
    "step": "The size of an update.",
    "update": "All updates so far, against the fresh weights.",
    "change": "How far outputs are from those of the fresh model.",
}


class Check(Protocol):
    """What `coord_check` answers, or anything that writes itself down alike."""

    def to_json(self) -> dict[str, Any]:
        """Give outcome, findings, diagnoses, reasons, notes, power and settings."""
        ...


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One parameter or layer in a panel.

    Args:
        name: Its name.
        outcome: The worst that was found of it.
        by_step: The exponent at every step; None where there is none.
        slope: The exponent that was judged, where it is farthest off.
        low: Lower end of its interval.
        high: Upper end.
        under_sp: The exponent at every step under SP; empty where that was not run.
    """

    name: str
    outcome: str
    by_step: tuple[float | None, ...]
    slope: float
    low: float
    high: float
    under_sp: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckPanel:
    """One quantity of one role.

    Args:
        quantity: What was measured.
        role: Role of the parameters; '' for a whole module.
        expected: The exponent of a correct rule.
        lines: In the order of the model.
        tolerance: How far off an exponent may be, below and above; where findings differ, the
            least.
    """

    quantity: str
    role: str
    expected: float
    lines: tuple[CheckLine, ...]
    tolerance: tuple[float, float]

    @property
    def title(self) -> str:
        """Name the panel."""
        whose = self.role or ("" if self.quantity in ALONE else "other modules")
        return f"{self.quantity}, {whose}" if whose else self.quantity

    @property
    def outcome(self) -> str:
        """The worst of its lines."""
        return worst(line.outcome for line in self.lines)

    @property
    def once(self) -> bool:
        """Whether every line is a single number, as of fresh models."""
        return all(sum(x is not None for x in line.by_step) <= 1 for line in self.lines)

    @property
    def failing(self) -> tuple[CheckLine, ...]:
        """The lines that fail, the farthest off first."""
        failing = [line for line in self.lines if line.outcome == "fail"]
        return tuple(sorted(failing, key=lambda line: -abs(line.slope - self.expected)))


def worst(outcomes: Any) -> str:  # noqa: ANN401 - any iterable of outcomes
    """Give the worst of some outcomes.

    Example:
        >>> worst(["pass", "fail", "undetermined"]), worst([])
        ('fail', 'pass')
    """
    found = set(outcomes)
    return next((one for one in WORST_FIRST if one in found), "pass")


def panels_of(findings: Sequence[Mapping[str, Any]]) -> list[CheckPanel]:
    """Gather findings into panels; what is judged early and late is one line.

    Example:
        >>> one = dict(quantity="effect", name="2.weight", role="hidden", steps=[0, 2], slope=0.9,
        ...            expected=0.0, low=0.8, high=1.0, outcome="fail", by_step=[0.9, 0.9, 0.9],
        ...            tolerance=[0.25, 0.25])
        >>> (panel,) = panels_of([one])
        >>> panel.title, panel.outcome, panel.tolerance
        ('effect, hidden', 'fail', (0.25, 0.25))
    """
    kinds: dict[tuple[str, str, float], dict[str, list[Mapping[str, Any]]]] = {}
    for one in findings:
        kind = str(one["quantity"]), str(one["role"]), float(one["expected"])
        kinds.setdefault(kind, {}).setdefault(str(one["name"]), []).append(one)
    return [
        _panel(kind, members)
        for kind, members in sorted(kinds.items(), key=lambda item: _place(item[0][0]))
    ]


def _panel(
    kind: tuple[str, str, float], members: Mapping[str, Sequence[Mapping[str, Any]]]
) -> CheckPanel:
    """Make a panel of findings by name, each early and perhaps late."""
    lines = tuple(_line(name, found) for name, found in members.items())
    tolerance = min(tuple(found[0]["tolerance"]) for found in members.values())
    return CheckPanel(*kind, lines, tolerance)


def _place(quantity: str) -> int:
    """Order quantities as they are explained."""
    return list(MEANINGS).index(quantity) if quantity in MEANINGS else len(MEANINGS)


def _line(name: str, found: Sequence[Mapping[str, Any]]) -> CheckLine:
    """Put an early and a late finding together: the worse of them is told."""
    ranked = sorted(
        found,
        key=lambda one: (
            WORST_FIRST.index(one["outcome"]),
            -abs(one["slope"] - one["expected"]),
        ),
    )
    first = ranked[0]
    return CheckLine(
        name,
        first["outcome"],
        _steps(found[0]["by_step"]),
        first["slope"],
        first["low"],
        first["high"],
        _steps(found[0].get("under_sp", ())),
    )


def _steps(values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Leave out what is no number."""
    return tuple(x if x is not None and math.isfinite(x) else None for x in values)


@dataclass(frozen=True, slots=True)
class CheckFrame:
    """What all panels share, so that bands are equally high and eyes can compare.

    Args:
        down: Powers of width shown below what is expected.
        up: Powers of width shown above.
        last: The last step.
        rooms: Pixels for labels, below and above.
    """

    down: float
    up: float
    last: int
    rooms: tuple[int, int]


def frame_of_check(panels: Sequence[CheckPanel]) -> CheckFrame:
    """Frame every line and every interval of every panel."""
    off = [
        value - panel.expected for panel in panels for value in _values(panel) if value is not None
    ]
    last = max((len(line.by_step) - 1 for panel in panels for line in panel.lines), default=0)
    down, up = 1.05 * max([LEAST, *(-x for x in off)]), 1.05 * max([LEAST, *off])
    named = [panel.failing[0].slope > panel.expected for panel in panels if panel.failing]
    room = LINE * (LABELLED + 1) + 4
    return CheckFrame(down, up, max(last, 1), (room * (False in named), room * (True in named)))


def _values(panel: CheckPanel) -> list[float | None]:
    """Give everything that a panel draws."""
    beside = [point["exponent"] for point in beside_of(panel)]
    if panel.once:
        return [end for line in panel.lines for end in (line.low, line.slope, line.high)] + beside
    return [value for line in panel.lines for value in line.by_step] + beside


def check_rows(
    panel: CheckPanel, frame: CheckFrame, height: int
) -> dict[str, list[dict[str, Any]]]:
    """Give the data of a panel: its lines' points, the band, and labels of what fails."""
    points = []
    for k, line in enumerate(panel.lines):
        for step, value in enumerate(line.by_step):
            if value is None:
                continue
            shown = line.slope if panel.once else value
            points.append(
                {
                    "x": k if panel.once else step,
                    "exponent": shown,
                    "low": line.low if panel.once else None,
                    "high": line.high if panel.once else None,
                    "name": line.name,
                    "outcome": line.outcome,
                    "told": f"{exponent_text(shown)}, expected {aim_text(panel.expected)}",
                    "where": "fresh model" if panel.once else f"step {step}",
                }
            )
    below, above = panel.tolerance
    lowest, _ = domain(panel, frame, height)
    band = {"low": max(panel.expected - below, lowest), "high": panel.expected + above}
    aim = {"exponent": panel.expected}
    labels = _labels(panel, frame, height)
    beside = beside_of(panel)
    return {"points": points, "band": [band], "aim": [aim], "labels": labels, "beside": beside}


def beside_of(panel: CheckPanel) -> list[dict[str, Any]]:
    """Give what SP does, as one line: the mean over layers, or each layer's one number."""
    if panel.once:
        found = [
            (k, value)
            for k, line in enumerate(panel.lines)
            for value in line.under_sp
            if value is not None
        ]
        return [{"x": k, "exponent": value} for k, value in found]
    steps = zip_longest(*(line.under_sp for line in panel.lines))
    means = [[value for value in values if value is not None] for values in steps]
    return [
        {"x": step, "exponent": sum(values) / len(values)}
        for step, values in enumerate(means)
        if values
    ]


def _labels(panel: CheckPanel, frame: CheckFrame, height: int) -> list[dict[str, Any]]:
    """Name the worst failing lines, stacked outside of all that is drawn."""
    failing = panel.failing
    if not failing:
        return []
    up = failing[0].slope > panel.expected
    names = [shortened(line.name, 34) for line in failing[:LABELLED]]
    if len(failing) > LABELLED:
        names.append(f"and {len(failing) - LABELLED} more")
    low, high = domain(panel, frame, height)
    per_pixel = (high - low) / height
    edge = high - per_pixel * LINE if up else low + per_pixel * LINE * (len(names) - 1)
    return [
        {"label": name, "at": edge - k * per_pixel * LINE + per_pixel * LINE / 2}
        for k, name in enumerate(names)
    ]


def domain(panel: CheckPanel, frame: CheckFrame, height: int) -> tuple[float, float]:
    """Give a panel's lowest and highest exponent, with room for labels."""
    below, above = frame.rooms
    per_pixel = (frame.down + frame.up) / (height - below - above)
    return (
        panel.expected - frame.down - below * per_pixel,
        panel.expected + frame.up + above * per_pixel,
    )


def exponent_text(value: float) -> str:
    """Write an exponent with its sign, to the second decimal.

    Example:
        >>> exponent_text(0.9444), exponent_text(-0.5), exponent_text(-0.001)
        ('+0.94', '−0.50', '0.00')
    """
    rounded = round(value, 2) + 0.0
    return minus(f"{rounded:+.2f}") if rounded else "0.00"


def aim_text(value: float) -> str:
    """Write an expected exponent.

    Example:
        >>> aim_text(-0.5), aim_text(0.0)
        ('−0.5', '0')
    """
    return minus(f"{value + 0.0:g}")


def aim_and_tolerance(panel: CheckPanel) -> str:
    """Say what is expected, and how far off it may be."""
    below, above = panel.tolerance
    told = f"expected {aim_text(panel.expected)} ± {above:g}"
    if below != above:
        told = f"expected {aim_text(panel.expected)}, −{below:g} to +{above:g}"
    return told.replace(" ", "\N{NO-BREAK SPACE}")
