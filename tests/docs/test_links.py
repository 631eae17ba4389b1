"""Every relative link of the documents leads to a file, and its anchor to a heading there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = [ROOT, ROOT / "docs", ROOT / "benchmarks", ROOT / "examples"]
PAGES = [page for folder in FOLDERS for page in sorted(folder.glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST form them."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.M
    )
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.strip().replace(" ", "-") for heading in plain}


def broken_links(page: Path) -> list[str]:
    broken = []
    for link in LINK.findall(CODE.sub("", page.read_text())):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        place = page.parent / target if target else page
        has_anchor = not anchor or (place.suffix == ".md" and anchor in anchors(place))
        if not place.exists() or not has_anchor:
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page) -> None:
    assert broken_links(page) == []


def test_broken_links_are_found(tmp_path) -> None:
    """Negative control: a missing file, a missing anchor, and what is no link at all."""
    (tmp_path / "a.md").write_text("# The `first` heading\n\n```\n# no heading\n```\n")
    page = tmp_path / "b.md"
    page.write_text(
        "[good](a.md) [good](a.md#the-first-heading) [good](https://arxiv.org/abs/2203.03466)\n"
        "[bad](c.md) [bad](a.md#the-second) [bad](a.md#no-heading) [bad](#here) `[code](d.md)`\n"
    )
    assert broken_links(page) == ["c.md", "a.md#the-second", "a.md#no-heading", "#here"]
