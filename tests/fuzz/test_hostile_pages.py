"""Names and logs reach a page as text: no element, attribute or script comes from them."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hostile import LONE, as_json, chosen, fuzz, texts
from hypothesis import strategies as st
from shares import cases
from test_hostile_stores import documents, stored
from watched import case_folder, command

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
    *LONE,
]
markup = st.one_of(chosen(MARKUP), chosen(MARKUP), texts.filter(lambda t: len(t) < 300))


class Seen(HTMLParser):
    """The kinds of elements and attributes of a page, and its scripts."""

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


def reported(here: Path, *arguments: str) -> Seen | None:
    """Write a page and look at it; None if it was refused."""
    if command(here, "report", *arguments, "-o", "page.html").status:
        return None
    return Seen((here / "page.html").read_text())


def table(group: str, seed: str, extra: str, column: str) -> str:
    """Write a CSV file of a grid in which names are as given."""
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
def harmless() -> Seen:
    """Give the page of results with harmless names, its plan and its study."""
    with case_folder() as here:
        fill(stored(here), ["x"] * 8)
        results, report = analyze_path("s")  # once unwatched: drawing compiles templates of its own
        write_page("s", "page.html", results=results, report=report)
        (here / "t.csv").write_text(table("sp", "1", "y", "z"))
        seen, other = reported(here, "s"), reported(here, "t.csv")
        assert seen is not None
        assert other is not None
        seen.kinds |= other.kinds
        return seen


def fill(store: Path, names: list[str]) -> None:
    """Put names wherever a store has room for a text."""
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
    fuzz(cases, strategy, _look)


def _look(case: tuple[bool, list[str]]) -> Seen | None:
    from_table, names = case
    with case_folder() as here:
        if from_table:
            (here / "t.csv").write_text(table(*names[:4]), errors="replace")
        else:
            fill(stored(here), names)
        seen = reported(here, "t.csv" if from_table else "s")
        insist_harmless(seen)
        return seen


def insist_harmless(seen: Seen | None) -> None:
    """Insist that nothing on a page came from a name but text."""
    if seen is None:
        return
    known = harmless()
    assert seen.kinds <= known.kinds, seen.kinds - known.kinds
    assert seen.programs <= known.programs
    assert all(link.startswith(("#", "data:image/", "https://")) for link in seen.links), seen.links
    for data in seen.data:
        json.loads(data)


@pytest.mark.parametrize("from_table", [True, False])
def test_every_markup_at_once_is_text_on_a_page(from_table) -> None:
    harmless()
    assert _look((from_table, MARKUP[:8])) is not None


def test_markup_is_shown_as_it_is_written() -> None:
    harmless()
    with case_folder() as here:
        (here / "t.csv").write_text(table(MARKUP[0], "1", "y", "z"))
        assert reported(here, "t.csv") is not None
        page = (here / "page.html").read_text()
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert documents()


def test_a_page_replaces_a_link_and_writes_through_none() -> None:
    harmless()
    with case_folder() as here:
        store = stored(here)
        (store / "report.html").symlink_to(here.parents[2] / "out" / "secret.txt")
        assert command(here, "report", "s").status == 0
        assert not (store / "report.html").is_symlink()
