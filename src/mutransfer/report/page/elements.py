"""Building blocks of the page: sections, tables, facts, intervals and footnotes, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from string import ascii_lowercase
from typing import TYPE_CHECKING

from mutransfer.report.format import Formatter, as_sentence, escape, format_interval

if TYPE_CHECKING:
    from mutransfer.analysis import Estimate

MOST_ROWS = 2000  # of a table; more would make the page too large


def asset(name: str) -> str:
    """Read a file of this package."""
    return (files("mutransfer.report.page") / name).read_text(encoding="utf-8")


def section(title: str, note: str, body: str) -> str:
    """Return a section; all parts are HTML already."""
    lead = f'<p class="note">{note}</p>' if note else ""
    return f"<section><h2>{title}</h2>{lead}{body}</section>"


def fact(name: str, value: str, meaning: str = "") -> str:
    """Return an entry of a list of facts; all parts are HTML already."""
    small = f"<small>{meaning}</small>" if meaning else ""
    return f"<div><dt>{name}</dt><dd>{value}{small}</dd></div>"


def bullets(items: Sequence[str], css: str = "") -> str:
    """Return a list of items that are HTML already; empty without items."""
    attribute = f' class="{css}"' if css else ""
    rows = "".join(f"<li>{item}</li>" for item in items)
    return f"<ul{attribute}>{rows}</ul>" if rows else ""


def text_box(text: str, label: str) -> str:
    """Return text as it stands, in a box that can be scrolled."""
    attributes = f'class="scroll" tabindex="0" role="region" aria-label="{escape(label)}"'
    return f"<pre {attributes}>{escape(text)}</pre>"


def listed(names: Sequence[object], most: int) -> str:
    """Return the first names, and how many more there are.

    Example:
        >>> listed(["a", "b", "c"], 2)
        'a, b and 1 more'
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(str, names[:most])) + more


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], css: str = "notes") -> str:
    """Return a table; heads are text, cells are HTML; the last column of `notes` is wide."""
    shown = rows[:MOST_ROWS]
    head = "".join(
        f'<th scope="col">{escape(name)}</th>' if name else "<td></td>" for name in heads
    )
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>\n" for row in shown)
    more = ""
    if len(rows) > len(shown):
        more = f'<p class="note">{len(rows) - len(shown)} more rows are not shown.</p>'
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="table">'
        f'<table class="{css}"><thead><tr>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>{more}"
    )


def interval(estimate: Estimate, formatter: Formatter) -> str:
    """Return an interval with a space before it; empty where there is none."""
    text = escape(format_interval(estimate, formatter))
    return f' <span class="interval">{text}</span>' if text else ""


class Footnotes:
    """Footnotes in the order of their first use; each reason is printed once."""

    def __init__(self) -> None:
        self.letters: dict[str, str] = {}  # reason -> letter

    def mark(self, reason: str | None) -> str:
        """Return the raised letter of a reason; empty without a reason.

        Example:
            >>> Footnotes().mark("one seed: add seeds")
            '<sup>a</sup>'
        """
        if not reason:
            return ""
        return f"<sup>{self.letters.setdefault(reason, letter(len(self.letters)))}</sup>"

    def estimate(self, estimate: Estimate, formatter: Formatter) -> str:
        """Return a value with its interval, or a dash; what is missing gets a footnote."""
        value = "–" if estimate.value is None else escape(formatter(estimate.value))
        mark = self.mark(estimate.undetermined)
        return f"<span>{value}</span>{interval(estimate, formatter)}{mark}"

    def to_html(self) -> str:
        """Return the list of footnotes."""
        rows = [
            f"<sup>{letter}</sup> {escape(as_sentence(reason))}"
            for reason, letter in self.letters.items()
        ]
        return bullets(rows, "footnotes")


def letter(k: int) -> str:
    """Return the letter of a footnote.

    Example:
        >>> letter(0), letter(25), letter(26)
        ('a', 'z', 'aa')
    """
    first, last = divmod(k, len(ascii_lowercase))
    return (letter(first - 1) if first else "") + ascii_lowercase[last]
