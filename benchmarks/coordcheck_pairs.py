"""Diagnoses of the coordinate check when two rules of an MLP are broken at once.

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
    Change,
    Fault,
    Mutant,
    Subject,
    check,
    diagnosed_faults,
    role_is,
    verdict,
)
from mutransfer.rules import Role


def main() -> None:
    torch.set_num_threads(1)
    print("| model | pairs | both named | named as one fault that trains alike | other |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    table_8 = replace(SUBJECTS["mlp"](), form="table-8", name="MLP, AdamW, Table 8")
    own_muon = replace(SUBJECTS["mlp-muon"](), own_muon=True, name="MLP, a Muon of one's own")
    for subject in (SUBJECTS["mlp"](), table_8, SUBJECTS["mlp-sgd"](), own_muon):
        row(subject)


def row(subject: Subject) -> None:
    """Print one model's row, with every pair that is not named correctly."""
    rules: list[tuple[Change, Role]] = [("init", role) for role in MATRIX_ROLES]
    rules += [("rate", role) for role in (*MATRIX_ROLES, Role.VECTOR)]
    if subject.form == "table-8":
        rules += [("multiplier", role) for role in MATRIX_ROLES]
    single_faults = [(change, role, power) for change, role in rules for power in (0.5, -0.5)]
    counts, other = Counter[str](), []
    for first, second in combinations(single_faults, 2):
        if first[:2] == second[:2]:
            continue
        changes = tuple((change, role_is(role), power) for change, role, power in (first, second))
        faults = tuple((change, str(role), power) for change, role, power in (first, second))
        mutant = Mutant(f"{first} and {second}", changes, faults)
        result = check(subject, mutant)
        text, right = verdict(mutant, result)
        diagnosed = diagnosed_faults(result)
        square = 2 if subject.optimizer == "sgd" else 1
        if right != "right" and invariants(diagnosed, square) == invariants(faults, square):
            right = "alike"
        counts[right] += 1
        other += [] if right in ("right", "alike") else [f"{mutant.text}: {text}"]
    rest = "; ".join(other) or "0"
    cells = (subject.name, counts.total(), counts["right"], counts["alike"], rest)
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def invariants(faults: Iterable[Fault], square: int) -> dict[str, tuple[float, float]]:
    """Return, by role, what the abc-symmetry preserves: the gain, and the effect of an update."""
    result: dict[str, tuple[float, float]] = {}
    for fault, role, power in faults:
        gain, effect = result.get(role, (0.0, 0.0))
        gain += power if fault in ("init", "multiplier") else 0.0
        effect += {"rate": power, "multiplier": square * power}.get(fault, 0.0)
        result[role] = gain, effect
    return result


if __name__ == "__main__":
    main()
