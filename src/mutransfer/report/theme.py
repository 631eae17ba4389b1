"""Colours of the page in light and dark, and of figures on white paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# Eleven even steps of viridis, perceptually uniform and safe for colour-blind readers.
# [source: matplotlib's viridis, CC0]
VIRIDIS = (
    "#440154", "#482475", "#414487", "#355f8d", "#2a788e", "#21918c",
    "#22a884", "#44bf70", "#7ad151", "#bddf26", "#fde725",
)  # fmt: skip
# The part of viridis with a contrast of 3:1 on a white page, and on a dark one.
ON_LIGHT = (0.0, 0.58)
ON_DARK = (0.4, 0.9)
# The hues of Okabe and Ito; their lightness is moved until colour-blind readers can tell any two
# apart. [derived: tests/report/test_colours.py]
GROUPS_ON_LIGHT = ("#0265d5", "#d56423", "#047f59", "#a94980", "#735501", "#424852")
GROUPS_ON_DARK = ("#169ffe", "#df8d55", "#30d4a6", "#e0b7ee", "#e9c73c", "#a6acb5")


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of a chart: hex values, or the CSS variables of the page.

    Args:
        ink: Text and marks.
        muted: Labels of axes.
        grid: Grid lines.
        paper: What lies behind the chart.
        ramp: One colour per width, or per step, in rising order.
        groups: Colours of groups, used in turn.
        background: What is painted behind the chart, or None.
        states: Cells of the regret matrix: below the threshold, above it, undetermined.
        outcomes: Marks of what passes, fails, is undetermined.
        has_superscripts: Whether axes are labelled 2⁻⁵; fonts that draw PNG lack these digits.
    """

    ink: str
    muted: str
    grid: str
    paper: str
    ramp: tuple[str, ...]
    groups: tuple[str, ...]
    background: str | None
    states: tuple[str, str, str]
    outcomes: tuple[str, str, str]
    has_superscripts: bool

    def group_colours(self, num: int) -> list[str]:
        """Return one colour per group, repeating where there are more groups than colours."""
        return [self.groups[k % len(self.groups)] for k in range(num)]


def page_theme(num_colours: int = 0, ramp: Literal["width", "step"] = "width") -> Theme:
    """Return colours as CSS variables, which the page defines for light and dark."""
    return Theme(
        ink="var(--ink)",
        muted="var(--muted)",
        grid="var(--grid)",
        paper="var(--card)",
        ramp=tuple(f"var(--{ramp}-{k})" for k in range(num_colours)),
        groups=tuple(f"var(--group-{k})" for k in range(len(GROUPS_ON_LIGHT))),
        background=None,
        states=("var(--yes-soft)", "var(--no-soft)", "var(--open-soft)"),
        outcomes=("var(--yes)", "var(--no)", "var(--open)"),
        has_superscripts=True,
    )


def paper_theme(num_colours: int = 0) -> Theme:
    """Return the colours of a figure on white paper."""
    return Theme(
        ink="#1c2430",
        muted="#5b6573",
        grid="#e6e9ee",
        paper="#ffffff",
        ramp=ramp(num_colours, ON_LIGHT),
        groups=GROUPS_ON_LIGHT,
        background="#ffffff",
        states=("#e3f4e9", "#fdebe8", "#fbf1d9"),
        outcomes=("#11703c", "#b42318", "#7d5700"),
        has_superscripts=False,
    )


def css_variables(num_widths: int, num_steps: int = 0) -> str:
    """Return the style sheet that defines the colours of widths, steps and groups.

    Example:
        >>> print(css_variables(1).splitlines()[0])
        :root{--width-0:#440154;--group-0:#0265d5;--group-1:#d56423;--group-2:#047f59;...}
    """
    light = _declarations(num_widths, num_steps, ON_LIGHT, GROUPS_ON_LIGHT)
    dark = _declarations(num_widths, num_steps, ON_DARK, GROUPS_ON_DARK)
    query = "@media screen and (prefers-color-scheme:dark)"
    return f":root{{{light}}}\n{query}{{:root{{{dark}}}}}\n"


def _declarations(
    num_widths: int, num_steps: int, part: tuple[float, float], groups: Sequence[str]
) -> str:
    """Return the variables of one colour scheme."""
    rows = {"width": ramp(num_widths, part), "step": ramp(num_steps, part), "group": groups}
    return ";".join(
        f"--{name}-{k}:{colour}"
        for name, colours in rows.items()
        for k, colour in enumerate(colours)
    )


def ramp(num: int, part: tuple[float, float]) -> tuple[str, ...]:
    """Return evenly spaced colours of a part of viridis.

    Example:
        >>> ramp(2, (0.0, 1.0)), ramp(1, (0.0, 1.0))
        (('#440154', '#fde725'), ('#440154',))
    """
    low, high = part
    return tuple(_viridis(low + (high - low) * k / max(num - 1, 1)) for k in range(num))


def _viridis(position: float) -> str:
    """Interpolate between two steps of viridis."""
    scaled = position * (len(VIRIDIS) - 1)
    k = min(int(scaled), len(VIRIDIS) - 2)
    pair = [[int(VIRIDIS[k + j][c : c + 2], 16) for c in (1, 3, 5)] for j in (0, 1)]
    mixed = [round(a + (b - a) * (scaled - k)) for a, b in zip(*pair, strict=True)]
    return "#" + "".join(f"{channel:02x}" for channel in mixed)
