"""This file is demonstrated power: half a power planted in each role's rate must be caught."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mutransfer.coordcheck.judgement.expected import MATRICES
from mutransfer.coordcheck.judgement.exponents import Slopes, exponents, findings
from mutransfer.coordcheck.runs.optimizers import Tilt
from mutransfer.coordcheck.runs.probes import Key
from mutransfer.coordcheck.runs.train import Floats, Setting, readings
from mutransfer.rules import Role

STEPS = 5  # of a planted fault: its first three updates, two later behind zero inits
POWERS = (0.5, -0.5)

Planted = Mapping[Role, Sequence[Mapping[Key, Floats]]]


def planted(setting: Setting, roles: Mapping[str, Role]) -> Planted:
    """Run the first seed with every role's rate off by half a power, up and down."""
    short = replace(setting, steps=min(STEPS, setting.steps), seeds=setting.seeds[:1])
    return {
        role: [readings(short, Tilt(role, power, _members(role, roles))) for power in POWERS]
        for role in dict.fromkeys(roles.values())
    }


def caught(
    faults: Planted,
    slopes: Sequence[Slopes],
    noise: Mapping[tuple[str, str], float],
    widths: tuple[int, ...],
    roles: Mapping[str, Role],
) -> dict[str, bool]:
    """Say in which roles both faults would be found, given the noise that was measured."""
    found = {}
    for role, both in faults.items():
        names = _members(role, roles)
        by_kind = [
            [one for one in slopes if one.key[1] in names and one.key[0] == deciding]
            for deciding in (("effect", "update") if role in MATRICES else ("step", "update"))
        ]
        own = next((kind for kind in by_kind if kind), [])
        found[str(role)] = all(_is_caught(read, own, noise, widths) for read in both)
    return found


def _members(role: Role, roles: Mapping[str, Role]) -> frozenset[str]:
    """Name the parameters of a role."""
    return frozenset(name for name, each in roles.items() if each is role)


def _is_caught(
    read: Mapping[Key, Floats],
    slopes: Sequence[Slopes],
    noise: Mapping[tuple[str, str], float],
    widths: tuple[int, ...],
) -> bool:
    """Say whether most of a role's parameters would be found at fault.

    The same seed was run without the fault: what the fault adds is known without noise, and is
    added to what was measured.
    """
    faulty = {one.key: exponents(read[one.key], widths)[0] for one in slopes if one.key in read}
    moved = []
    for one in slopes:
        if one.key not in faulty:
            continue
        steps = len(faulty[one.key]) - 1
        if one.window[1] < steps:
            added = faulty[one.key][:steps] - one.by_seed[0, :steps]
            moved.append(replace(one, by_seed=one.by_seed[:, :steps] + added))
    hits = [one.outcome == "fail" for one in findings(moved, noise)]
    return bool(hits) and sum(hits) > 0.5 * len(hits)
