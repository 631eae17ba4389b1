"""Terminal text of a ladder study: one line per rung, then the details of each failed check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def format_ladder(ladder: Mapping[str, Any]) -> str:
    """Format a ladder's JSON data: one line per rung, then why each check did not pass."""
    head = ["rung", "outcome", "broken rule, power of width", "repaired"]
    rows = [
        [
            rung["name"],
            rung["outcome"],
            ", ".join(
                f"{rule['role']} {rule['fault']} {rule['power']:+.2g}".lstrip()
                for rule in rung["blamed"]
            )
            or "–",
            ", ".join(rung["repaired"]) or "–",
        ]
        for rung in ladder["rungs"]
    ]
    sizes = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(f"{cell:<{size}}" for cell, size in zip(row, sizes, strict=True)).rstrip()
        for row in [head, *rows]
    ]
    for rung in ladder["rungs"]:
        check = rung["check"]
        details = [*(diagnosis["text"] for diagnosis in check["diagnoses"]), *check["reasons"]]
        if details:
            lines += ["", f"{rung['name']}: {rung['outcome']}", *(f"  {text}" for text in details)]
    return "\n".join(lines)
