"""`analyze` and `report` over several scales, from a file and from a study."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from planted_cells import SIZES, cell_columns

from mutransfer.analysis import Results, analyze
from mutransfer.errors import ResultsError
from mutransfer.records import AnalysisTable, StudySpec

TWO = {"width": SIZES["width"], "tokens": SIZES["tokens"]}
CELLS = [{"width": n, "tokens": d} for n in TWO["width"] for d in TWO["tokens"]]


def csv_of(columns: dict[str, list]) -> str:
    rows = zip(*columns.values(), strict=True)
    return "\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    columns = cell_columns(CELLS, exponents={"tokens": -0.7}, seeds=3, sd=0.002)
    (tmp_path / "sweep.csv").write_text(csv_of(columns))
    return tmp_path


def test_analyze_prints_a_verdict_and_an_exponent_per_scale(run, file) -> None:
    status, out, _ = run("analyze sweep.csv --scale width,tokens")
    assert status == 0
    assert "\n  along width: transfers\n    all 4 lines transfer; the costliest, at tokens" in out
    assert "\n  along tokens: does not transfer\n    4 of 4 lines do not transfer;" in out
    (line,) = (line for line in out.splitlines() if line.startswith("    exponent of tokens"))
    assert float(line.split()[3]) == pytest.approx(-0.7, abs=0.02)
    assert "  16 cells\n" in out
    assert "best lr" in out


def test_fail_on_no_counts_every_scale(run, file) -> None:
    assert run("analyze sweep.csv --scale width,tokens --fail-on-no")[0] == 1
    assert run("analyze sweep.csv --scale width,tokens --threshold 0.9 --fail-on-no")[0] in (0, 3)


def test_json_is_one_document_with_all_cells(run, file) -> None:
    _, out, _ = run("analyze sweep.csv --scale width,tokens --json")
    data = json.loads(out)
    assert data["scales"] == ["width", "tokens"]
    (group,) = data["groups"].values()
    assert [cell["sizes"] for cell in group["cells"]] == CELLS
    assert group["rate"]["exponents"]["tokens"]["value"] == pytest.approx(-0.7, abs=0.02)


def test_one_name_is_one_scale(run, file) -> None:
    """A comma is what makes several: one name is analyzed as ever."""
    (file / "ladder.csv").write_text(csv_of(cell_columns(CELLS[::4], exponents={}, seeds=2)))
    assert run("analyze ladder.csv --scale width")[1].startswith("all: ")


def test_the_report_has_a_section_per_question(run, file) -> None:
    status, out, _ = run("report sweep.csv --scale width,tokens -o page.html --figures figures")
    assert status == 0
    page = (file / "page.html").read_text()
    for title in ("Verdict by scale", "Exponents", "The best rate against every scale",
                  "Cells in numbers", "Lines in numbers"):  # fmt: skip
        assert f"<h2>{title}</h2>" in page
    assert "How does the best learning rate scale with width and tokens?".lower() in page.lower()
    assert "along <b>width</b> it transfers; along <b>tokens</b> it does not transfer" in page
    assert page.count('class="chart"') == 2
    assert (file / "figures" / "best-rate-2.pdf").exists()
    assert "figures/best-rate-1.png" in out.replace("\\", "/")


def test_options_without_a_use_are_errors(run, file) -> None:
    assert (
        "no use with several scales"
        in run("analyze sweep.csv --scale width,tokens --reference all")[2]
    )
    assert "is no target" in run("report sweep.csv --scale width,tokens --width 8192")[2]


def test_a_study_names_one_scale_or_several() -> None:
    """A string stays a string in the frozen record, so that old records keep their hashes."""
    study = {
        "schema": 1,
        "study": {"name": "s"},
        "axes": {"width": [8, 16], "steps": [2, 4], "lr": [0.1, 0.2]},
        "lab": {"base_width": 8},
    }
    for scale in ("steps", ["width", "steps"]):
        spec = StudySpec.model_validate_json(json.dumps({**study, "analysis": {"scale": scale}}))
        assert json.loads(spec.model_dump_json())["analysis"]["scale"] == scale
    assert spec.analysis.scales == ("width", "steps")


def test_a_study_with_several_scales_is_analyzed_over_them(run, file) -> None:
    columns = cell_columns(CELLS, exponents={}, seeds=2, sd=0.002)
    results = Results.from_columns(columns)
    table = AnalysisTable(scale=["width", "tokens"])
    with pytest.raises(ResultsError, match="has 2 scales: 'width', 'tokens'"):
        analyze(replace(results, defaults=table))
    assert analyze(replace(results, defaults=table), scale=table.scales).scales == table.scales


def test_held_out_cells_are_rows_of_a_table(run, file) -> None:
    """The numbers of a row are those of the JSON."""
    status, out, _ = run("predict sweep.csv --scale width,tokens --hold-out")
    assert status == 0
    check = json.loads(run("predict sweep.csv --scale width,tokens --hold-out --json")[1])[
        "hold_out"
    ][1]
    block = out.strip().split("\n\n")[-1].splitlines()
    assert block[0].startswith("all: had you not run tokens 8e+09: lr off by 0.")
    assert block[2] == "  errors in octaves of lr, regret and loss in % of the loss"
    heads = ["width", "predicted lr", "observed", "off by", "covered", "regret", "loss off by"]
    assert re.split(" {2,}", block[3].strip()) == heads
    assert len(block) == 4 + len(check["cells"]) == 8
    for line, cell in zip(block[4:], check["cells"], strict=True):
        texts = re.split(" {2,}", line.strip())
        assert float(texts[0]) == cell["sizes"]["width"]
        assert float(texts[3]) == pytest.approx(cell["rate_error"]["value"], abs=0.006)
        assert texts[4] == ("yes" if cell["is_covered"] else "no")
        assert float(texts[6]) == pytest.approx(100 * cell["loss_error"]["value"], abs=0.006)
