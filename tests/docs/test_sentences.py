"""The sources of the documents have one sentence per line, so that a change shows as one line."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
UNBROKEN = ("|", "#", "!")  # rows of tables, headings, figures
# A number may end in a point, and a term in bold introduces the sentence after it.
TWO_SENTENCES = re.compile(r"[^\W\d][)`\]]*[.?!][)]? +[A-Z`\[]")


def lines_with_two_sentences(text: str) -> list[str]:
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = [line for line in prose.splitlines() if not line.startswith(UNBROKEN)]
    return [line for line in lines if TWO_SENTENCES.search(line.replace("et al. ", ""))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_line_holds_one_sentence(page) -> None:
    assert lines_with_two_sentences(page.read_text()) == []


def test_two_sentences_on_a_line_are_noticed() -> None:
    two = "One. Two.\n- A list (of two). Items.\n`f(x)`. It ends.\n"
    assert len(lines_with_two_sentences(two)) == 3
    one = "**Term.** One.\n1. Version 2.0 of it.\n| a. B |\n```\nA. B\n```\n"
    assert lines_with_two_sentences(one) == []
