"""Generator of docs/rules.md, docs/lingle.md, docs/kalra.md and docs/schemas.

With --check, it writes nothing, and fails if they are out of date.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import claims_page
import study_page
from pydantic import TypeAdapter

from mutransfer.records import LabSettings, LadderSpec, StudySpec, TrialResult, TrialSpec
from mutransfer.records.tables.lab import LabTable
from mutransfer.rules import HYBRIDS, TABLES, Plan, Role, explain
from mutransfer.rules.explanation.derivation import Derivation
from mutransfer.rules.formatting.columns import align_columns
from mutransfer.rules.hybrids import SWITCHES, switches_of
from mutransfer.workflows import compare_with_paper

DOCS = Path(__file__).parent.parent / "docs"
SCHEMAS = {
    "study": StudySpec,
    "ladder": LadderSpec,
    "lab-table": LabTable,
    "lab-settings": LabSettings,
    "trial-spec": TrialSpec,
    "trial-result": TrialResult,
}
PLANS = {"plan": Plan, "derivation": Derivation}  # dataclasses, saved with schema 1

RULES = """# What are the scaling rules?

A parametrization is a table with one line per role, whose cells say by which power of the width
each setting changes.
The tables below are those that the code applies; `mutransfer rules` prints the same.

A cell is a power of `fan_in` and `fan_out`, the ratios of the sides of a weight to those at the
base width.
It multiplies your own setting at the base width, where every cell is exactly 1.
A layer computes `multiplier · W · x`.
A dash means that the update is undefined for that role.
The attention scale is applied where heads widen and `example_inputs=` is passed, except under `sp`
and `none`.

The [science](science.md) derives the table of µP, and the [glossary](glossary.md) explains roles
and forms.
This page is generated from `src/mutransfer/rules`.
"""

BETWEEN = """
## Between `sp` and `mup`

Four switches are either off, as in SP, or on, as in µP
([arXiv:2605.21486](https://arxiv.org/abs/2605.21486)).
Relative to the hidden rate, `embd` and `ln` multiply the rates of embeddings and of vectors (norm
gains, biases) by the width ratio.
`last` gives the readout the smaller init.
`attn` stands for 1/d attention, which at a fixed head width is a constant factor on logits.
The paper's abstract states `embd`; the others are reconstructed.

Names with `embd` on are in µP's gauge: all rates are divided by the width ratio, so that the
embedding trains at your own rate.
Compare gauges without decay, or with `decay_mode = "independent"`.
`last` and `embd` need an untied readout.
`mutransfer rules sp+embd` prints one in full.
"""


def pages() -> dict[Path, str]:
    """Return the path and text of every generated page."""
    tables = "\n".join(f"\n## `{name}`\n\n```text\n{explain(name)}\n```" for name in TABLES)
    comparison = compare_with_paper()
    assert comparison.claims is not None
    texts = {
        DOCS / "rules.md": f"{RULES}{tables}\n{BETWEEN}{hybrids()}",
        **study_page.pages(DOCS, comparison.to_json()),
        **claims_page.pages(DOCS, comparison.claims),
    }
    for name, record in SCHEMAS.items():
        schema = json.dumps(record.model_json_schema(by_alias=True), indent=1, ensure_ascii=False)
        texts[DOCS / "schemas" / f"{name}.schema.json"] = schema + "\n"
    for name, kind in PLANS.items():
        data = TypeAdapter(kind).json_schema(mode="serialization")
        data["properties"] = {"schema": {"const": 1}, **data["properties"]}
        data["required"].insert(0, "schema")
        schema = json.dumps(data, indent=1, ensure_ascii=False)
        texts[DOCS / "schemas" / f"{name}.schema.json"] = schema + "\n"
    return texts


def hybrids() -> str:
    """Format the AdamW columns of the sixteen hybrids, one line each."""
    roles = (Role.INPUT, Role.VECTOR, Role.HIDDEN, Role.OUTPUT)
    heads = ["name", *SWITCHES, *(f"lr {role}" for role in roles), "init std output"]
    body = [
        [
            name,
            *("on" if switch in switches_of(name) else "-" for switch in SWITCHES),
            *(str(table.rules[role].rates.entrywise) for role in roles),
            str(table.rules[Role.OUTPUT].init_std),
        ]
        for name, table in HYBRIDS.items()
    ]
    return "\n```text\n" + "\n".join(align_columns([heads, *body])) + "\n```\n"


def main() -> None:
    """Write the pages, or fail and list those that differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing, and fail if a page is out of date"
    )
    check = parser.parse_args().check
    texts = pages()
    stale = [p for p, text in texts.items() if not p.exists() or p.read_text() != text]
    if check:
        if stale:
            sys.exit(
                f"run `make docs`: {', '.join(str(p.relative_to(DOCS.parent)) for p in stale)}"
            )
        return
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[path])


if __name__ == "__main__":
    main()
