"""Sizes against width on the page and in a figure: every number, and the expected slope."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import vl_convert
from check_cases import failing
from report_cases import HOSTILE
from test_check_page import check_alone, specs_of
from test_page import Elements, expressions, words

from mutransfer.coordcheck.findings import Curve
from mutransfer.report import write_figures
from mutransfer.report.figures.export import figure_specs
from mutransfer.report.figures.numbers.sizes import size_domain, size_panels, size_rows

GROWING = Curve(
    "effect",
    "hidden",
    0.0,
    ((None, None, None), (0.5, 1.0, 2.0), (1.0, 1.0, 1.0)),
    (None, 1.0, 0.0),
)
FRESH = Curve(
    "gain", "output", -0.5, ((1.0, 2**-0.5, 0.5), (None,) * 3, (None,) * 3), (-0.5, None, None)
)
OUTPUT = Curve("output", "", None, ((1.0, 1.1, 1.2),) * 3, (0.1, 0.1, 0.1))
CHECK = replace(failing(), curves=(GROWING, FRESH, OUTPUT))


def test_every_size_is_drawn_as_it_was_measured() -> None:
    specs = specs_of(check_alone(CHECK))
    on_page = [spec["datasets"]["sizes"] for spec in specs if "sizes" in spec["datasets"]]
    assert [len(rows) for rows in on_page] == [9, 3, 6]  # output, gain, effect
    points = {(row["index"], row["log2_width"]): row["log2_size"] for row in on_page[2]}
    assert points[1, 5.0] == -1.0
    assert points[1, 7.0] == 1.0
    figure = figure_specs(check=CHECK)["coordinate-sizes"]
    in_figure = [
        row for name, rows in figure["datasets"].items() if "sizes" in name for row in rows
    ]
    assert len(in_figure) == 18


def test_steps_are_counted_from_0_as_in_the_data() -> None:
    """Step 0 is the untrained model for a gain, and the first update for an effect."""
    (gain,) = [panel for panel in size_panels(CHECK.to_json()) if panel.quantity == "gain"]
    assert {row["where"].partition(",")[0] for row in size_rows(gain)["sizes"]} == {"step 0"}
    assert "fresh model" not in words(check_alone(CHECK))


def test_the_dashed_line_has_the_expected_slope() -> None:
    panels = {panel.quantity: panel for panel in size_panels(CHECK.to_json())}
    for name, slope in (("gain", -0.5), ("effect", 0.0)):
        first, last = size_rows(panels[name])["expected"]
        rise = last["log2_size"] - first["log2_size"]
        assert rise / (last["log2_width"] - first["log2_width"]) == pytest.approx(slope)
    assert size_rows(panels["output"])["expected"] == []


def test_expected_and_fitted_exponents_stand_on_the_panels() -> None:
    text = words(check_alone(CHECK))
    assert "Expected 0, fitted 0.00 to +1.00." in text
    assert "Expected −0.5, fitted −0.50." in text
    assert (
        "The size of the layers' outputs; shown for orientation, never judged. Fitted +0.10."
        in text
    )
    titles = [
        part["title"]["subtitle"]
        for row in figure_specs(check=CHECK)["coordinate-sizes"]["vconcat"]
        for part in row["hconcat"]
        if "title" in part
    ]
    assert "expected 0, fitted 0.00 to +1.00" in titles


def test_level_lines_look_level() -> None:
    """A panel shows four octaves or more, and everything that it has."""
    for panel in size_panels(CHECK.to_json()):
        low, high = size_domain(panel)
        assert high - low >= 4
        sizes = [size for sizes in panel.sizes for size in sizes if size]
        assert low < math.log2(min(sizes)) < math.log2(max(sizes)) < high


def test_steps_have_colours_of_their_own_in_light_and_dark() -> None:
    text = check_alone(CHECK)
    assert text.count("--step-2:") == 2
    assert "--step-3:" not in text


def test_a_hostile_role_is_only_data(tmp_path: Path) -> None:
    hostile = replace(CHECK, curves=(replace(GROWING, role=HOSTILE),))
    text = check_alone(hostile)
    assert "<script>alert(1)" not in text
    for attributes, script in Elements(text).scripts:
        if attributes.get("type") == "application/json":
            assert not [e for e in expressions(json.loads(script)) if "alert(1)" in e]
    for spec in specs_of(text):
        assert vl_convert.vegalite_to_svg({**spec, "width": 300}).startswith("<svg")


def test_both_figures_of_a_check_are_written(tmp_path: Path) -> None:
    names = {path.stem for path in write_figures(tmp_path, check=CHECK)}
    assert names == {"coordinate-check", "coordinate-sizes"}
    assert {p.stem for p in write_figures(tmp_path / "none", check=replace(CHECK, curves=()))} == {
        "coordinate-check"
    }
