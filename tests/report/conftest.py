"""A browser, and pages opened in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from check_cases import check, failing, finding
from comparison_cases import comparison, four_studies, paper, reports_of, row
from report_cases import (
    HOSTILE,
    plan,
    planted_results,
    predictions_of,
    report_of,
    scaling_results,
)

from mutransfer.analysis import Report
from mutransfer.report import write_comparison, write_report

Opener = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    driver = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install it")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs Chromium on the PATH")
    with driver.sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        yield running
        running.close()


@pytest.fixture(scope="session")
def report() -> Report:
    """Three groups, one with a hostile name."""
    return report_of(planted_results(("mup", "sp", HOSTILE)))


@pytest.fixture(scope="session")
def report_file(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(report, tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="session")
def hostile_file(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same page over a scale with a hostile name."""
    return write_page(replace(report, scale=HOSTILE), tmp_path_factory.mktemp("hostile"))


@pytest.fixture(scope="session")
def scaling_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with laws, planes, predictions to copy, and notes; one group's name is hostile."""
    results = scaling_results(("mup", "sp", HOSTILE))
    predictions = predictions_of(results)
    return write_report(
        tmp_path_factory.mktemp("scaling") / "report.html",
        results=results,
        report=replace(report_of(results), notes=("3 rows without a loss were left out", HOSTILE)),
        predictions=predictions,
        snippets={p.group: f"lr = {p.lr.value}\n# {HOSTILE * 3}\n" for p in predictions},
    )


@pytest.fixture(scope="session")
def check_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of a check alone: many layers fail, up and down; one has a hostile name."""
    base = failing(name=HOSTILE, text=f"look at {HOSTILE}")
    names = [f"blocks.{k}.attention.query.weight" for k in range(12)]
    many = [
        finding("update", name, expected=-0.5, slope=sign * 0.1 * k + 0.4, outcome="fail",
                by_step=(None, *(sign * 0.1 * k + 0.4 + 0.03 * step for step in range(4))))
        for sign in (1, -1)
        for k, name in enumerate(names)
    ]  # fmt: skip
    coord_check = check(
        *base.findings, *many, outcome="fail", diagnoses=base.diagnoses, reasons=base.reasons
    )
    return write_report(tmp_path_factory.mktemp("check") / "check.html", check=coord_check)


@pytest.fixture(scope="session")
def comparison_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison with a study of each outcome, a hostile name, and a folder that is left out."""
    hostile = row(HOSTILE, "agrees", "transfers", paper("transfers", share=0.0), why=HOSTILE * 2)
    studies = [hostile, *four_studies()["studies"]]
    entry = {"folder": "lion", "reason": HOSTILE, "command": f"mutransfer {HOSTILE}"}
    data = comparison(*studies, left_out=[entry])
    folder = tmp_path_factory.mktemp("comparison")
    return write_comparison(folder / "comparison.html", data, reports_of(data))


def write_page(report: Report, folder: Path) -> Path:
    """Write a page with every kind of section."""
    results = planted_results(("mup", "sp", HOSTILE))
    study = "widths: [32, 64, 128]\n" + "comment: " + "long " * 60
    return write_report(
        folder / "report.html",
        results=results,
        report=report,
        title=HOSTILE,
        plan=plan(),
        study=study,
    )


@pytest.fixture
def open_page(browser: Any) -> Iterator[Opener]:
    """Open a file in a window of its own, after its charts are drawn if scripts run."""
    contexts = []

    def open_(file: Path, width: int, scheme: str, *, scripts: bool = True) -> Any:
        contexts.append(
            browser.new_context(
                viewport={"width": width, "height": 900},
                color_scheme=scheme,
                java_script_enabled=scripts,
            )
        )
        tab = contexts[-1].new_page()
        tab.goto(file.as_uri())
        if scripts:
            tab.wait_for_selector("html[data-ready=true]", timeout=30_000)
        return tab

    yield open_
    for context in contexts:
        context.close()
