"""This file is the colours: of the page in light and dark, and of figures on white paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# Eleven even steps of viridis: perceptually uniform, and read alike by colour-blind eyes.
# [source: matplotlib's viridis, CC0]
VIRIDIS = (
    "#440154",
    "#482475",
    "#414487",
    "#355f8d",
    "#2a788e",
    "#21918c",
    "#22a884",
    "#44bf70",
    "#7ad151",
    "#bddf26",
    "#fde725",
)
# The part of viridis that stands out by 3:1 on white, and on a dark page.
ON_LIGHT = (0.0, 0.58)
ON_DARK = (0.4, 0.9)
# The hues of Okabe and Ito; lightness moved until colour-blind eyes tell any two apart.
GROUPS_ON_LIGHT = ("#0265d5", "#d56423", "#047f59", "#a94980", "#735501", "#424852")
GROUPS_ON_DARK = ("#169ffe", "#df8d55", "#30d4a6", "#e0b7ee", "#e9c73c", "#a6acb5")


@dataclass(frozen=True, slots=True)
class Theme:
    """What a drawing is coloured with: hex colours, or the page's CSS variables.

    Args:
        ink: Text and marks.
        muted: Labels of axes.
        grid: Grid lines.
        paper: What lies behind the drawing.
        widths: One colour per width, or per step, rising.
        groups: Colours of groups, used in turn.
        background: What is painted behind the drawing, or None.
        states: What lies behind a cell of the regret matrix: below, above, not decided.
        tones: Marks of what is right, wrong, not decided.
        raised: Whether rates are labelled 2⁻⁵; fonts that draw PNG files lack these digits.
    """

    ink: str
    muted: str
    grid: str
    paper: str
    widths: tuple[str, ...]
    groups: tuple[str, ...]
    background: str | None
    states: tuple[str, str, str]
    tones: tuple[str, str, str]
    raised: bool


def page_theme(num_widths: int, what: Literal["width", "step"] = "width") -> Theme:
    """Give colours by name: the page's style sheet says what they are in light and dark."""
    return Theme(
        ink="var(--ink)",
        muted="var(--muted)",
        grid="var(--grid)",
        paper="var(--card)",
        widths=tuple(f"var(--{what}-{k})" for k in range(num_widths)),
        groups=tuple(f"var(--group-{k})" for k in range(len(GROUPS_ON_LIGHT))),
        background=None,
        states=("var(--yes-soft)", "var(--no-soft)", "var(--open-soft)"),
        tones=("var(--yes)", "var(--no)", "var(--open)"),
        raised=True,
    )


def paper_theme(num_widths: int) -> Theme:
    """Give the colours of a figure that stands alone, on white."""
    return Theme(
        ink="#1c2430",
        muted="#5b6573",
        grid="#e6e9ee",
        paper="#ffffff",
        widths=ramp(num_widths, ON_LIGHT),
        groups=GROUPS_ON_LIGHT,
        background="#ffffff",
        states=("#e3f4e9", "#fdebe8", "#fbf1d9"),
        tones=("#11703c", "#b42318", "#7d5700"),
        raised=False,
    )


def variables(num_widths: int, num_steps: int = 0) -> str:
    """Write the style sheet that names the colours of widths, steps and groups.

    Example:
        >>> print(variables(1).splitlines()[0])
        :root{--width-0:#440154;--group-0:#0265d5;--group-1:#d56423;--group-2:#047f59;...}
    """
    light = _declarations(num_widths, num_steps, ON_LIGHT, GROUPS_ON_LIGHT)
    dark = _declarations(num_widths, num_steps, ON_DARK, GROUPS_ON_DARK)
    query = "@media screen and (prefers-color-scheme:dark)"
    return f":root{{{light}}}\n{query}{{:root{{{dark}}}}}\n"


def _declarations(
    num_widths: int, num_steps: int, part: tuple[float, float], groups: Sequence[str]
) -> str:
    """Write one set of variables."""
    rows = {"width": ramp(num_widths, part), "step": ramp(num_steps, part), "group": groups}
    return ";".join(
        f"--{name}-{k}:{colour}"
        for name, colours in rows.items()
        for k, colour in enumerate(colours)
    )


def ramp(num: int, part: tuple[float, float]) -> tuple[str, ...]:
    """Take evenly spaced colours of a part of viridis.

    Example:
        >>> ramp(2, (0.0, 1.0))
        ('#440154', '#fde725')
        >>> ramp(1, (0.0, 1.0))
        ('#440154',)
    """
    low, high = part
    return tuple(_viridis(low + (high - low) * k / max(num - 1, 1)) for k in range(num))


def _viridis(place: float) -> str:
    """Interpolate between two steps."""
    at = place * (len(VIRIDIS) - 1)
    k = min(int(at), len(VIRIDIS) - 2)
    pair = [[int(VIRIDIS[k + j][c : c + 2], 16) for c in (1, 3, 5)] for j in (0, 1)]
    mixed = [round(a + (b - a) * (at - k)) for a, b in zip(*pair, strict=True)]
    return "#" + "".join(f"{channel:02x}" for channel in mixed)
