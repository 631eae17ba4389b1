"""Sizes against width as numbers: the usual picture of a coordinate check."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mutransfer.report.figures.numbers.exponents import MEANINGS, panel_title
from mutransfer.report.format import format_expected, format_exponent, format_number

OUTPUT = "The size of the layers' outputs; shown for orientation, never judged."
LEAST_OCTAVES = 4.0  # of every panel, so that a level line looks level
ROOM = 0.5  # octaves above and below


@dataclass(frozen=True, slots=True)
class SizePanel:
    """One quantity of one role."""

    quantity: str
    role: str  # '' for whole modules
    expected: float | None  # exponent of width of a correct parametrization, if there is one
    widths: tuple[float, ...]
    sizes: tuple[tuple[float | None, ...], ...]  # by step, then by width
    fitted: tuple[float | None, ...]  # the exponent at every step

    @property
    def title(self) -> str:
        """The quantity and the role."""
        return panel_title(self.quantity, self.role)

    @property
    def meaning(self) -> str:
        """What the quantity is, in a sentence."""
        return OUTPUT if self.quantity == "output" else MEANINGS.get(self.quantity, "")

    @property
    def exponents(self) -> str:
        """The expected exponent, and the range of the fitted ones."""
        measured = [value for value in self.fitted if value is not None]
        ends = dict.fromkeys(format_exponent(end) for end in (min(measured), max(measured)))
        fitted = f"fitted {' to '.join(ends)}"
        if self.expected is None:
            return fitted
        return f"expected {format_expected(self.expected)}, {fitted}"


def size_panels(check: Mapping[str, Any]) -> list[SizePanel]:
    """Return the panels of a check, in the order in which quantities are explained.

    Example:
        >>> curve = dict(quantity="gain", role="input", expected=0.0, sizes=[[2.0, 2.1]],
        ...              fitted=[0.07])
        >>> (panel,) = size_panels({"settings": {"widths": [32, 64]}, "curves": [curve]})
        >>> panel.title, panel.exponents
        ('gain, input', 'expected 0, fitted +0.07')
    """
    widths = tuple(float(width) for width in check["settings"].get("widths", ()))
    panels = [
        SizePanel(
            str(curve["quantity"]),
            str(curve["role"]),
            curve["expected"],
            widths,
            tuple(tuple(sizes) for sizes in curve["sizes"]),
            tuple(curve["fitted"]),
        )
        for curve in check.get("curves", ())
        if any(value is not None for value in curve["fitted"])
    ]
    order = ["output", *MEANINGS]
    return sorted(panels, key=lambda panel: order.index(panel.quantity))


def num_steps(panels: Sequence[SizePanel]) -> int:
    """Count the measured steps; step 0 is the untrained model and its first update."""
    return max((len(panel.sizes) for panel in panels), default=0)


def size_rows(panel: SizePanel) -> dict[str, list[dict[str, Any]]]:
    """Return the data of a panel: a point per step and width, and the expected slope."""
    points = [
        {
            "index": step,
            "log2_width": math.log2(width),
            "log2_size": math.log2(size),
            "where": f"step {step}, width {width:g}",
            "size": format_number(size),
            "fitted": format_exponent(fitted),
        }
        for step, (sizes, fitted) in enumerate(zip(panel.sizes, panel.fitted, strict=True))
        if fitted is not None
        for width, size in zip(panel.widths, sizes, strict=True)
        if size is not None and size > 0
    ]
    return {"sizes": points, "expected": _expected_line(panel, points)}


def _expected_line(panel: SizePanel, points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Lay a line with the expected slope through the mean of the points."""
    if panel.expected is None or not points:
        return []
    x, y = (
        sum(point[name] for point in points) / len(points) for name in ("log2_width", "log2_size")
    )
    ends = [math.log2(panel.widths[k]) for k in (0, -1)]
    return [{"log2_width": at, "log2_size": y + panel.expected * (at - x)} for at in ends]


def size_domain(panel: SizePanel) -> tuple[float, float]:
    """Return the lowest and the highest log2 size of a panel."""
    rows = size_rows(panel)
    values = [row["log2_size"] for row in rows["sizes"] + rows["expected"]]
    low, high = min(values) - ROOM, max(values) + ROOM
    more = max(LEAST_OCTAVES - (high - low), 0.0) / 2
    return low - more, high + more
