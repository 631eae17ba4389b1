"""The page of several scales: every cell is shown, those beyond the grid with their side."""

from __future__ import annotations

import numpy as np
import pytest
from planted_cells import SIZES, cell_columns

from mutransfer.analysis import Results, analyze
from mutransfer.report import write_report
from mutransfer.report.figures.numbers.scales import colour_names, scale_frame, scale_rows

HOSTILE = "<b onclick='x'>"
GRID = [{"width": n, "tokens": d} for n in SIZES["width"] for d in SIZES["tokens"][:2]]


def test_the_figure_has_a_mark_per_cell_and_the_planted_law() -> None:
    """At the grid's edge the marks are triangles at the limit; the law has the planted slope."""
    rates = np.arange(-8.0, -2.0)
    columns = cell_columns(GRID, exponents={"width": -0.4}, log2_lr=rates)
    group = analyze(Results.from_columns(columns), scale=["width", "tokens"])["all"]
    frame = scale_frame([group], "width")
    rows = scale_rows(group, frame)
    assert [mark["kind"] for mark in rows["marks"]] == [
        "below" if cell.sizes["width"] > 256 else "fitted" for cell in group.cells
    ]
    assert {m["value"] for m in rows["marks"] if m["kind"] == "below"} == {-7.5}
    assert colour_names(frame) == ["tokens 1e+09", "tokens 2e+09"]
    assert {(m["index"], m["line"]) for m in rows["marks"]} == {
        (0, "tokens 1e+09"),
        (1, "tokens 2e+09"),
    }
    first, last = rows["law"]
    slope = (last["value"] - first["value"]) / (last["log2_size"] - first["log2_size"])
    assert slope == pytest.approx(-0.4, abs=1e-9)


def test_names_are_escaped_on_the_page(tmp_path) -> None:
    columns = cell_columns(GRID, exponents={}, seeds=2, sd=0.002)
    columns[HOSTILE] = columns.pop("tokens")
    results = Results.from_columns(columns)
    report = analyze(results, scale=["width", HOSTILE])
    page = write_report(tmp_path / "page.html", results=results, report=report).read_text()
    assert HOSTILE not in page
    assert "&lt;b onclick=" in page
