"""The page can be read: large enough, nothing cut or covered, no serious fault for axe-core."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from comparison_cases import comparison, paper, reports_of, row
from test_claims_page import claims

from mutransfer.report import write_comparison

pytestmark = pytest.mark.slow

SMALLEST = 11  # pixels on the screen, after a drawing was scaled
# Every line of text that is shown: its words, its size, its box, and by what it is cut.
TEXTS = """(() => {
  const found = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walk.nextNode());) {
    const parent = node.parentElement;
    const style = getComputedStyle(parent), drawing = parent.closest('svg');
    if (!node.data.trim() || parent.closest('script, style') || style.opacity === '0') continue;
    if (parent.closest('details:not([open])') && !parent.closest('summary')) continue;
    const matrix = drawing && parent.getScreenCTM();
    const scale = matrix ? Math.hypot(matrix.a, matrix.b) : 1;
    let cut = false;
    const range = document.createRange();
    range.selectNodeContents(node);
    const boxes = [...range.getClientRects()].filter(box => box.width > 0 && box.height > 0);
    for (let outer = parent; outer; outer = outer.parentElement) {
      if (outer.matches('.scroll')) { cut = null; break; }
      const clip = outer === document.documentElement
        || getComputedStyle(outer).overflowX !== 'visible';
      const edge = outer.getBoundingClientRect();
      if (clip) cut ||= boxes.some(box => box.left < edge.left - 1 || box.right > edge.right + 1
        || (outer === drawing && (box.top < edge.top - 1 || box.bottom > edge.bottom + 1)));
    }
    found.push({
      text: node.data.trim().slice(0, 40),
      size: parseFloat(style.fontSize) * scale,
      cut: cut === true,
      boxes: boxes.map(box => [box.left, box.top, box.right, box.bottom]),
    });
  }
  return found;
})()"""


def readability_faults(tab: Any, width: int) -> list[str]:
    """Return what is too small, cut, covered or wider than the window."""
    texts = tab.evaluate(TEXTS)
    assert len(texts) > 100
    problems = [f"small: {text['text']} {text['size']:.1f}" for text in texts
                if text["size"] < SMALLEST]  # fmt: skip
    problems += [f"cut: {text['text']}" for text in texts if text["cut"]]
    boxes = [(box, k) for k, text in enumerate(texts) for box in text["boxes"]]
    boxes.sort(key=lambda pair: pair[0][1])
    for at, (box, k) in enumerate(boxes):
        for other, j in boxes[at + 1 :]:
            if other[1] > box[3] - 3:
                break
            if j != k and min(box[2], other[2]) - max(box[0], other[0]) > 3:
                problems.append(f"covered: {texts[k]['text']} / {texts[j]['text']}")
    if (wide := tab.evaluate("document.documentElement.scrollWidth")) > width:
        problems.append(f"wide: {wide}")
    return problems


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
def test_all_text_is_large_enough_and_neither_cut_nor_covered(
    open_page: Any,
    report_file: Path,
    hostile_file: Path,
    scaling_file: Path,
    check_file: Path,
    comparison_file: Path,
    width: int,
    scheme: str,
) -> None:
    for file in (report_file, hostile_file, scaling_file, check_file, comparison_file):
        assert readability_faults(open_page(file, width, scheme), width) == []


@pytest.mark.parametrize("width", [1400, 400])
def test_still_pictures_are_as_readable(
    open_page: Any,
    report_file: Path,
    scaling_file: Path,
    check_file: Path,
    comparison_file: Path,
    width: int,
) -> None:
    """Without scripts a picture is scaled to the window, and its text with it."""
    for file in (report_file, scaling_file, check_file, comparison_file):
        assert readability_faults(open_page(file, width, "light", scripts=False), width) == []


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        ("text { font-size: 9px }", "small"),
        (".panel h3 { white-space: nowrap; overflow: hidden; width: 90px }", "cut"),
        (".note { height: 5px }", "covered"),
        (".panels { width: 500px }", "wide"),
    ],
)
def test_the_control_finds_a_page_that_is_hard_to_read(
    open_page: Any, report_file: Path, broken: str, fault: str
) -> None:
    tab = open_page(report_file, 400, "light")
    tab.add_style_tag(content=broken)
    assert [problem for problem in readability_faults(tab, 400) if problem.startswith(fault)]


def serious_violations(tab: Any, part: str = "") -> list[str]:
    """Return the violations that axe-core calls serious or critical."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-core")
    result = axe.Axe().run(tab, context=part or None)
    assert len(result.response["passes"]) > (0 if part else 10)
    return [
        f"{rule['id']} ({rule['impact']}): {rule['help']}: {[n['html'] for n in rule['nodes']]}"
        for rule in result.response["violations"]
        if rule["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
def test_axe_finds_no_serious_fault(
    open_page: Any, report_file: Path, width: int, scheme: str
) -> None:
    tab = open_page(report_file, width, scheme)
    assert serious_violations(tab) == []
    tab.locator(".legend button").first.click()
    assert serious_violations(tab, ".legend") == []
    tab.locator(".chart .role-mark.mark-symbol path").first.hover(force=True)
    tab.locator("#vg-tooltip-element.visible").wait_for()
    assert serious_violations(tab, "#vg-tooltip-element") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
def test_axe_finds_no_serious_fault_in_scaling(
    open_page: Any, scaling_file: Path, comparison_file: Path, width: int, scheme: str
) -> None:
    for file in (scaling_file, comparison_file):
        assert serious_violations(open_page(file, width, scheme)) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
def test_axe_finds_no_serious_fault_in_a_check(
    open_page: Any, check_file: Path, width: int, scheme: str
) -> None:
    tab = open_page(check_file, width, scheme)
    tab.locator("summary").click()
    assert tab.locator("table.findings").is_visible()
    assert serious_violations(tab) == []
    assert readability_faults(tab, width) == []


def test_axe_finds_no_serious_fault_without_scripts(open_page: Any, report_file: Path) -> None:
    """Axe is a script: it reads the still page's elements in a window where scripts run."""
    still = open_page(report_file, 400, "light", scripts=False).content()
    tab = open_page(report_file, 400, "light")
    tab.evaluate("page => { document.body.innerHTML = page }", still)
    assert tab.locator(".chart svg").count() == 6
    assert serious_violations(tab) == []


def test_the_control_finds_a_serious_fault(open_page: Any, report_file: Path) -> None:
    tab = open_page(report_file, 1400, "light")
    tab.evaluate("document.querySelector('.headline').style.color = '#bbbbbb'")
    assert [
        fault for fault in serious_violations(tab) if fault.startswith("color-contrast (serious)")
    ]


def test_a_long_sentence_of_the_paper_hides_no_column(open_page: Any, tmp_path: Path) -> None:
    long = "the optimum is on the edge of the grid at width 2048, so that it may be lower; " * 2
    tables = claims()
    tables["claims"][0] |= {"text": long, "numbers": long, "why": long}
    published = paper("transfers", share=0.0, certainty=long, cautions=[long])
    data = comparison(row("gains", "agrees", "transfers", published, why=long), claims=tables)
    file = write_comparison(tmp_path / "page.html", data, reports_of(data))
    tab = open_page(file, 1280, "light")
    boxes = "[...document.querySelectorAll('.scroll:has(table.studies)')]"
    hidden = tab.evaluate(f"{boxes}.map(box => box.scrollWidth - box.clientWidth)")
    assert hidden == [0, 0]
