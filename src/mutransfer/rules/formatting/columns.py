"""Aligned columns and wrapped text for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

MIN_TEXT_COLUMNS = 30  # room for parameter names, however narrow the terminal is


def format_number(value: float) -> str:
    """Format a factor with at most six significant digits."""
    return f"{value:.6g}"


def align_columns(table: Sequence[Sequence[str]]) -> list[str]:
    """Align the cells of a table under its first row.

    Example:
        >>> align_columns([["a", "b"], ["1.25", "2"]])
        ['a     b', '1.25  2']
    """
    widths = [max(len(str(cell)) for cell in column) for column in zip(*table, strict=True)]
    return [
        "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def hanging_indent(heads: Sequence[str], texts: Sequence[str], width: int) -> list[str]:
    """Format texts to the right of their heads, wrapped with a hanging indent.

    Example:
        >>> hanging_indent(["a", "bb"], ["first", "second"], width=40)
        ['a   first', 'bb  second']
    """
    indent = 2 + max(map(len, heads), default=0)
    lines = []
    for head, text in zip(heads, texts, strict=True):
        lines += textwrap.wrap(
            text,
            max(width, indent + MIN_TEXT_COLUMNS),
            initial_indent=head.ljust(indent),
            subsequent_indent=" " * indent,
            # A parameter name is copied into `roles=` or `--parameter`, so it is never broken.
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines
