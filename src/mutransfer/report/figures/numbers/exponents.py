"""Exponents of width by step as numbers: the panels and lines of a coordinate check.

A check is read as the data of its `to_json`, so that any check written in that form can be shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Protocol

from mutransfer.report.format import format_expected, format_exponent, shorten

WORST_FIRST = ("fail", "undetermined", "pass")
WITHOUT_ROLE = ("attention", "pull", "stream")  # quantities that belong to no role of a parameter
NUM_LABELS = 2  # failing lines of a panel that are named on it
LINE_HEIGHT = 15  # pixels of a label
LEAST = 0.45  # powers of width that a panel shows to either side of the expected exponent
MEANINGS: Mapping[str, str] = {
    "gain": "The size of an untrained layer's output over that of its input.",
    "size": "The size of untrained vectors; a bias may shrink with width.",
    "pull": "The gradient behind the readout over the gradient at the logits.",
    "stream": "The size of an untrained residual stream, where a norm reads it.",
    "attention": "The size of the untrained model's attention logits.",
    "effect": "The change of a layer's output by one update, along the gradient of the loss.",
    "step": "The size of one update.",
    "update": "The size of all updates so far over that of the initial weights.",
    "change": "The difference of an output from that of the untrained model.",
}

Data = Mapping[str, Any]
Interval = tuple[float, float]
ByStep = tuple[float | None, ...]


class Check(Protocol):
    """The answer of `coord_check`, or anything with the same `to_json`."""

    def to_json(self) -> dict[str, Any]:
        """Return outcome, findings, diagnoses, reasons, notes, power, settings and curves."""
        ...


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One parameter or layer in a panel."""

    name: str
    outcome: str  # the worst of its findings
    by_step: ByStep  # the exponent at every step
    slope: float  # the exponent that was judged, where it is farthest off
    low: float
    high: float
    under_sp: ByStep = ()  # the exponent under SP; empty where that was not run


@dataclass(frozen=True, slots=True)
class CheckPanel:
    """One quantity of one role."""

    quantity: str
    role: str  # '' for a whole module
    expected: float  # exponent of a correct parametrization
    lines: tuple[CheckLine, ...]  # in the order of the model
    tolerance: Interval  # below and above; the least where findings differ

    @property
    def title(self) -> str:
        """The quantity and the role."""
        return panel_title(self.quantity, self.role)

    @property
    def outcome(self) -> str:
        """The worst outcome of its lines."""
        return worst_outcome(line.outcome for line in self.lines)

    @property
    def is_single(self) -> bool:
        """Whether every line is a single number, as of untrained models."""
        return all(sum(x is not None for x in line.by_step) <= 1 for line in self.lines)

    @property
    def failing(self) -> tuple[CheckLine, ...]:
        """The lines that fail, in falling order of their distance."""
        failing = [line for line in self.lines if line.outcome == "fail"]
        return tuple(sorted(failing, key=lambda line: -abs(line.slope - self.expected)))

    @property
    def expectation(self) -> str:
        """The expected exponent and its tolerance, without a line break."""
        below, above = self.tolerance
        text = f"expected {format_expected(self.expected)} ± {above:g}"
        if below != above:
            text = f"expected {format_expected(self.expected)}, −{below:g} to +{above:g}"
        return text.replace(" ", "\N{NO-BREAK SPACE}")


@dataclass(frozen=True, slots=True)
class CheckFrame:
    """What all panels share, so that bands are equally high and panels can be compared."""

    down: float  # powers of width shown below the expected exponent
    up: float
    last: int  # the last step
    rooms: tuple[int, int]  # pixels for labels, below and above


def panel_title(quantity: str, role: str) -> str:
    """Return the title of a panel.

    Example:
        >>> panel_title("gain", "hidden"), panel_title("change", ""), panel_title("pull", "")
        ('gain, hidden', 'change, other modules', 'pull')
    """
    owner = role or ("" if quantity in WITHOUT_ROLE else "other modules")
    return f"{quantity}, {owner}" if owner else quantity


def worst_outcome(outcomes: Iterable[str]) -> str:
    """Return the worst of some outcomes.

    Example:
        >>> worst_outcome(["pass", "fail", "undetermined"]), worst_outcome([])
        ('fail', 'pass')
    """
    return min(outcomes, key=WORST_FIRST.index, default="pass")


def check_panels(findings: Sequence[Data]) -> list[CheckPanel]:
    """Gather findings into panels; early and late findings of one layer share a line.

    Example:
        >>> finding = dict(quantity="effect", name="2.weight", role="hidden", steps=[0, 2],
        ...                slope=0.9, expected=0.0, low=0.8, high=1.0, outcome="fail",
        ...                by_step=[0.9, 0.9, 0.9], tolerance=[0.25, 0.25])
        >>> (panel,) = check_panels([finding])
        >>> panel.title, panel.outcome, panel.tolerance
        ('effect, hidden', 'fail', (0.25, 0.25))
    """
    kinds: dict[tuple[str, str, float], dict[str, list[Data]]] = {}
    for finding in findings:
        kind = str(finding["quantity"]), str(finding["role"]), float(finding["expected"])
        kinds.setdefault(kind, {}).setdefault(str(finding["name"]), []).append(finding)
    order = list(MEANINGS)
    panels = [
        CheckPanel(
            *kind,
            tuple(_line(name, members) for name, members in by_name.items()),
            min(tuple(members[0]["tolerance"]) for members in by_name.values()),
        )
        for kind, by_name in kinds.items()
    ]
    known = {quantity: k for k, quantity in enumerate(order)}
    return sorted(panels, key=lambda panel: known.get(panel.quantity, len(order)))


def _line(name: str, findings: Sequence[Data]) -> CheckLine:
    """Return the line of one layer with the outcome of its worst finding."""
    worst = min(
        findings,
        key=lambda f: (WORST_FIRST.index(f["outcome"]), -abs(f["slope"] - f["expected"])),
    )
    steps = _finite(findings[0]["by_step"]), _finite(findings[0].get("under_sp", ()))
    ends = worst["slope"], worst["low"], worst["high"]
    return CheckLine(name, worst["outcome"], steps[0], *ends, steps[1])


def _finite(values: Sequence[float | None]) -> ByStep:
    """Replace what is not finite by None."""
    return tuple(x if x is not None and math.isfinite(x) else None for x in values)


def check_frame(panels: Sequence[CheckPanel]) -> CheckFrame:
    """Choose a frame that holds every line and every interval of every panel."""
    off = [
        value - panel.expected
        for panel in panels
        for value in _values_of(panel)
        if value is not None
    ]
    last = max((len(line.by_step) - 1 for panel in panels for line in panel.lines), default=0)
    down, up = 1.05 * max([LEAST, *(-x for x in off)]), 1.05 * max([LEAST, *off])
    is_up = [panel.failing[0].slope > panel.expected for panel in panels if panel.failing]
    room = LINE_HEIGHT * (NUM_LABELS + 1) + 4
    return CheckFrame(down, up, max(last, 1), (room * (False in is_up), room * (True in is_up)))


def _values_of(panel: CheckPanel) -> list[float | None]:
    """Return everything that a panel draws."""
    reference = [point["exponent"] for point in sp_points(panel)]
    if panel.is_single:
        return [x for line in panel.lines for x in (line.low, line.slope, line.high)] + reference
    return [value for line in panel.lines for value in line.by_step] + reference


def check_rows(
    panel: CheckPanel, frame: CheckFrame, height: int
) -> dict[str, list[dict[str, Any]]]:
    """Return the data of a panel: points of its lines, the band, labels of failing lines."""
    single = panel.is_single
    points = [
        {
            "x": k if single else step,
            "exponent": (shown := line.slope if single else value),
            "low": line.low if single else None,
            "high": line.high if single else None,
            "name": line.name,
            "outcome": line.outcome,
            "text": f"{format_exponent(shown)}, expected {format_expected(panel.expected)}",
            "where": f"step {step}",
        }
        for k, line in enumerate(panel.lines)
        for step, value in enumerate(line.by_step)
        if value is not None
    ]
    below, above = panel.tolerance
    lowest, _ = check_domain(panel, frame, height)
    band = {"low": max(panel.expected - below, lowest), "high": panel.expected + above}
    return {
        "points": points,
        "band": [band],
        "expected": [{"exponent": panel.expected}],
        "labels": _labels(panel, frame, height),
        "sp": sp_points(panel),
    }


def sp_points(panel: CheckPanel) -> list[dict[str, Any]]:
    """Return the exponents under SP: the mean over layers, or each layer's single number."""
    if panel.is_single:
        return [
            {"x": k, "exponent": value}
            for k, line in enumerate(panel.lines)
            for value in line.under_sp
            if value is not None
        ]
    by_step = zip_longest(*(line.under_sp for line in panel.lines))
    measured = [[value for value in values if value is not None] for values in by_step]
    return [
        {"x": step, "exponent": sum(values) / len(values)}
        for step, values in enumerate(measured)
        if values
    ]


def _labels(panel: CheckPanel, frame: CheckFrame, height: int) -> list[dict[str, Any]]:
    """Return the names of the worst failing lines, stacked outside of all that is drawn."""
    failing = panel.failing
    if not failing:
        return []
    is_up = failing[0].slope > panel.expected
    names = [shorten(line.name, 34) for line in failing[:NUM_LABELS]]
    if len(failing) > NUM_LABELS:
        names.append(f"and {len(failing) - NUM_LABELS} more")
    low, high = check_domain(panel, frame, height)
    line = LINE_HEIGHT * (high - low) / height
    top = high - line if is_up else low + line * (len(names) - 1)
    return [{"label": name, "at": top - k * line + line / 2} for k, name in enumerate(names)]


def check_domain(panel: CheckPanel, frame: CheckFrame, height: int) -> Interval:
    """Return a panel's lowest and highest exponent, with room for labels."""
    below, above = frame.rooms
    per_pixel = (frame.down + frame.up) / (height - below - above)
    return (
        panel.expected - frame.down - below * per_pixel,
        panel.expected + frame.up + above * per_pixel,
    )
