"""This file is the test: exponents of width against those that a correct rule has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from mutransfer.coordcheck.judgement.expected import expected, is_bias
from mutransfer.coordcheck.result import Finding, Outcome
from mutransfer.coordcheck.runs.probes import WHOLE, Key
from mutransfer.coordcheck.runs.train import Floats
from mutransfer.rules import PlanRow, Role

# Shape legend: W widths, S seeds, T steps.

TOLERANCE = 0.25  # half of the smallest error that a rule can have [DESIGN section 8]
# A layer's change has, beside what the loss asks for, a random part that fades as width outgrows
# the batch's rows: measured, it tilts the exponent of a correct network by up to -0.25.
CHANGE_TOLERANCE = 0.35
# A random readout's own noise fades as width^-1/2, and the model's output with it; what is
# under-trained shows in the effects.
FADING_TOLERANCE = 0.6
# A bias is added: one that fades is torch's default, and learns what it lacks.
FADING_BIAS = 2.0
CONFIDENCE = 0.95  # one-sided, at both ends
LENT = 3  # degrees of freedom [assumed]
WINDOW = 3  # steps that an exponent is averaged over, early and late


@dataclass(frozen=True, slots=True)
class Slopes:
    """Exponents of one quantity.

    Args:
        key: Quantity and name.
        role: Role of the parameter; None for a whole module.
        expected: The exponent of a correct rule.
        by_seed: One exponent per seed and step; NaN where there is none.
        window: The steps that are averaged.
    """

    key: Key
    role: Role | None
    expected: float
    by_seed: Floats
    window: tuple[int, int]

    @property
    def averaged(self) -> Floats:
        """One exponent per seed."""
        first, last = self.window
        return np.asarray(self.by_seed[:, first : last + 1].mean(axis=1))


def slopes_of(
    readings: Mapping[Key, Floats],
    widths: tuple[int, ...],
    rows: Mapping[str, PlanRow],
) -> list[Slopes]:
    """Fit an exponent of width to everything that has an expected one, per seed and step.

    Args:
        readings: What was measured.
        widths: Where.
        rows: What each parameter is.
    """
    found = []
    for key, values_WST in readings.items():
        aim = expected(key, readings, rows)
        if aim is None:
            continue
        by_seed_ST = exponents(values_WST, widths)
        row = rows.get(key[1]) or rows.get(f"{key[1]}.weight")
        role = None if row is None or key[0] == "pull" else row.role
        for window in _windows(by_seed_ST, first_only=role is Role.FIXED):
            found.append(Slopes(key, role, aim, by_seed_ST, window))
    return found


def exponents(values_WST: Floats, widths: tuple[int, ...]) -> Floats:
    """Fit a power of width per seed and step; zero at a width has no exponent."""
    log2_W = np.log2(widths)
    weights_W = (log2_W - log2_W.mean()) / ((log2_W - log2_W.mean()) ** 2).sum()
    # Behind a zero init, or frozen.
    with np.errstate(divide="ignore", invalid="ignore"):
        logs_WST = np.where(values_WST > 0, np.log2(values_WST), np.nan)
    by_seed_ST: Floats = np.tensordot(weights_W, logs_WST, axes=1)
    return by_seed_ST


def _windows(by_seed_ST: Floats, *, first_only: bool) -> Iterator[tuple[int, int]]:
    """Choose the first few steps that have an exponent, and the last few.

    What does not grow may have a single entry, whose steps are noisy after the first.
    """
    there = np.flatnonzero(np.isfinite(by_seed_ST).all(axis=0))
    if not len(there):
        return
    first, last = int(there[0]), int(there[-1])
    if first_only:
        yield first, first
        return
    early = (first, min(first + WINDOW - 1, last))
    yield early
    late = (max(last - WINDOW + 1, first), last)
    if late[0] > early[1] and np.isfinite(by_seed_ST[:, late[0] : late[1] + 1]).all():
        yield late


def findings(found: list[Slopes], noise: Mapping[tuple[str, str], float]) -> tuple[Finding, ...]:
    """Judge every exponent; the noise of like ones is pooled."""
    return tuple(_finding(one, noise.get(_kind(one), 0.0)) for one in found)


def pooled_noise(found: list[Slopes]) -> dict[tuple[str, str], float]:
    """Give the half-width of the interval of each kind of exponent."""
    kinds: dict[tuple[str, str], list[Floats]] = {}
    for one in found:
        kinds.setdefault(_kind(one), []).append(one.averaged)
    quantities: dict[str, list[Floats]] = {}
    for (quantity, _), members in kinds.items():
        quantities.setdefault(quantity, []).extend(members)
    halves = {}
    for kind, members in kinds.items():
        # A readout stands alone: what is like it in quantity lends a few degrees of freedom.
        squares, freedom = _squares(members)
        others, more = _squares(quantities[kind[0]])
        lent = min(LENT, more)
        total, freedom = squares + lent * others / more, freedom + lent
        error = np.sqrt(total / freedom / len(members[0]))
        halves[kind] = float(student.ppf(CONFIDENCE, freedom) * error)
    return halves


def _squares(members: list[Floats]) -> tuple[float, int]:
    """Sum the squares about each one's mean, and their degrees of freedom."""
    total = sum(float(((each - each.mean()) ** 2).sum()) for each in members)
    return total, sum(len(each) - 1 for each in members)


def _kind(one: Slopes) -> tuple[str, str]:
    """Say which exponents are alike."""
    return one.key[0], str(one.role)


def steps_of(one: Slopes) -> tuple[float | None, ...]:
    """Give the exponent at every step, averaged over seeds."""
    steps = one.by_seed.mean(axis=0).tolist()
    return tuple(x if np.isfinite(x) else None for x in steps)


def _tolerance(one: Slopes) -> tuple[float, float]:
    """Say how far off an exponent may be, below and above."""
    quantity, name = one.key
    if quantity == "change":
        return (FADING_TOLERANCE if name == WHOLE else CHANGE_TOLERANCE, CHANGE_TOLERANCE)
    if quantity == "size" and is_bias(name):
        return FADING_BIAS, TOLERANCE
    return TOLERANCE, TOLERANCE


def _finding(one: Slopes, half: float) -> Finding:
    """Compare an interval with the tolerance."""
    slope = float(one.averaged.mean())
    off = abs(slope - one.expected)
    below, above = _tolerance(one)
    tolerance = below if slope < one.expected else above
    outcome: Outcome = "undetermined"
    if off + half < tolerance:
        outcome = "pass"
    elif off - half > tolerance:
        outcome = "fail"
    return Finding(
        quantity=one.key[0],
        name=one.key[1],
        role=str(one.role or ""),
        steps=one.window,
        expected=one.expected,
        slope=slope,
        low=slope - half,
        high=slope + half,
        outcome=outcome,
        by_step=steps_of(one),
        tolerance=(below, above),
    )
