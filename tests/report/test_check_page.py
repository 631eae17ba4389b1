"""A coordinate check on the page and in a figure: its numbers and names, alone or with results."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import vl_convert
from check_cases import check, failing, finding
from report_cases import HOSTILE, planted_results, report_of
from test_page import Elements, expressions, words

from mutransfer.coordcheck import CoordCheck, Diagnosis
from mutransfer.errors import ResultsError
from mutransfer.report import write_figures, write_report
from mutransfer.report.figures.export import figure_specs
from mutransfer.report.figures.numbers.exponents import check_domain, check_frame, check_panels
from mutransfer.report.format import format_exponent
from mutransfer.report.page.page import page

SECTIONS = re.compile(r"<section>.*?</section>", re.DOTALL)
ROW = re.compile(r"<tr>(<td>.*?)</tr>", re.DOTALL)


def check_alone(coord_check: CoordCheck) -> str:
    """Return the page of a check without results."""
    return page(None, None, check=coord_check)


def specs_of(text: str) -> list[Any]:
    """Return the specifications of a page's charts."""
    return [json.loads(script) for attributes, script in Elements(text).scripts if attributes]


def points_of(spec: Any) -> list[Any]:
    """Return the points of a specification of one panel, or of many."""
    return [
        row for name, rows in spec["datasets"].items() if name.startswith("points") for row in rows
    ]


def expected_points(coord_check: CoordCheck) -> set[tuple[str, float, float]]:
    """Return every exponent of every step, with its layer."""
    return {
        (finding.name, step, value)
        for finding in coord_check.findings
        for step, value in enumerate(finding.by_step)
        if value is not None
    }


def test_every_exponent_is_drawn_as_it_was_measured() -> None:
    expected = expected_points(failing())
    on_page = [row for spec in specs_of(check_alone(failing())) for row in points_of(spec)]
    in_figure = points_of(figure_specs(check=failing())["coordinate-check"])
    for rows in (on_page, in_figure):
        assert {(row["name"], row["x"], row["exponent"]) for row in rows} == expected
        assert len(rows) == len(expected)  # early and late are one line


def test_the_table_has_every_finding_the_worst_first() -> None:
    findings = sorted(failing().findings, key=lambda f: f.outcome != "fail")
    rows = [Elements(row).text for row in ROW.findall(check_alone(failing()))]
    assert len(rows) == len(findings)
    for row, expected in zip(rows, findings, strict=True):
        if expected.outcome == "undetermined":
            assert row[-1] == "? undetermined"
        slope, low, high = map(format_exponent, (expected.slope, expected.low, expected.high))
        assert f"{slope} [{low}, {high}]" in "".join(row)
        assert expected.name in row
    assert rows[0][-3:] == ["+0.97 ", "[+0.93, +1.01]", "✗ fail"]


def test_a_layer_is_as_bad_as_its_worst_finding() -> None:
    """A layer that fails late only must not be drawn as passing."""
    early = finding(slope=0.01)
    late = finding(slope=0.8, steps=(2, 4), outcome="fail")
    (panel,) = check_panels(check(early, late, outcome="fail").to_json()["findings"])
    assert [(line.outcome, line.slope) for line in panel.lines] == [("fail", 0.8)]


def test_the_band_is_the_tolerance_of_the_check() -> None:
    data = [spec["datasets"] for spec in specs_of(check_alone(failing()))]
    bands = {rows["expected"][0]["exponent"]: rows["band"][0] for rows in data}
    assert bands[-0.5] == {"low": -0.75, "high": -0.25}
    assert bands[0.0]["high"] == 0.35  # the last panel: the output's change
    assert -0.6 < bands[0.0]["low"] < -0.35  # 0.6 too small is tolerated, and beyond the frame
    assert "change, other modules" in (text := words(check_alone(failing())))
    assert "expected −0.5 ± 0.25" in text.replace("\xa0", " ").replace("Expected", "expected")


def test_sp_is_drawn_for_comparison_where_it_was_run() -> None:
    """The mean over layers at every step."""
    steps = (None, 1.0, 0.9, 0.8, 0.7)
    findings = (
        replace(finding(), under_sp=steps),
        replace(finding(name="4.weight"), under_sp=(None, 0.8, None, 0.4, 0.7)),
    )
    text = check_alone(check(*findings))
    (spec,) = specs_of(text)
    assert spec["datasets"]["sp"] == [
        {"x": 1, "exponent": 0.9},
        {"x": 2, "exponent": 0.9},
        {"x": 3, "exponent": pytest.approx(0.6)},
        {"x": 4, "exponent": 0.7},
    ]
    assert "Dotted: SP." in words(text)
    assert "Dotted" not in words(check_alone(check(finding())))


def test_a_note_is_shown_and_changes_no_verdict() -> None:
    with_note = replace(
        check(finding()),
        notes=(Diagnosis("decay", "hidden", ("2.weight",), -1.0, 0, "weight decay fades"),),
    )
    text = words(check_alone(with_note))
    assert "decay, hidden" in text
    assert "Weight decay fades." in text
    assert "The coordinate check passes" in text


def test_all_bands_are_equally_high_and_nothing_is_outside_the_frame() -> None:
    panels = check_panels(failing().to_json()["findings"])
    frame = check_frame(panels)
    spans = [check_domain(panel, frame, 220) for panel in panels]
    assert len({round(high - low, 9) for low, high in spans}) == 1
    for panel, (low, high) in zip(panels, spans, strict=True):
        for line in panel.lines:
            assert all(low < x < high for x in line.by_step if x is not None)


def test_the_worst_failures_are_named_on_the_panel_and_the_rest_is_counted() -> None:
    many = [finding(name=f"{k}.weight", slope=k / 2, outcome="fail") for k in range(1, 6)]
    (spec,) = specs_of(check_alone(check(*many, outcome="fail")))
    labels = spec["datasets"]["labels"]
    assert [row["label"] for row in labels] == ["5.weight", "4.weight", "and 3 more"]
    assert sorted((row["at"] for row in labels), reverse=True) == [row["at"] for row in labels]
    (spec,) = specs_of(check_alone(check(finding())))
    assert spec["datasets"]["labels"] == []


@pytest.mark.parametrize(
    ("coord_check", "expected"),
    [
        (check(finding(), finding(name="b")), ["The coordinate check passes.", "✓ pass",
                            "µP, adamw", "2 exponents: all pass.", "hidden, output"]),
        (failing(), ["The coordinate check fails: rate of hidden.", "✗ fail", "rate, hidden",
                     "Look at lr_factor.", "2.weight, 4.weight", "Too noisy: add seeds.",
                     "6 exponents: 2 fail, 1 undetermined, 3 pass."]),
        (check(finding(), outcome="undetermined", reasons=("no power",), parametrization=None),
         ["The coordinate check is undetermined.", "? undetermined", "your own implementation",
          "No power.", "It is not caught in output"]),
        (check(), ["Nothing could be measured."]),
    ],
    ids=["pass", "fail", "undetermined", "nothing measured"],
)  # fmt: skip
def test_the_page_of_a_check_alone_has_its_verdict(
    coord_check: CoordCheck, expected: list[str]
) -> None:
    text = words(check_alone(coord_check))
    assert "Do outputs and updates keep their size as width grows?" in text
    assert [part for part in expected if part not in text] == []
    assert "Where these numbers are from" not in text
    assert "nan" not in text.lower().split()


def test_a_failure_does_not_claim_that_nothing_transfers() -> None:
    note = "A failed check need not mean that nothing transfers"
    assert note in words(check_alone(failing()))
    assert "arXiv:2610.01172" in words(check_alone(failing()))
    assert note not in words(check_alone(check(finding())))


def test_a_hostile_name_is_only_ever_text_or_data() -> None:
    base = failing(name=HOSTILE, text=HOSTILE)
    hostile = check(
        *base.findings, finding(HOSTILE, HOSTILE, HOSTILE), outcome="fail", optimizer=HOSTILE,
        diagnoses=base.diagnoses, reasons=(HOSTILE,), parametrization=HOSTILE, dtype=HOSTILE,
    )  # fmt: skip
    text = check_alone(hostile)
    assert "<script>alert(1)" not in text
    assert len([tag for tag, _ in Elements(text).elements if tag == "script"]) == 6  # four panels
    for attributes, script in Elements(text).scripts:
        if attributes.get("type") == "application/json":
            assert "<" not in script
            assert not [e for e in expressions(json.loads(script)) if "alert(1)" in e]
    figure = figure_specs(check=hostile)["coordinate-check"]
    assert not [e for e in expressions(figure) if "alert(1)" in e]


def test_every_panel_compiles_and_has_a_still_picture() -> None:
    text = check_alone(failing())
    stills = len(re.findall('<div class="chart"[^>]*><svg ', text))
    assert len(specs_of(text)) == text.count('<div class="chart"') == stills == 3
    for spec in specs_of(text):
        assert vl_convert.vegalite_to_svg({**spec, "width": 300}).startswith("<svg")


def test_a_check_changes_no_other_section_of_the_page() -> None:
    """A check only adds its own sections."""
    results = planted_results()
    report = report_of(results)
    without = page(results, report, check=None)
    with_check = page(results, report, check=failing())
    assert without == page(results, report)
    assert "oordinate check" not in words(without)
    old, new = SECTIONS.findall(without), SECTIONS.findall(with_check)
    assert [section for section in new if section in old] == old
    assert len(new) == len(old) + 3
    assert "SP does not transfer. The coordinate check fails: rate of hidden." in words(with_check)


def test_a_page_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError) as caught:
        write_report(tmp_path / "p.html")
    assert str(caught.value) == (
        "there is nothing to show\n"
        "  why: a page names the source of its numbers\n"
        "  fix: results=load_results('losses.csv'), or check= alone for a coordinate check"
    )
    with pytest.raises(ResultsError, match="there are no results"):
        write_report(
            tmp_path / "p.html", report=report_of(planted_results(("mup",))), check=failing()
        )
    assert list(tmp_path.iterdir()) == []


def test_figures_of_a_check_are_written_with_the_page(tmp_path: Path) -> None:
    place = write_report(tmp_path / "p.html", check=failing(), figures=tmp_path / "figures")
    assert place.read_text().startswith("<!DOCTYPE html>")
    names = [f"coordinate-check.{suffix}" for suffix in ("pdf", "png", "svg")]
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == names
    assert write_figures(tmp_path / "none", check=check()) == []
