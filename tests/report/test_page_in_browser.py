"""The page in a real browser: it draws, it reacts, and it makes no request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from report_cases import HOSTILE

from mutransfer.analysis import Report
from mutransfer.analysis.format import format_power, format_rate

pytestmark = pytest.mark.slow

WIDTHS = [1400, 400]
NUM_STOPS = 17
KEYS = ("Enter", "Space", "Space", "Enter")
FADED = "document.querySelectorAll('.chart.drawn path[opacity=\"0.12\"]').length"
AXES = """chart => [...chart.querySelectorAll('.role-axis')].map(axis => {
  const ticks = axis.querySelectorAll('.role-axis-tick line');
  return [...axis.querySelectorAll('.role-axis-label text')].map((label, k) => {
    const box = ticks[k].getBoundingClientRect();
    return [label.textContent, box.x + box.width / 2, box.y + box.height / 2];
  });
}).filter(axis => axis.length)"""
ROWS = "table => [...table.rows].map(row => [...row.cells].map(cell => cell.textContent))"
STOPS = """[...document.querySelectorAll('a[href], button, input, summary, [tabindex]')].map(
  (stop, k) => {
    stop.dataset.stop = k;
    const box = stop.getBoundingClientRect();
    return [box.y + scrollY, box.x];
  })"""
FOCUSED = """(() => {
  const stop = document.activeElement, style = getComputedStyle(stop);
  const box = stop.getBoundingClientRect();
  return {
    stop: stop === document.body ? null : Number(stop.dataset.stop),
    ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
    visible: box.bottom > 0 && box.top < innerHeight,
  };
})()"""


def wait_until(tab: Any, true: str) -> None:
    """Wait for a condition: the page's policy forbids a browser's own waiting for code."""
    for _ in range(100):
        if tab.evaluate(true):
            return
        tab.wait_for_timeout(50)
    pytest.fail(f"never came true: {true}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_draws_and_reacts(
    browser: Any, report_file: Path, width: int, scheme: str
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    tab = context.new_page()
    messages: list[str] = []
    requests: list[str] = []
    tab.on("console", lambda message: messages.append(message.text))
    tab.on("pageerror", lambda error: messages.append(str(error)))
    tab.on("dialog", lambda dialog: messages.append("a dialog: a script of a name ran"))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(report_file.as_uri())
    tab.wait_for_selector("html[data-ready=true]", timeout=30_000)

    assert tab.locator(".chart.drawn svg").count() == 6
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    for box in tab.locator(".chart.drawn svg").all():
        assert box.bounding_box()["width"] <= tab.evaluate("innerWidth")

    button = tab.locator("section .legend button").nth(1)
    assert tab.evaluate(FADED) == 0
    button.click()
    wait_until(tab, f"{FADED} > 0")
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    wait_until(tab, f"{FADED} == 0")
    assert button.get_attribute("aria-pressed") == "false"

    assert messages == []
    assert requests == [report_file.as_uri()]
    context.close()


def test_without_scripts_there_are_still_pictures(open_page: Any, report_file: Path) -> None:
    tab = open_page(report_file, 1400, "light", scripts=False)
    assert tab.locator(".chart svg").count() == 6


def hover(tab: Any, chart: Any, rate: float, loss: float) -> None:
    """Move the mouse to where the axes say that this is."""
    chart.scroll_into_view_if_needed()
    axes = [{label: (x, y) for label, x, y in axis} for axis in chart.evaluate(AXES)]
    across, up = sorted(axes, key=lambda axis: len({y for _, y in axis.values()}))
    left, right = across["2⁻⁹"][0], across["2⁻¹"][0]
    (low, (_, bottom)), *_, (high, (_, top)) = sorted((float(at), p) for at, p in up.items())
    tab.mouse.move(
        left + (right - left) * (rate + 9) / 8,
        bottom + (top - bottom) * (loss - low) / (high - low),
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_tooltip_of_a_point_has_its_numbers_and_can_be_read(
    open_page: Any, hostile_file: Path, report: Report, width: int, scheme: str
) -> None:
    tab = open_page(hostile_file, width, scheme)
    messages: list[str] = []
    tab.on("dialog", lambda dialog: messages.append("a dialog: a script of a name ran"))
    order = list(report)
    for group, which, k in (("mup", 0, 8), ("mup", 1, 2), ("sp", 2, 7), (HOSTILE, 1, 7)):
        curve = report[group].curves[which]
        rate, loss, seeds = curve.log2_lr[k], curve.loss[k], curve.seed_losses[k]
        hover(tab, tab.locator(".chart.drawn").nth(order.index(group)), rate, loss)
        tip = tab.locator("#vg-tooltip-element.visible")
        tip.wait_for()
        assert tip.locator("table").evaluate(ROWS) == [
            ["at", f"{HOSTILE} {curve.width:.0f}"],
            ["rate", format_rate(rate)],
            ["loss", f"{loss:.4f}"],
            ["seeds", ", ".join(f"{seed:.4f}" for seed in seeds)],
        ]
        inside = {element.lower() for element in tip.evaluate(
            "tip => [...tip.querySelectorAll('*')].map(element => element.tagName)")}  # fmt: skip
        assert inside == {"table", "tbody", "tr", "td"}
        box = tip.bounding_box()
        assert box["x"] >= 0
        assert box["y"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= 900
        tab.mouse.move(1, 1)
        tip.wait_for(state="detached")
    assert messages == []


def test_the_tooltips_of_a_diverged_rate_and_of_a_fitted_optimum(
    open_page: Any, report_file: Path, report: Report
) -> None:
    tab = open_page(report_file, 1400, "light")
    chart = tab.locator(".chart.drawn").nth(list(report).index("sp"))
    tip = tab.locator("#vg-tooltip-element.visible table")
    optimum = report["sp"].optimum[2]
    rate, loss = optimum.log2_lr, optimum.loss.value
    assert rate.value is not None
    assert rate.low is not None
    assert rate.high is not None
    assert loss is not None
    best = f"{format_rate(rate.value)} [{format_power(rate.low)}, {format_power(rate.high)}]"
    hover(tab, chart, rate.value, loss)
    tip.wait_for()
    assert tip.evaluate(ROWS) == [
        ["at", "width 128"],
        ["fitted best rate", best],
        ["loss", f"{loss:.4f}"],
    ]
    assert report["sp"].curves[2].num_diverged[8] == 2
    for mark in chart.locator(".role-mark.mark-symbol path").all():
        box = mark.bounding_box()
        tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        if "2 of 2 diverged" in tip.evaluate_all("all => all.map(e => e.textContent).join()"):
            break
    else:
        pytest.fail("no tooltip names a rate that diverged")
    assert tip.evaluate(ROWS) == [
        ["at", "width 128"], ["rate", format_rate(-1)], ["what", "2 of 2 diverged"],
    ]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_the_keyboard_reaches_everything_in_reading_order(
    open_page: Any, report_file: Path, width: int, scheme: str
) -> None:
    tab = open_page(report_file, width, scheme)
    places = tab.evaluate(STOPS)
    # three legends of three, three matrices, tables of scaling, stability, optima, plan, study
    assert len(places) == NUM_STOPS
    assert places == sorted(places)
    reached = {"ring": True, "visible": True}
    for stop in range(NUM_STOPS):
        tab.keyboard.press("Tab")
        assert tab.evaluate(FOCUSED) == {"stop": stop, **reached}
    tab.keyboard.press("Tab")
    assert tab.evaluate(FOCUSED)["stop"] is None  # the page lets go
    for stop in reversed(range(NUM_STOPS)):
        tab.keyboard.press("Shift+Tab")
        assert tab.evaluate(FOCUSED) == {"stop": stop, **reached}


def test_a_legend_reacts_to_enter_and_space_and_a_table_to_the_arrows(
    open_page: Any, report_file: Path
) -> None:
    tab = open_page(report_file, 400, "light")
    scrolled = 0
    stops = tab.evaluate(STOPS)
    for stop in range(len(stops)):
        tab.keyboard.press("Tab")
        here = tab.locator(f"[data-stop='{stop}']")
        if stop < 6:
            for key, pressed in zip(KEYS, (True, False, True, False), strict=True):
                tab.keyboard.press(key)
                wait_until(tab, f"{FADED} {'>' if pressed else '=='} 0")
                assert here.get_attribute("aria-pressed") == str(pressed).lower()
        elif here.evaluate("box => box.scrollWidth > box.clientWidth"):
            scrolled += 1
            assert here.evaluate("box => box.scrollLeft") == 0
            tab.keyboard.press("ArrowRight")
            wait_until(tab, f"document.querySelector('[data-stop=\"{stop}\"]').scrollLeft > 0")
    assert scrolled >= 4  # both tables, the plan and the study are wider than a telephone


def test_a_legend_singles_out_a_group_in_the_planes_too(open_page: Any, scaling_file: Path) -> None:
    tab = open_page(scaling_file, 1400, "dark")
    # three losses, two trends, three planes, one measure of stability
    assert tab.locator(".chart.drawn svg").count() == 9
    planes = tab.locator(".panels.three").locator("xpath=ancestor::section")
    planes.locator(".legend button").nth(2).click()
    wait_until(tab, f"{FADED} > 0")


def test_a_snippet_is_copied_and_is_there_without_scripts(
    open_page: Any, scaling_file: Path
) -> None:
    tab = open_page(scaling_file, 400, "light")
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = tab.locator("button[data-copy]").nth(1)
    button.click()
    wait_until(tab, "document.querySelectorAll('button[data-copy]')[1].textContent == 'Copied'")
    text = tab.locator(".snippet pre").nth(1).text_content()
    assert text.startswith("lr = ")
    assert HOSTILE in text
    assert tab.evaluate("navigator.clipboard.readText()") == text
    still = open_page(scaling_file, 400, "light", scripts=False)
    assert still.locator(".snippet pre").nth(1).text_content() == text
    assert not still.locator("button[data-copy]").first.is_visible()
