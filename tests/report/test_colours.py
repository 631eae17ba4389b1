"""Colours stay apart for colour-blind eyes, and stand out from what they are drawn on."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import combinations, pairwise

import numpy as np
import pytest

from mutransfer.report.figures.drawing.charts import group_shapes
from mutransfer.report.figures.panels import MOST_PANELS
from mutransfer.report.page.charts import TOGETHER, legend
from mutransfer.report.theme import GROUPS_ON_DARK, GROUPS_ON_LIGHT, ON_DARK, ON_LIGHT, ramp

# Dichromacy at severity 1.0, on linear RGB.
# [source: Machado, Oliveira & Fernandes 2009, A Physiologically-based Model for Simulation of
# Color Vision Deficiency, IEEE TVCG 15(6), supplementary table]
EYES = {
    "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
# [source: IEC 61966-2-1: linear sRGB to CIE XYZ under D65]
TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750),
          (0.0193339, 0.1191920, 0.9503041))  # fmt: skip
WHITE = (0.95047, 1.0, 1.08883)
GROUPS_APART = 10.0  # CIEDE2000; about 1 can just be seen side by side [assumed: ten times that]
WIDTHS_APART = 7.0  # neighbours on a ramp: their order helps [assumed]
MOST_WIDTHS = 5  # that a ramp keeps so far apart; of more, the legend singles one out
LEAST_CONTRAST = 3.0  # [source: WCAG 2.2, 1.4.11 Non-text Contrast]
CARDS = re.findall(r"--card: (#\w+)", (files("mutransfer.report.page") / "page.css").read_text())
GROUNDS = {"light": CARDS[0], "dark": CARDS[1]}
GROUPS = {"light": GROUPS_ON_LIGHT, "dark": GROUPS_ON_DARK}
RAMPS = {"light": ON_LIGHT, "dark": ON_DARK}

# Green and red of the usual palette of ten.
UNFIT = ("#2ca02c", "#d62728")


def linear_rgb(colour: str) -> np.ndarray:
    """Undo sRGB's gamma."""
    values = np.array([int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def perceived(colour: str, eyes: str) -> tuple[float, float, float]:
    """Return CIE L*a*b* of a colour as these eyes perceive it."""
    xyz = np.array(TO_XYZ) @ np.clip(np.array(EYES[eyes]) @ linear_rgb(colour), 0, 1) / WHITE
    x, y, z = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def distance(lab: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    """Return CIEDE2000 [source: Sharma, Wu & Dalal 2005, Color Res. Appl. 30(1)]."""
    (l1, a1, b1), (l2, a2, b2) = lab, other
    mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * np.sqrt(mean**7 / (mean**7 + 25**7))
    c1, c2 = np.hypot(a1 * stretch, b1), np.hypot(a2 * stretch, b2)
    h1 = np.degrees(np.arctan2(b1, a1 * stretch)) % 360
    h2 = np.degrees(np.arctan2(b2, a2 * stretch)) % 360
    turn = (h2 - h1 + 180) % 360 - 180
    hue = (h1 + turn / 2) % 360
    dl, dc = l2 - l1, c2 - c1
    dh = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn) / 2)
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    t = 1 + sum(
        weight * np.cos(np.radians(times * hue + shift))
        for weight, times, shift in ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.2, 4, -63))
    )
    sl = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    sc, sh = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    bend = 60 * np.exp(-(((hue - 275) / 25) ** 2))
    twist = -2 * np.sqrt(chroma**7 / (chroma**7 + 25**7)) * np.sin(np.radians(bend))
    parts = (dl / sl) ** 2 + (dc / sc) ** 2 + (dh / sh) ** 2 + twist * (dc / sc) * (dh / sh)
    return float(np.sqrt(parts))


def contrast(colour: str, other: str) -> float:
    """Return the contrast ratio of WCAG."""
    low, high = sorted(float(np.array(TO_XYZ[1]) @ linear_rgb(shade)) for shade in (colour, other))
    return (high + 0.05) / (low + 0.05)


def test_the_measures_are_the_published_ones() -> None:
    """Pairs 1, 7 and 25 of Sharma et al.'s table; black on white is 21:1 by WCAG."""
    assert distance((50, 2.6772, -79.7751), (50, 0, -82.7485)) == pytest.approx(2.0425, abs=5e-5)
    assert distance((50, 0, 0), (50, -1, 2)) == pytest.approx(2.3669, abs=5e-5)
    assert distance(
        (60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387)
    ) == pytest.approx(1.2644, abs=5e-5)  # fmt: skip
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def test_the_control_finds_similar_colours() -> None:
    """Negative control: a usual green and red are far apart only for usual eyes."""
    apart = {eyes: distance(*(perceived(colour, eyes) for colour in UNFIT)) for eyes in EYES}
    assert apart["usual"] > 5 * GROUPS_APART
    assert apart["deuteranopia"] < WIDTHS_APART


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("scheme", GROUNDS)
def test_groups_stay_apart(scheme: str, eyes: str) -> None:
    for pair in combinations(GROUPS[scheme], 2):
        assert distance(*(perceived(colour, eyes) for colour in pair)) > GROUPS_APART, pair


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("scheme", GROUNDS)
def test_widths_stay_apart_and_rise_in_lightness(scheme: str, eyes: str) -> None:
    for num in range(2, MOST_WIDTHS + 1):
        shades = [perceived(colour, eyes) for colour in ramp(num, RAMPS[scheme])]
        assert min(distance(*pair) for pair in combinations(shades, 2)) > WIDTHS_APART
        assert all(darker[0] < lighter[0] for darker, lighter in pairwise(shades))


@pytest.mark.parametrize("scheme", GROUNDS)
def test_every_colour_stands_out_from_the_card(scheme: str) -> None:
    for colour in (*GROUPS[scheme], *ramp(MOST_WIDTHS, RAMPS[scheme])):
        assert contrast(colour, GROUNDS[scheme]) >= LEAST_CONTRAST, colour


def test_no_two_groups_share_colour_and_shape() -> None:
    assert len(set(group_shapes(TOGETHER))) == TOGETHER
    colours = [k % len(GROUPS_ON_LIGHT) for k in range(MOST_PANELS)]
    assert len(set(zip(colours, group_shapes(MOST_PANELS), strict=True))) == MOST_PANELS


def test_a_legend_shows_the_shapes_of_its_groups() -> None:
    style = (files("mutransfer.report.page") / "page.css").read_text()
    shapes = group_shapes(TOGETHER)
    buttons = legend(shapes, GROUPS_ON_LIGHT, shapes)
    for shape in shapes:
        assert f".legend .{shape} {{" in style
        assert f'<i class="{shape}" ' in buttons
