"""Sections of a page on the claims of a paper: claim by claim, then the numbers behind them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mutransfer.report.format import as_sentence, escape
from mutransfer.report.page.elements import Footnotes, section, table
from mutransfer.report.text.claims import (
    CLAIM_HEADINGS,
    Table,
    effect_rows,
    group_rows,
    pair_rows,
    regret_rows,
)

Data = Mapping[str, Any]

CSS = {"agrees": "yes", "disagrees": "no"}  # colours of verdicts
UNITS = (
    "Regret and drift depend on the units of rates. A hybrid without <code>embd</code> is the same "
    "family of trainings if its rates are named times width, as those of µP are. That SP does not "
    "transfer in its own units is therefore partly a statement about units. E, κ, R(∞) and best "
    "losses depend on no units."
)


def claim_sections(data: Data) -> list[str]:
    """Return the sections on claims, effects, groups and their differences.

    Args:
        data: What `ClaimComparison.to_json` returns.
    """
    sections = [claims_section(data)]
    for effects in data["effects"]:
        title = f"Effect of each switch on log10 E: {effects['study']}"
        note = f"From {effects['num_hybrids']} hybrids; 90 % intervals."
        sections.append(section(escape(title), note, _table(effect_rows(effects))))
    for study in data["studies"]:
        tables = [group_rows(study), regret_rows(study), pair_rows(study)]
        shown = "".join(_table(rows) for rows in tables if len(rows) > 1)
        note = UNITS if regret_rows(study) else ""
        sections.append(section(f"Numbers of {escape(study['study'])}", note, shown))
    return sections


def claims_section(data: Data) -> str:
    """Return the section with the judgement of every claim.

    Args:
        data: The `paper` and its `claims`, one row of `ClaimComparison.to_json` each.
    """
    notes = Footnotes()
    rows = [
        [
            f"<b>{escape(row['claim'])}</b><small>{escape(row['study'] or '')}</small>",
            f"{escape(as_sentence(row['text']))}{notes.mark(row['certainty'])}"
            f"<small>{escape(row['numbers'])}</small>",
            f'<span class="verdict {CSS.get(outcome, "open")}">{escape(outcome)}</span>',
            escape(as_sentence(row["why"])),
        ]
        for outcome in CLAIM_HEADINGS
        for row in data["claims"]
        if row["outcome"] == outcome
    ]
    heads = ["Claim, study", "Paper", "Here", "Why"]
    body = table(heads, rows, css="notes studies") + notes.to_html()
    return section("Claim by claim", escape(data["paper"]), body)


def _table(rows: Table) -> str:
    """Return a table of text."""
    return table(rows[0], [[escape(cell) for cell in row] for row in rows[1:]], css="")
