"""The page in a real browser: it draws, it answers clicks, it asks the network for nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_cases import HOSTILE, judged, planted

from mutransfer.report import write_report

pytestmark = pytest.mark.slow

WIDTHS = [1400, 400]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    driver = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install it")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs Chromium on the PATH")
    with driver.sync_playwright() as started:
        running = started.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        yield running
        running.close()


@pytest.fixture(scope="module")
def report_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = planted(("mup", "sp", HOSTILE))
    place = tmp_path_factory.mktemp("page") / "report.html"
    return write_report(place, results=results, report=judged(results), title=HOSTILE)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_draws_and_answers(
    browser: Any, report_file: Path, width: int, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    tab = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("dialog", lambda dialog: said.append("a dialog: a script of a name ran"))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(report_file.as_uri())
    tab.wait_for_selector("html[data-ready=true]", timeout=30_000)

    assert tab.locator(".chart.drawn svg").count() == 5
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    for box in tab.locator(".chart.drawn svg").all():
        assert box.bounding_box()["width"] <= tab.evaluate("innerWidth")

    faded = "document.querySelectorAll('.chart.drawn path[opacity=\"0.12\"]').length"
    button = tab.locator("section .legend button").nth(1)
    assert tab.evaluate(faded) == 0
    button.focus()
    tab.keyboard.press("Enter")
    tab.wait_for_function(f"{faded} > 0")
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    tab.wait_for_function(f"{faded} == 0")
    assert button.get_attribute("aria-pressed") == "false"

    assert said == []
    assert asked == [report_file.as_uri()]
    context.close()


def test_without_scripts_there_are_still_pictures(browser: Any, report_file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(report_file.as_uri())
    assert tab.locator(".chart svg").count() == 5
    context.close()
