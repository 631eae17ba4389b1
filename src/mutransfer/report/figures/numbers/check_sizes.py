"""This file is the data half of sizes against width: a coordinate check's usual picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mutransfer.report.figures.numbers.check import ALONE, MEANINGS, aim_text, exponent_text
from mutransfer.report.format import number

OUTPUT = "What layers give; for the eye, never judged."
LEAST = 4.0  # octaves that every panel shows: what is level should look level
ROOM = 0.5  # octaves above and below


@dataclass(frozen=True, slots=True)
class SizePanel:
    """One quantity of one role.

    Args:
        quantity: What was measured.
        role: Role of the layers; '' for whole modules.
        expected: The exponent of a correct rule, if there is one.
        widths: Of the models.
        sizes: By step, then by width.
        fitted: The exponent at every step.
    """

    quantity: str
    role: str
    expected: float | None
    widths: tuple[float, ...]
    sizes: tuple[tuple[float | None, ...], ...]
    fitted: tuple[float | None, ...]

    @property
    def title(self) -> str:
        """Name the panel."""
        if self.role:
            return f"{self.quantity}, {self.role}"
        return self.quantity if self.quantity in ALONE else f"{self.quantity}, other modules"

    @property
    def meaning(self) -> str:
        """Say what the quantity is."""
        return OUTPUT if self.quantity == "output" else MEANINGS.get(self.quantity, "")

    @property
    def exponents(self) -> str:
        """Say the expected exponent, and those that were fitted."""
        there = [value for value in self.fitted if value is not None]
        texts = list(dict.fromkeys(exponent_text(end) for end in (min(there), max(there))))
        fitted = f"fitted {' to '.join(texts)}"
        return fitted if self.expected is None else f"expected {aim_text(self.expected)}, {fitted}"


def size_panels(check: Mapping[str, Any]) -> list[SizePanel]:
    """Gather the curves of a check, in the order in which quantities are explained.

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
            str(one["quantity"]),
            str(one["role"]),
            one["expected"],
            widths,
            tuple(tuple(sizes) for sizes in one["sizes"]),
            tuple(one["fitted"]),
        )
        for one in check.get("curves", ())
        if any(value is not None for value in one["fitted"])
    ]
    order = ["output", *MEANINGS]
    return sorted(panels, key=lambda panel: order.index(panel.quantity))


def num_steps(panels: Sequence[SizePanel]) -> int:
    """Count the steps, the fresh model's included."""
    return max((len(panel.sizes) for panel in panels), default=0)


def size_rows(panel: SizePanel) -> dict[str, list[dict[str, Any]]]:
    """Give the data of a panel: a point per step and width, and the slope that is right."""
    points = [
        {
            "index": step,
            "log2_width": math.log2(width),
            "log2_size": math.log2(size),
            "where": f"{'fresh model' if step == 0 else f'step {step}'}, width {width:g}",
            "told": number(size),
            "fitted": exponent_text(fitted),
        }
        for step, (sizes, fitted) in enumerate(zip(panel.sizes, panel.fitted, strict=True))
        if fitted is not None
        for width, size in zip(panel.widths, sizes, strict=True)
        if size is not None and size > 0
    ]
    return {"sizes": points, "aim": _aim(panel, points)}


def _aim(panel: SizePanel, points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Lay the slope that is right through the middle of all that is drawn."""
    if panel.expected is None or not points:
        return []
    x, y = (
        sum(point[name] for point in points) / len(points) for name in ("log2_width", "log2_size")
    )
    ends = [math.log2(panel.widths[k]) for k in (0, -1)]
    return [{"log2_width": at, "log2_size": y + panel.expected * (at - x)} for at in ends]


def size_domain(panel: SizePanel) -> tuple[float, float]:
    """Give the lowest and the highest log2 size that a panel shows."""
    rows = size_rows(panel)
    values = [row["log2_size"] for row in rows["sizes"] + rows["aim"]]
    low, high = min(values) - ROOM, max(values) + ROOM
    more = max(LEAST - (high - low), 0.0) / 2
    return low - more, high + more
