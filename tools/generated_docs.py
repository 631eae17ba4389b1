"""This file writes the generated pages, docs/rules.md and docs/schemas; --check compares them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from mutransfer.records import LabSettings, LadderSpec, StudySpec, TrialResult, TrialSpec
from mutransfer.records.study import LabTable
from mutransfer.rules import PARAMETRIZATIONS, explain

DOCS = Path(__file__).parent.parent / "docs"
SCHEMAS = {
    "study": StudySpec,
    "ladder": LadderSpec,
    "lab-table": LabTable,
    "lab-settings": LabSettings,
    "trial-spec": TrialSpec,
    "trial-result": TrialResult,
}

RULES = """# The rules

Written by `make docs` from `src/mutransfer/rules/tables.py`; `mutransfer rules` prints the same.
A cell is a power of `fan_in`, `fan_out`: how many times larger a side of the weight is than at the
base width. What it multiplies is your own number at the base width, where every cell is exactly 1.
A layer computes `multiplier · W · x`. A dash means that the update is not defined for that role.
"""


def pages() -> dict[Path, str]:
    """Give every generated page's path and text."""
    tables = "\n".join(
        f"\n## `{name}`\n\n```text\n{explain(name)}\n```" for name in PARAMETRIZATIONS
    )
    found = {DOCS / "rules.md": RULES + tables + "\n"}
    for name, record in SCHEMAS.items():
        schema = json.dumps(record.model_json_schema(by_alias=True), indent=1, ensure_ascii=False)
        found[DOCS / "schemas" / f"{name}.schema.json"] = schema + "\n"
    return found


def main() -> None:
    """Write the pages, or say which differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing, fail if a page differs"
    )
    check = parser.parse_args().check
    stale = [p for p, text in pages().items() if not p.exists() or p.read_text() != text]
    if check:
        if stale:
            sys.exit(
                f"run `make docs`: {', '.join(str(p.relative_to(DOCS.parent)) for p in stale)}"
            )
        return
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pages()[path])


if __name__ == "__main__":
    main()
