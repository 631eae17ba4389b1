"""A coordinate check on the page and in a figure: its numbers, its names, alone or not."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import vl_convert
from check_cases import check, failing, finding
from report_cases import HOSTILE, judged, planted
from test_page import Elements, expressions, shown

from mutransfer.coordcheck import CoordCheck, Diagnosis
from mutransfer.errors import ResultsError
from mutransfer.report import write_figures, write_report
from mutransfer.report.figures.export import figure_specs
from mutransfer.report.figures.numbers.check import domain, exponent_text, frame_of_check, panels_of
from mutransfer.report.page.page import page

SECTIONS = re.compile(r"<section>.*?</section>", re.DOTALL)
ROW = re.compile(r"<tr>(<td>.*?)</tr>", re.DOTALL)


def alone(given: CoordCheck) -> str:
    return page(None, None, check=given)


def drawings(text: str) -> list[Any]:
    return [json.loads(script) for attributes, script in Elements(text).scripts if attributes]


def points(drawing: Any) -> list[Any]:
    """Give the points of a drawing of one panel, or of many."""
    return [
        row
        for name, rows in drawing["datasets"].items()
        if name.startswith("points")
        for row in rows
    ]


def expected_points(given: CoordCheck) -> set[tuple[str, float, float]]:
    """Give every exponent of every step, with its layer."""
    return {
        (one.name, step, value)
        for one in given.findings
        for step, value in enumerate(one.by_step)
        if value is not None
    }


def test_every_exponent_is_drawn_as_it_was_measured() -> None:
    given = failing()
    page_has = [row for drawing in drawings(alone(given)) for row in points(drawing)]
    figure_has = points(figure_specs(check=given)["coordinate-check"])
    for rows in (page_has, figure_has):
        assert {(row["name"], row["x"], row["exponent"]) for row in rows} == expected_points(given)
        assert len(rows) == len(expected_points(given))  # early and late are one line


def test_the_table_has_every_finding_the_worst_first() -> None:
    given = failing()
    rows = [Elements(row).text for row in ROW.findall(alone(given))]
    assert len(rows) == len(given.findings)
    for row, one in zip(
        rows, sorted(given.findings, key=lambda f: f.outcome != "fail"), strict=True
    ):
        if one.outcome == "undetermined":
            assert row[-1] == "? undetermined"
        told = [exponent_text(x) for x in (one.slope, one.low, one.high)]
        assert f"{told[0]} [{told[1]}, {told[2]}]" in "".join(row)
        assert one.name in row
    assert rows[0][-3:] == ["+0.97 ", "[+0.93, +1.01]", "✗ fail"]


def test_a_layer_is_as_bad_as_its_worst_finding() -> None:
    """What fails late only must not be drawn as passing."""
    early = finding(slope=0.01)
    late = finding(slope=0.8, steps=(2, 4), outcome="fail")
    (panel,) = panels_of(check(early, late, outcome="fail").to_json()["findings"])
    assert [(line.outcome, line.slope) for line in panel.lines] == [("fail", 0.8)]


def test_the_band_is_the_tolerance_of_the_check() -> None:
    found = {d["datasets"]["aim"][0]["exponent"]: d["datasets"]["band"][0]
             for d in drawings(alone(failing()))}  # fmt: skip
    assert found[-0.5] == {"low": -0.75, "high": -0.25}
    assert found[0.0]["high"] == 0.35  # the last panel: the output's change
    assert -0.6 < found[0.0]["low"] < -0.35  # 0.6 too small is fine, and beyond the frame
    assert "change, other modules" in (text := shown(alone(failing())))
    assert "expected −0.5 ± 0.25" in text.replace("\xa0", " ").replace("Expected", "expected")


def test_sp_is_drawn_beside_where_it_was_run() -> None:
    """The mean over layers at every step."""
    steps = (None, 1.0, 0.9, 0.8, 0.7)
    beside = (
        replace(finding(), under_sp=steps),
        replace(finding(name="4.weight"), under_sp=(None, 0.8, None, 0.4, 0.7)),
    )
    given = check(*beside)
    (drawing,) = drawings(alone(given))
    assert drawing["datasets"]["beside"] == [
        {"x": 1, "exponent": 0.9},
        {"x": 2, "exponent": 0.9},
        {"x": 3, "exponent": pytest.approx(0.6)},
        {"x": 4, "exponent": 0.7},
    ]
    assert "Dotted: SP." in shown(alone(given))
    assert "Dotted" not in shown(alone(check(finding())))


def test_a_note_is_told_and_changes_no_verdict() -> None:
    given = replace(
        check(finding()),
        notes=(Diagnosis("decay", "hidden", ("2.weight",), -1.0, 0, "weight decay fades"),),
    )
    text = shown(alone(given))
    assert "decay, hidden" in text
    assert "Weight decay fades." in text
    assert "The coordinate check passes" in text


def test_all_bands_are_equally_high_and_nothing_is_outside_the_frame() -> None:
    panels = panels_of(failing().to_json()["findings"])
    frame = frame_of_check(panels)
    spans = [domain(panel, frame, 220) for panel in panels]
    assert len({round(high - low, 9) for low, high in spans}) == 1
    for panel, (low, high) in zip(panels, spans, strict=True):
        for line in panel.lines:
            assert all(low < x < high for x in line.by_step if x is not None)


def test_what_fails_is_named_on_the_panel_and_the_rest_is_counted() -> None:
    many = [finding(name=f"{k}.weight", slope=k / 2, outcome="fail") for k in range(1, 6)]
    (drawing,) = drawings(alone(check(*many, outcome="fail")))
    labels = drawing["datasets"]["labels"]
    assert [row["label"] for row in labels] == ["5.weight", "4.weight", "and 3 more"]
    assert sorted((row["at"] for row in labels), reverse=True) == [row["at"] for row in labels]
    (drawing,) = drawings(alone(check(finding())))
    assert drawing["datasets"]["labels"] == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (check(finding(), finding(name="b")), ["The coordinate check passes.", "✓ pass",
                            "µP, adamw", "2 exponents: all pass.", "hidden, output"]),
        (failing(), ["The coordinate check fails: rate of hidden.", "✗ fail", "rate, hidden",
                     "Look at lr_factor.", "2.weight, 4.weight", "Too noisy: add seeds.",
                     "6 exponents: 2 fail, 1 undetermined, 3 pass."]),
        (check(finding(), outcome="undetermined", reasons=("no power",), parametrization=None),
         ["The coordinate check is undetermined.", "? undetermined", "your own implementation",
          "No power.", "It is not seen in output"]),
        (check(), ["Nothing could be measured."]),
    ],
    ids=["pass", "fail", "undetermined", "nothing measured"],
)  # fmt: skip
def test_a_check_alone_says_its_verdict(given: CoordCheck, told: list[str]) -> None:
    text = shown(alone(given))
    assert "Do outputs and updates keep their size as width grows?" in text
    assert [words for words in told if words not in text] == []
    assert "Where these numbers are from" not in text
    assert "nan" not in text.lower().split()


def test_a_hostile_name_is_only_ever_text_or_data() -> None:
    given = failing(name=HOSTILE, text=HOSTILE)
    hostile = check(
        *given.findings, finding(HOSTILE, HOSTILE, HOSTILE), outcome="fail", optimizer=HOSTILE,
        diagnoses=given.diagnoses, reasons=(HOSTILE,), parametrization=HOSTILE, dtype=HOSTILE,
    )  # fmt: skip
    text = alone(hostile)
    assert "<script>alert(1)" not in text
    assert len([tag for tag, _ in Elements(text).found if tag == "script"]) == 6  # four panels
    for attributes, script in Elements(text).scripts:
        if attributes.get("type") == "application/json":
            assert "<" not in script
            assert not [e for e in expressions(json.loads(script)) if "alert(1)" in e]
    figure = figure_specs(check=hostile)["coordinate-check"]
    assert not [e for e in expressions(figure) if "alert(1)" in e]


def test_every_panel_compiles_and_has_a_still_picture() -> None:
    text = alone(failing())
    stills = len(re.findall('<div class="chart"[^>]*><svg ', text))
    assert len(drawings(text)) == text.count('<div class="chart"') == stills == 3
    for drawing in drawings(text):
        assert vl_convert.vegalite_to_svg({**drawing, "width": 300}).startswith("<svg")


def test_without_a_check_the_page_is_as_it_was() -> None:
    """A check adds its sections, and touches nothing else of the page."""
    results = planted()
    report = judged(results)
    without, beside = (page(results, report, check=given) for given in (None, failing()))
    assert without == page(results, report)
    assert "oordinate check" not in shown(without)
    old, new = SECTIONS.findall(without), SECTIONS.findall(beside)
    assert [section for section in new if section in old] == old
    assert len(new) == len(old) + 3
    assert "SP does not transfer. The coordinate check fails: rate of hidden." in shown(beside)


def test_a_page_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError) as caught:
        write_report(tmp_path / "p.html")
    assert str(caught.value) == (
        "there is nothing to show\n"
        "  why: a page says where its numbers are from\n"
        "  fix: results=load_results('losses.csv'), or check= alone for a coordinate check"
    )
    with pytest.raises(ResultsError, match="there are no results"):
        write_report(tmp_path / "p.html", report=judged(planted(("mup",))), check=failing())
    assert list(tmp_path.iterdir()) == []


def test_figures_of_a_check_are_written_with_the_page(tmp_path: Path) -> None:
    place = write_report(tmp_path / "p.html", check=failing(), figures=tmp_path / "figures")
    assert place.read_text().startswith("<!DOCTYPE html>")
    names = [f"coordinate-check.{suffix}" for suffix in ("pdf", "png", "svg")]
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == names
    assert write_figures(tmp_path / "none", check=check()) == []
