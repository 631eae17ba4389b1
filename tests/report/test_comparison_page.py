"""The page of a comparison with a paper: complete, grouped, and safe with hostile names."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest
import vl_convert
from comparison_cases import comparison, four_studies, paper, reports_of, row
from report_cases import HOSTILE
from test_page import Elements, expressions, words

from mutransfer.errors import ResultsError
from mutransfer.report import write_comparison
from mutransfer.report.page.studies import comparison_page
from mutransfer.report.text.studies import format_comparison


@pytest.fixture(scope="module")
def text() -> str:
    data = four_studies()
    return comparison_page(data, reports_of(data))


def test_the_page_is_grouped_by_agreement_and_gives_both_criteria(text: str) -> None:
    shown = words(text)
    order = [
        "1 agrees with the paper; 1 disagrees (1 by criterion); 1 is undetermined",
        "four times apart, is the same at every width", "costs at most 1 % of the loss",
        "Agrees with the paper: 1 study", "gains", "does not transfer", "2.04 % (0.051 nats)",
        "3.1 % [2.8 %, 3.4 %]", "Disagrees with the paper: 1 study", "lion", "By criterion: the",
        "Undetermined at this scale: 1 study", "flat", "at least 0.4 %",
        "Not reported by the paper: 1 study", "new", "Marked in Table 1.", "Regret", "Drift",
        "Loss against learning rate", "Where these numbers are from", "these trials: 120",
    ]  # fmt: skip
    positions, start = [], 0
    for title in order:
        assert title in shown[start:], title
        start += shown[start:].index(title)
        positions.append(start)
    assert positions == sorted(positions)
    assert "0.0120 [0.0100, 0.0140]" in shown
    assert "1.25 × its parameters" in shown
    assert "paper: slightly better" in shown


def test_every_chart_compiles_and_every_study_has_its_curves(text: str) -> None:
    specs = [json.loads(script) for attributes, script in Elements(text).scripts if attributes]
    assert len(specs) == 2 + 4
    for spec in specs:
        assert vl_convert.vegalite_to_svg({**spec, "width": 300}).startswith("<svg")
    assert [len(spec["datasets"].get("marks", ())) for spec in specs[:2]] == [6, 5]
    for spec in specs[:2]:
        drawn = vl_convert.vegalite_to_svg({**spec, "width": 300})
        coloured = re.findall(
            r'<path[^>]*translate[^>]*(?:fill|stroke)="var\(--(?:ink|no|yes|open)\)"', drawn
        )
        assert len(coloured) == len(spec["datasets"]["marks"])


def test_the_policy_runs_the_pages_scripts_only(text: str) -> None:
    executed = [script for attributes, script in Elements(text).scripts if "type" not in attributes]
    hashes = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in executed
    ]
    assert f"script-src 'sha256-{hashes[0]}' 'sha256-{hashes[1]}'; style-src" in text
    assert "default-src 'none'" in text


def test_a_hostile_name_is_only_ever_text_or_data() -> None:
    published = paper("transfers", share=0.0, certainty=HOSTILE, title=HOSTILE)
    data = comparison(
        row(HOSTILE, "agrees", "transfers", published, why=HOSTILE),
        paper=HOSTILE,
        source=HOSTILE,
        left_out=[{"folder": HOSTILE, "reason": HOSTILE, "command": HOSTILE}],
        provenance={"studies": {"a": {"machine": HOSTILE, "commits": [HOSTILE]}}},
    )
    page = comparison_page(data, reports_of(data))
    elements = Elements(page)
    assert len([tag for tag, _ in elements.elements if tag == "script"]) == 3 + 2
    assert "<script>alert(1)" not in page
    for attributes, script in elements.scripts:
        if attributes.get("type") == "application/json":
            assert "<" not in script
            assert not [e for e in expressions(json.loads(script)) if "alert(1)" in e]
    for _, attributes in elements.elements:
        assert not [name for name in attributes if name.startswith("on")]


def test_legends_and_lines_agree_where_studies_have_other_widths(text: str) -> None:
    """The index of a line is that of its button, also where a study lacks a width."""
    specs = [json.loads(script) for attributes, script in Elements(text).scripts if attributes]
    indices = {point["index"] for point in specs[2]["datasets"]["points"]}
    buttons = [a["data-index"] for tag, a in Elements(text).elements if "data-index" in a]
    assert indices == set(map(int, buttons)) == {0, 1, 2}


def test_what_was_left_out_is_named_with_its_command(tmp_path: Path) -> None:
    entry = {"folder": "lion", "reason": "7 of 30 trials have no result", "command": "run lion"}
    data = {**four_studies(), "left_out": [entry]}
    file = write_comparison(tmp_path / "new" / "page.html", data, {})
    assert "lion 7 of 30 trials have no result. run lion" in words(file.read_text())
    assert "\n  lion: 7 of 30 trials have no result\n  next: run lion" in format_comparison(data)


def test_limits_of_the_papers_cells_and_studies_not_run_are_named() -> None:
    published = paper("transfers", share=0.0, cautions=["it is on the edge", HOSTILE])
    data = comparison(row("sp", "agrees", "transfers", published), not_run=["tied", HOSTILE])
    page = comparison_page(data, reports_of(data))
    assert "it is on the edge; " in words(page)
    assert "Not run yet tied, " in words(page)
    assert "<script>alert(1)" not in page


def test_a_figure_refers_to_a_table_of_this_page(text: str) -> None:
    assert "The table of experiments has the best rates." in text
    assert "table of optima" not in text


def test_a_folder_in_the_place_of_the_page_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="is a folder"):
        write_comparison(tmp_path, four_studies(), {})
