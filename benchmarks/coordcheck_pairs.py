"""Break two rules of an MLP at once, and see whether the coordinate check names both.

    python benchmarks/coordcheck_pairs.py

Prints Markdown. All pairs of half powers, in either direction, of two roles or of one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import combinations

import torch

from coordcheck import (
    MATRIX_ROLES,
    SUBJECTS,
    Blame,
    Change,
    Mutant,
    Subject,
    check,
    role_is,
    verdict,
)
from mutransfer.rules import Role


def main() -> None:
    torch.set_num_threads(1)
    print("| model | pairs | both named | told as one fault that trains alike | other |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    by_eight = replace(SUBJECTS["mlp"](), form="table-8", name="MLP, AdamW, Table 8")
    for subject in (SUBJECTS["mlp"](), by_eight, SUBJECTS["mlp-sgd"]()):
        row(subject)


def row(subject: Subject) -> None:
    """Print one model's row, with whatever is not named rightly."""
    rules: list[tuple[Change, Role]] = [("init", role) for role in MATRIX_ROLES]
    rules += [("rate", role) for role in (*MATRIX_ROLES, Role.VECTOR)]
    if subject.form == "table-8":
        rules += [("multiplier", role) for role in MATRIX_ROLES]
    faults = [(change, role, power) for change, role in rules for power in (0.5, -0.5)]
    counts, other = Counter[str](), []
    for one, two in combinations(faults, 2):
        if one[:2] == two[:2]:
            continue
        changes = tuple((change, role_is(role), power) for change, role, power in (one, two))
        blame = tuple((change, str(role), power) for change, role, power in (one, two))
        mutant = Mutant(f"{one} and {two}", changes, blame)
        seen = check(subject, mutant)
        said, right = verdict(mutant, seen)
        told = [(d.fault, d.role, round(2 * d.power) / 2) for d in seen.diagnoses]
        square = 2 if subject.optimizer == "sgd" else 1
        if right != "right" and trained_as(told, square) == trained_as(blame, square):
            right = "alike"
        counts[right] += 1
        other += [] if right in ("right", "alike") else [f"{mutant.text}: {said}"]
    rest = "; ".join(other) or "0"
    cells = (subject.name, counts.total(), counts["right"], counts["alike"], rest)
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def trained_as(faults: Iterable[Blame], square: int) -> dict[str, tuple[float, float]]:
    """Give, by role, what the abc-symmetry leaves alone: gain, and effect of an update."""
    found: dict[str, tuple[float, float]] = {}
    for fault, role, power in faults:
        gain, effect = found.get(role, (0.0, 0.0))
        gain += power if fault in ("init", "multiplier") else 0.0
        effect += {"rate": power, "multiplier": square * power}.get(fault, 0.0)
        found[role] = gain, effect
    return found


if __name__ == "__main__":
    main()
