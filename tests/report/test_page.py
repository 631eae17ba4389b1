"""The page: complete, safe with hostile names, readable with missing numbers."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import vl_convert
from report_cases import HOSTILE, plan, planted_results, report_of

from mutransfer.analysis import Report, Results
from mutransfer.analysis.results import Provenance
from mutransfer.analysis.types.estimates import Estimate
from mutransfer.errors import ResultsError
from mutransfer.report import write_report
from mutransfer.report.page import tables
from mutransfer.report.page.cards import headline, verdicts
from mutransfer.report.page.page import page

MOST_BYTES = 5_000_000


class Elements(HTMLParser):
    """Every element of a page with its attributes, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[tuple[dict[str, str], str]] = []
        self.text: list[str] = []
        self._script: dict[str, str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        plain = {name: value or "" for name, value in attrs}
        self.elements.append((tag, plain))
        self._script = plain if tag in ("script", "style") else None

    def handle_endtag(self, tag: str) -> None:
        self._script = None

    def handle_data(self, data: str) -> None:
        if self._script is None:
            self.text.append(data)
        elif self.lasttag == "script":
            self.scripts.append((self._script, data))


@pytest.fixture(scope="module")
def demo() -> tuple[Results, Report, str]:
    results = planted_results()
    report = report_of(results)
    return results, report, page(results, report, plans=[plan()], title="SP & µP")


def words(text: str) -> str:
    """Return the text of a page with single spaces."""
    apart = text.replace("<d", " <d").replace("<h", " <h").replace("<t", " <t")
    return " ".join("".join(Elements(apart).text).split())


def test_the_policy_runs_these_scripts_only_and_lets_nothing_out(
    demo: tuple[Results, Report, str],
) -> None:
    elements = Elements(demo[2])
    (policy,) = [
        attributes["content"]
        for tag, attributes in elements.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    executed = [text for attributes, text in elements.scripts if "type" not in attributes]
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in executed
    ]
    assert len(executed) == 2
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}' 'sha256-{hashes[1]}'; "
        "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )


def test_no_element_loads_anything(demo: tuple[Results, Report, str]) -> None:
    loading = {"src", "href", "srcset", "data", "action", "poster", "xlink:href"}
    for tag, attributes in Elements(demo[2]).elements:
        assert tag not in {"link", "iframe", "object", "embed", "base", "img", "a"}
        assert not loading & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
    assert (
        "url("
        not in (Path(__file__).parents[2] / "src/mutransfer/report/page/page.css").read_text()
    )


def test_the_verdict_comes_first(demo: tuple[Results, Report, str]) -> None:
    text = words(demo[2])
    order = ["SP & µP", "µP transfers; SP does not transfer.", "Verdict", "Regret",
             "Loss against learning rate", "against width", "Which is better", "Optima in numbers",
             "Plan", "Where these numbers are from", "How to read this page"]  # fmt: skip
    positions = [text.index(title) for title in order]
    assert positions == sorted(positions)
    assert "What you pay at width 128 for using the best rate of width 32." in text
    assert demo[1]["sp"].reason[1:] in text


def test_every_specification_compiles(demo: tuple[Results, Report, str]) -> None:
    specs = [json.loads(text) for attributes, text in Elements(demo[2]).scripts if attributes]
    assert len(specs) == 5
    for spec in specs:
        assert "title" not in spec  # the page has its own headings
        assert vl_convert.vegalite_to_svg({**spec, "width": 300}).startswith("<svg")


def test_a_page_written_again_is_the_same(demo: tuple[Results, Report, str]) -> None:
    """The converter numbers the parts of pictures over the whole process; the page must not."""
    results, report, text = demo
    ids = [attributes["id"] for _, attributes in Elements(text).elements if "id" in attributes]
    assert len(ids) == len(set(ids)) > 4
    assert page(results, report, plans=[plan()], title="SP & µP") == text


def test_a_hostile_name_is_only_ever_text_or_data() -> None:
    """It may be a group, the scale, the hyperparameter, the title, or the source of the results."""
    results = planted_results((HOSTILE, "sp"))
    report = replace(report_of(results), scale=HOSTILE, hyperparameter=HOSTILE)
    origin = Provenance(HOSTILE, 1, hosts=(HOSTILE,), versions={HOSTILE: (HOSTILE,)})
    text = page(replace(results, provenance=origin), report, title=HOSTILE)
    elements = Elements(text)
    assert len([tag for tag, _ in elements.elements if tag == "script"]) == 7
    assert "<script>alert(1)" not in text
    for attributes, script in elements.scripts:
        if attributes.get("type") == "application/json":
            assert "<" not in script
            assert "\u2028" not in script
            assert not [e for e in expressions(json.loads(script)) if "alert(1)" in e]


def expressions(node: object, key: str = "") -> Iterator[str]:
    """Yield whatever Vega-Lite would read as an expression or as a field's name."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name not in ("datasets", "values"):
                yield from expressions(value, name)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value, key)
    elif isinstance(node, str) and key not in ("title", "text", "subtitle"):
        yield node


def test_the_control_finds_an_expression() -> None:
    """Negative control: a name in a test, or as a field, would be noticed."""
    assert list(expressions({"condition": {"test": "alert(1)"}, "title": "alert(1)"})) == [
        "alert(1)"
    ]


def test_the_table_has_what_the_figures_show(demo: tuple[Results, Report, str]) -> None:
    text = words(demo[2])
    optimum = demo[1]["mup"].optimum[2]
    assert optimum.loss.value is not None
    assert f"{optimum.loss.value:.4f}" in text
    assert "2^-4 (0.0625), loss" in text


def test_layers_with_equal_factors_share_a_row_of_the_plan(
    demo: tuple[Results, Report, str],
) -> None:
    assert "blocks.*.up.weight" in demo[2]
    assert "blocks.0.up.weight" not in demo[2]
    assert "mup (table-3) for adamw: base width 32, target 128, width multiplier 4" in demo[2]


def test_both_facts_are_shown_where_the_transferring_one_is_worse() -> None:
    report = report_of(planted_results())
    difference = Estimate(0.0321, 0.0215, 0.0422)
    comparison = replace(report.comparisons[0], group="mup", reference="sp", difference=difference)
    report = replace(report, comparisons=(comparison,))
    text = words(headline(report) + tables.comparisons(report))
    assert "µP transfers" in text
    assert "At width 128, each at its own best rate, SP has the lowest loss." in text
    assert "µP: loss higher by 0.0321 [0.0215, 0.0422] (same seeds, compared in pairs)" in text


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        (planted_results(("mup",)), "µP transfers."),
        (
            planted_results(widths=(64,)),
            "Only one value of width (64) has results: run larger ones",
        ),
        (
            planted_results(("mup",), seeds=1, rates=(-5, -4, -3)),
            "One seed, and the rates near the best ones are too few to estimate the noise",
        ),
        (
            planted_results(diverges_above=-99.0),
            "Every rate diverged at width 32: add rates below 2^-9 (0.001953).",
        ),
        (planted_results(rates=(-9, -8, -7, -6)), "the best rate is the highest tried"),
        (planted_results(rates=(-4,)), "undetermined"),
        (planted_results(("x" * 300, "y" * 300)), "x" * 300),
    ],
    ids=["one group", "one width", "one seed", "all diverged", "edge", "one rate", "long names"],
)
def test_the_page_names_what_is_missing(results: Results, expected: str) -> None:
    report = report_of(results)
    text = words(headline(report) + verdicts(report) + tables.optima(report))
    assert expected in text
    assert "nan" not in text.lower().split()


def test_a_page_of_nothing_but_diverged_trials_is_written() -> None:
    results = planted_results(("sp",), widths=(64,), seeds=1, diverges_above=-99.0)
    text = page(results, report_of(results))
    assert "No optimum could be estimated." in text
    assert "SP is undetermined." in words(text)


def test_twenty_groups_of_five_widths_fit_on_a_page() -> None:
    results = planted_results([f"group {k}" for k in range(20)], widths=(32, 64, 128, 256, 512))
    text = page(results, report_of(results))
    assert len(text.encode()) < MOST_BYTES
    assert "Of 20 groups, 20 transfer." in words(text)


@pytest.mark.parametrize(
    ("source", "expected"),
    [("runs/demo", "runs/demo"), ("'/data/someone/losses.csv'", "losses.csv")],
)
def test_a_page_names_its_source_but_not_the_folder_of_a_user(source: str, expected: str) -> None:
    origin = Provenance(
        source, 108, unfinished=2, diverged=4, shared=18, seconds=211.0, flops=3.1e13,
        tokens=16588800, versions={"torch": ("2.13.0",)}, commits=("a1b2c3d4e5f60718",),
        hosts=("laptop",), finished=("2026-01-30T10:01:02Z", "2026-01-30T10:04:41Z"),
    )  # fmt: skip
    text = words(tables.provenance(origin, report_of(planted_results(("mup",)))))
    assert f"Results {expected} Trials 108 finished, 4 diverged," in text
    assert "someone" not in text
    for part in ("3.52 minutes", "3.1e+13 FLOPs, 16,588,800 tokens", "torch 2.13.0", "laptop",
                  "a1b2c3d4e5f6", "2026-01-30 10:01 to 2026-01-30 10:04"):  # fmt: skip
        assert part in text


def test_write_report_analyzes_makes_folders_and_figures(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "report.html"
    file = write_report(path, results=planted_results(("mup",)), figures=tmp_path / "figures")
    assert file == path
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    figures = sorted((tmp_path / "figures").iterdir())
    assert [figure.name for figure in figures] == [
        f"{name}.{suffix}"
        for name in ("best-loss", "best-rate", "loss", "regret-matrix", "stability")
        for suffix in ("pdf", "png", "svg")
    ]
    starts = {".pdf": b"%PDF", ".png": b"\x89PNG", ".svg": b"<svg"}
    assert all(figure.read_bytes().startswith(starts[figure.suffix]) for figure in figures)


def error_of_writing(path: Path) -> str:
    """Return the message with which writing a page fails."""
    results = planted_results(("mup",))
    with pytest.raises(ResultsError) as caught:
        write_report(path, results=results, report=report_of(results))
    return str(caught.value)


def test_a_folder_is_not_overwritten_by_a_page(tmp_path: Path) -> None:
    assert error_of_writing(tmp_path) == (
        f"'{tmp_path}' is a folder\n"
        "  why: the report is a single file, and a folder is never overwritten\n"
        f"  fix: name the file: '{tmp_path / 'report.html'}'"
    )


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert error_of_writing(tmp_path / "file" / "report.html") == (
        f"'{tmp_path / 'file'}' cannot be a folder: a file of that name is in the way\n"
        "  why: a report is written whole or not at all\n"
        "  fix: name another folder"
    )


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (OSError(28, "No space left on device"), "No space left on device"),
    ],
)
def test_a_failed_write_leaves_the_old_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: OSError, message: str
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    original = Path.open

    def refuse(self: Path, mode: str = "r", **options: Any) -> Any:
        if mode == "xb":
            raise problem
        return original(self, mode, **options)

    monkeypatch.setattr(Path, "open", refuse)
    assert error_of_writing(path) == (
        f"cannot write '{path}': {message}\n"
        "  why: a report is written whole or not at all\n"
        "  fix: name a path that you may write to, on a disk with space"
    )
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    assert path.read_text() == "old"


def test_a_lone_surrogate_is_shown_as_a_question_mark(tmp_path: Path) -> None:
    """JSON can hold what UTF-8 cannot encode."""
    results = planted_results(("sp",))
    path = write_report(
        tmp_path / "p.html", results=results, report=report_of(results), title="\ud800x"
    )
    assert "<h1>?x" in path.read_text()
