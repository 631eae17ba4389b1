"""Hostile names on a page: they are text, and no element, attribute or script comes from them."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from case_counts import cases
from hypothesis import strategies as st
from sandbox import run_command, sandbox_folder
from strategies import LONE_SURROGATES, as_json, choice, fuzz, texts
from test_hostile_stores import documents, stored

from mutransfer.rules import Plan
from mutransfer.workflows import analyze_path, write_page

MARKUP = [
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "<!--<script>",
    "]]><a href=javascript:alert(1)>x</a>",
    "&lt;script&gt;",
    "${alert}$title",
    "\u202e\u2066<b>",
    "{{datum.x}}",
    "datum['x']; alert(1)",
    *LONE_SURROGATES,
]
markup = st.one_of(choice(MARKUP), choice(MARKUP), texts.filter(lambda t: len(t) < 300))


class ParsedPage(HTMLParser):
    """The elements, attributes, links and scripts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.kinds: set[tuple[str, str]] = set()
        self.links: list[str] = []
        self.scripts: list[str] = []
        self.data: list[str] = []
        self._kind = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs) -> None:
        self.kinds |= {(tag, ""), *((tag, name) for name, _ in attrs)}
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]
        if tag == "script":
            self._kind = dict(attrs).get("type") or "program"
            self.scripts.append("")

    def handle_endtag(self, tag) -> None:
        self._kind = ""

    def handle_data(self, data) -> None:
        if self._kind == "program":
            self.scripts[-1] += data
        elif self._kind:
            self.data.append(data)

    @property
    def programs(self) -> set[str]:
        """Hashes of the scripts that run."""
        return {hashlib.sha256(text.encode()).hexdigest() for text in self.scripts if text}


def reported(here: Path, *arguments: str) -> ParsedPage | None:
    """Write a page and parse it; None if it was refused."""
    if run_command(here, "report", *arguments, "-o", "page.html").status:
        return None
    return ParsedPage((here / "page.html").read_text())


def table(group: str, seed: str, extra: str, column: str) -> str:
    """Return a CSV file of a grid with the given names in it."""
    quoted = ['"' + name.replace('"', '""') + '"' for name in (group, seed, extra, column)]
    rows = [
        f"{w},{lr},{s},{3 - w / 999 + (lr - 0.2) ** 2},{g},{quoted[2]}"
        for w in (64, 128)
        for lr in (0.125, 0.25, 0.5)
        for s in ("0", quoted[1])
        for g in ("mup", quoted[0])
    ]
    return "\n".join([f"width,lr,seed,loss,parametrization,{quoted[3]}", *rows])


@cache
def harmless() -> ParsedPage:
    """Return the page of results with harmless names, a plan and a study."""
    with sandbox_folder() as here:
        fill(stored(here), ["x"] * 8)
        results, report = analyze_path("s")  # once outside the sandbox: drawing compiles templates
        write_page("s", "page.html", results=results, report=report)
        (here / "t.csv").write_text(table("sp", "1", "y", "z"))
        page, other = reported(here, "s"), reported(here, "t.csv")
        assert page is not None
        assert other is not None
        page.kinds |= other.kinds
        return page


def fill(store: Path, names: list[str]) -> None:
    """Put names into every text of a store."""
    for path in store.glob("*/result.json"):
        result = json.loads(path.read_text())
        result |= {"host": names[0], "commit": names[1], "versions": {names[2]: names[3]}}
        result["finished"] = names[4]
        path.write_text(json.dumps(result))
        attempt = next(path.parent.glob("attempts/*"))
        plan = json.loads(Plan(names[5], names[6], "adamw", 64, 256, ()).to_json())
        (attempt / "result.json").write_text("{}")
        (attempt / "plan.json").write_text(json.dumps(plan))
    study = json.loads((store / "study.json").read_text())
    study["study"]["name"] = names[7]
    (store / "study.json").write_bytes(as_json(study))


@cases("pages")
def test_names_are_text_on_a_page(cases) -> None:
    harmless()
    strategy = st.tuples(st.booleans(), st.lists(markup, min_size=8, max_size=8))
    fuzz(cases, strategy, _check_page)


def _check_page(case: tuple[bool, list[str]]) -> ParsedPage | None:
    from_table, names = case
    with sandbox_folder() as here:
        if from_table:
            (here / "t.csv").write_text(table(*names[:4]), errors="replace")
        else:
            fill(stored(here), names)
        page = reported(here, "t.csv" if from_table else "s")
        check_harmless(page)
        return page


def check_harmless(page: ParsedPage | None) -> None:
    """Check that names have added nothing but text to a page."""
    if page is None:
        return
    expected = harmless()
    assert page.kinds <= expected.kinds, page.kinds - expected.kinds
    assert page.programs <= expected.programs
    assert all(link.startswith(("#", "data:image/", "https://")) for link in page.links), page.links
    for data in page.data:
        json.loads(data)


@pytest.mark.parametrize("from_table", [True, False])
def test_every_markup_at_once_is_text_on_a_page(from_table) -> None:
    harmless()
    assert _check_page((from_table, MARKUP[:8])) is not None


def test_markup_is_displayed_literally() -> None:
    harmless()
    with sandbox_folder() as here:
        (here / "t.csv").write_text(table(MARKUP[0], "1", "y", "z"))
        assert reported(here, "t.csv") is not None
        page = (here / "page.html").read_text()
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert documents()


def test_a_page_replaces_a_symbolic_link_instead_of_following_it() -> None:
    harmless()
    with sandbox_folder() as here:
        store = stored(here)
        (store / "report.html").symlink_to(here.parents[2] / "out" / "secret.txt")
        assert run_command(here, "report", "s").status == 0
        assert not (store / "report.html").is_symlink()
