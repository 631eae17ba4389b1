"""Power of a check: a fault planted in the learning rate of each role must be detected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mutransfer.coordcheck.judgement.expected import MATRICES
from mutransfer.coordcheck.judgement.exponents import Slopes, exponents, judge
from mutransfer.coordcheck.runs.optimizers import PlantedFault
from mutransfer.coordcheck.runs.probes import Key
from mutransfer.coordcheck.runs.train import Floats, Setting, readings
from mutransfer.rules import Role

STEPS = 5  # three updates, and two more because a zero init delays the first effects [assumed]
POWERS = (0.5, -0.5)  # the smallest errors that a rule can have, as in TOLERANCE

FaultyReadings = Mapping[Role, Sequence[Mapping[Key, Floats]]]


def planted_readings(setting: Setting, roles: Mapping[str, Role]) -> FaultyReadings:
    """Run the first seed with each role's learning rate off by half a power, up and down."""
    short = replace(setting, steps=min(STEPS, setting.steps), seeds=setting.seeds[:1])

    def faulty(role: Role, power: float) -> Mapping[Key, Floats]:
        purpose = f"training with a fault in the learning rate of {role} (width^{power:+g})"
        fault = PlantedFault(role, power, _members(role, roles))
        return readings(replace(short, purpose=purpose), fault)

    return {
        role: [faulty(role, power) for power in POWERS] for role in dict.fromkeys(roles.values())
    }


def detection_power(
    faulty: FaultyReadings,
    slopes: Sequence[Slopes],
    noise: Mapping[tuple[str, str], float],
    widths: tuple[int, ...],
    roles: Mapping[str, Role],
) -> dict[str, bool]:
    """Return for each role whether both faults are detected in spite of the measured noise."""
    power = {}
    for role, both in faulty.items():
        names = _members(role, roles)
        # Where a role has no tested effect, the size of its updates decides.
        for quantity in ("effect" if role in MATRICES else "step", "update"):
            tested = [s for s in slopes if s.key[1] in names and s.key[0] == quantity]
            if tested:
                break
        power[str(role)] = all(_is_detected(values, tested, noise, widths) for values in both)
    return power


def _members(role: Role, roles: Mapping[str, Role]) -> frozenset[str]:
    """Return the names of a role's parameters."""
    return frozenset(name for name, other in roles.items() if other is role)


def _is_detected(
    faulty: Mapping[Key, Floats],
    slopes: Sequence[Slopes],
    noise: Mapping[tuple[str, str], float],
    widths: tuple[int, ...],
) -> bool:
    """Return whether more than half of a role's parameters would fail."""
    # The same seed was run without the fault, so the difference is free of noise. It is added to
    # the measured exponents; power then does not depend on the noise of one seed.
    shifted = []
    for slope in slopes:
        if slope.key not in faulty:
            continue
        faulty_T = exponents(faulty[slope.key], widths)[0]
        steps = len(faulty_T) - 1
        if slope.window[1] < steps:
            difference_T = faulty_T[:steps] - slope.by_seed[0, :steps]
            shifted.append(replace(slope, by_seed=slope.by_seed[:, :steps] + difference_T))
    failed = [finding.outcome == "fail" for finding in judge(shifted, noise)]
    return bool(failed) and sum(failed) > 0.5 * len(failed)
