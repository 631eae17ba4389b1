"""Several hyperparameters on the terminal and on the page."""

import json
import re

import numpy as np
import pytest
from planted_points import planted, random_points

from mutransfer.analysis import Results, TuningReport, analyze, predict_groups
from mutransfer.report import write_figures, write_report
from mutransfer.report.figures.numbers.slices import slice_numbers
from mutransfer.report.text.tuning import tuning_text

HOSTILE = "</script><script>alert(1)</script>"
VALLEY = np.array([[0.1, 0.06], [0.06, 0.08]])


def tuning(second: str = "init_std", best: float = -0.8) -> tuple[Results, TuningReport]:
    rng = np.random.default_rng(0)
    points = [random_points(rng, 30, 2) for _ in range(2)]
    point = np.array([0.5, best])
    names = ("lr", second)
    table = planted(points, [point, point], VALLEY, noise=0.004, rng=rng, names=names)
    table["loss"][0] = float("nan")
    results = Results.from_columns(table)
    report = analyze(results, hyperparameter=list(names))
    assert isinstance(report, TuningReport)
    return results, report


def test_the_terminal_shows_best_points_importances_and_interactions() -> None:
    _, report = tuning()
    lines = tuning_text(report).splitlines()
    assert lines[0] == "all: transfers"
    assert lines[1].startswith("  carrying the whole point from width 64 to 256 raises the loss by")
    [first] = [line for line in lines if line.startswith("  width 64")]
    assert re.fullmatch(
        r"  width 64: loss 2\.\d+ \[.*\] \(\d+ of 30 samples, a polynomial with interactions, "
        r"1 diverged\)",
        first,
    )
    rate = next(line for line in lines if line.startswith("    lr "))
    assert re.fullmatch(r"    lr +1\.\d+ \[.*\] +explains \d+% \[.*\] of the variance", rate)
    assert any("lr and init_std trade off: where lr doubles" in line for line in lines)


def test_an_edge_is_a_bound_with_the_value_to_use() -> None:
    _, report = tuning(best=6.0)
    text = tuning_text(report)
    assert re.search(r"init_std +\? above \d+\.?\d*, use 1\d\.\d", text)
    assert text.count("the minimum lies at the edge of the range of init_std at width 64") == 1


def test_slices_hold_every_sample_and_the_section_through_the_best_point() -> None:
    _, report = tuning()
    group = report["all"]
    numbers = slice_numbers(group, report, "init_std")
    assert len(numbers.points) == 60
    kinds = [point.kind for point in numbers.points]
    assert kinds.count("diverged") == 1
    assert kinds.count("fitted") > 15
    for index, width in enumerate(group.widths):
        section = [point for point in numbers.sections if point.index == index]
        lowest = min(section, key=lambda point: point.loss)
        assert lowest.loss == pytest.approx(width.loss.value, abs=0.003)
        assert all(point.low <= point.loss <= point.high for point in section)
        assert lowest.x == pytest.approx(np.log2(width["init_std"].recommended), abs=0.3)


def test_the_page_has_verdict_table_and_one_slice_per_hyperparameter(tmp_path) -> None:
    results, report = tuning()
    page = write_report(tmp_path / "page.html", results=results, report=report).read_text()
    assert "<h1>What is the best point of lr, init_std, and does it transfer over width?" in page
    for title in ("Verdict", "Best points", "Slices through the best point"):
        assert f"<h2>{title}</h2>" in page
    assert page.count('class="share"') == 4  # two hyperparameters at two widths
    assert page.count('data-chart="chart-') == 2
    assert "trade off" in page


def test_a_hostile_name_stays_text(tmp_path) -> None:
    results, report = tuning(HOSTILE)
    page = write_report(tmp_path / "page.html", results=results, report=report).read_text()
    assert HOSTILE not in page
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in page


def test_figures_are_written(tmp_path) -> None:
    _, report = tuning()
    files = write_figures(tmp_path, report)
    assert sorted(file.name for file in files) == ["slices.pdf", "slices.png", "slices.svg"]


def test_the_json_has_no_nan_and_every_number_of_the_table() -> None:
    _, report = tuning()
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    width = data["groups"]["all"]["widths"][0]
    assert data["hyperparameters"] == ["lr", "init_std"]
    assert [value["name"] for value in width["values"]] == ["lr", "init_std"]
    assert width["samples"][0].keys() == {"values", "loss", "is_fitted"}
    assert {"value", "low", "high", "undetermined"} == width["values"][0]["best"].keys()


def test_the_page_has_the_point_to_use_at_the_target(tmp_path) -> None:
    """With its code, in a section of its own; without predictions there is none."""
    results, report = tuning()
    points = predict_groups(results, width=2048, hyperparameter=report.hyperparameters)
    page = write_report(
        tmp_path / "page.html",
        results=results,
        report=report,
        predictions=points,
        snippets={point.group: "init_std = 0.5" for point in points},
    ).read_text()
    assert "<h2>What to use at the target</h2>" in page
    assert "at width 2048</h3>" in page
    assert "init_std = 0.5" in page
    assert page.count("two optima show no scatter about a law") == 1
    alone = write_report(tmp_path / "alone.html", results=results, report=report).read_text()
    assert "What to use at the target" not in alone
