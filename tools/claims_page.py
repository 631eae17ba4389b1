"""Text and figures of docs/kalra.md, from the results that ship."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from string import Template
from typing import Any

from study_page import svg

from mutransfer.report.figures.export import figure_specs
from mutransfer.report.format import as_sentence
from mutransfer.report.text.claims import (
    CLAIM_HEADINGS,
    Table,
    effect_rows,
    group_rows,
    pair_rows,
    regret_rows,
)
from mutransfer.rules import HYBRIDS
from mutransfer.workflows.comparison.claims import ClaimComparison
from mutransfer.workflows.studies.catalog import expand

Data = Mapping[str, Any]

TEXT = Path(__file__).with_suffix(".md")
FIGURED = "embedding-rate"  # the study whose figures are shown
FIGURES = {
    "best-rate": "Best rate of each width, with its law; each parametrization in its own units.",
    "best-loss": "Loss at the best rate of each width, with its law.",
    "scaling-planes": "E, κ and R(∞) of the four parametrizations.",
    "stability": "Instability of training near the best rate.",
}


def pages(docs: Path, comparison: ClaimComparison) -> dict[Path, str]:
    """Return the path and text of the page and of its figures."""
    data, texts = comparison.to_json(), {}
    for own in comparison.evidences:
        if own.study == FIGURED:
            for name, spec in figure_specs(own.report).items():
                if name in FIGURES:
                    path = docs / "figures" / f"kalra-{name}.svg"
                    texts[path] = svg(spec, path)
    shown = [name for name in FIGURES if docs / "figures" / f"kalra-{name}.svg" in texts]
    return {docs / "kalra.md": page(data, shown), **texts}


def page(data: Data, shown: Sequence[str]) -> str:
    """Return the page.

    Args:
        data: The claims of a comparison's JSON data.
        shown: Names of the figures that there are.
    """
    costs = [study["cost"] for study in data["studies"]]
    figures = [
        f"![{FIGURES[name]}](figures/kalra-{name}.svg)\n\n{FIGURES[name]}\n" for name in shown
    ]
    return Template(TEXT.read_text(encoding="utf-8")).substitute(
        summary=summary(data),
        claims=claims(data["claims"]),
        tables=tables(data),
        figures="\n".join(figures),
        settings=settings([study["study"] for study in data["studies"]]),
        not_run=not_run(data["not_run"]),
        trials=f"{sum(cost['trials'] for cost in costs):,}",
        minutes=f"{sum(cost['core_minutes'] for cost in costs):,.0f}",
    )


def summary(data: Data) -> str:
    """Return the outcomes of the paper's own claims, one sentence for each."""
    names: dict[str, list[str]] = {}
    for row in data["claims"]:
        if "not of this paper" in row["certainty"]:
            continue
        study = f" ({row['study']})" if row["study"] else ""
        names.setdefault(row["outcome"], []).append(f"`{row['claim']}`{study}")
    return "\n".join(
        f"- {heading}: {', '.join(names[outcome])}."
        for outcome, heading in CLAIM_HEADINGS.items()
        if outcome in names
    )


def claims(rows: Sequence[Data]) -> str:
    """Return a section for each claim."""
    sections = []
    for name, group in groupby(rows, key=lambda row: row["claim"]):
        own = list(group)
        first = own[0]
        lines = [
            f"### `{name}`",
            "",
            f"**{'Another' if 'not of this paper' in first['certainty'] else 'The'} paper:** "
            f"{first['text']}.",
            as_sentence(first["certainty"]),
            *([as_sentence(first["numbers"])] if first["numbers"] else []),
            "",
        ]
        for row in own:
            study = f" (`{row['study']}`)" if row["study"] else ""
            parts = [f"  {sentence(clause)}" for clause in row["clauses"]]
            lines += [f"- **Here**{study}: **{row['outcome']}**.", *parts]
        sections.append("\n".join(lines) + "\n")
    return "\n".join(sections)


def sentence(clause: str) -> str:
    """Return a clause as a sentence; the name of a hybrid keeps its small letter."""
    is_name = clause.split(" ", 1)[0] in HYBRIDS
    return f"{clause}." if is_name else as_sentence(clause)


def tables(data: Data) -> str:
    """Return the tables of effects and of every study."""
    parts = []
    for effects in data["effects"]:
        head = (
            f"Effect of each switch on log10 E, `{effects['study']}`, "
            f"{effects['num_hybrids']} hybrids; 90 % intervals:"
        )
        parts.append(f"{head}\n\n{markdown(effect_rows(effects))}")
    for study in data["studies"]:
        widths = ", ".join(f"{width:g}" for width in study["widths"])
        parts.append(f"`{study['study']}`, widths {widths}:\n\n{markdown(group_rows(study))}")
        if rows := regret_rows(study):
            parts.append(f"Regret in both units, `{study['study']}`:\n\n{markdown(rows)}")
        if study["differences"]:
            parts.append(f"Differences, `{study['study']}`:\n\n{markdown(pair_rows(study))}")
    return "\n".join(parts)


def markdown(rows: Table) -> str:
    """Return a table."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], f"|{' --- |' * len(rows[0])}", *lines[1:], ""])


def settings(studies: Sequence[str]) -> str:
    """Return the settings of the studies at mini scale, as a table."""
    rows: Table = [("study", "widths", "seeds", "steps", "tokens per step", "text")]
    for name in studies:
        study = expand(name, "mini")
        assert study.lab is not None
        lab = study.lab.settings
        steps = lab.get("steps", f"{lab.get('tokens_per_parameter', '?')} tokens per parameter")
        rows.append(
            (
                f"`{name}`",
                ", ".join(map(str, study.axes["width"])),
                str(len(study.axes["seed"])),
                str(steps),
                f"{lab['batch'] * lab['context']:,}",
                ", ".join(map(str, study.axes.get("tokenizer", [lab.get("tokenizer", "bytes")]))),
            )
        )
    return markdown(rows).rstrip("\n")


def not_run(names: Sequence[str]) -> str:
    """Return the studies without shipped results, in a sentence; empty without any."""
    if not names:
        return ""
    listed = ", ".join(f"`{name}`" for name in names)
    return f"Not run yet: {listed}; `mutransfer studies run NAME` runs one.\n"
