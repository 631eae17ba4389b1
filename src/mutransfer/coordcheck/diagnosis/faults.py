"""This file is the step from what is off about a parameter to the rules that are broken."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mutransfer.coordcheck.diagnosis.settings import NEAR, Declared
from mutransfer.coordcheck.judgement.exponents import TOLERANCE
from mutransfer.coordcheck.result import Fault, Finding
from mutransfer.coordcheck.runs.optimizers import update_of
from mutransfer.rules import PlanRow, Role, Update

CLEAR = 0.15  # how far from a half power what a multiplier does may be [assumed]
EPS_MATTERS = 0.3  # epsilon over the gradient's size, at the widest
OF_VECTORS = {"size": "gain", "step": "effect"}  # what a vector has instead


@dataclass(frozen=True, slots=True)
class Cause:
    """A rule that is broken.

    Args:
        fault: The rule.
        power: The power of width by which it is off.
        hint: What the optimizer was told, against the rule.
        certain: Whether it was read off weights and settings, and not inferred.
    """

    fault: Fault
    power: float
    hint: str = ""
    certain: bool = False


@dataclass(slots=True)
class Suspect:
    """What is known of one parameter.

    Args:
        name: The parameter.
        role: Its role.
        off: By how much each quantity is off when it starts; the early window counts, the late
            one where only that fails. 'gain' of a vector or a raw matrix is its size, 'effect' of
            a vector the size of its update.
        since: First step at which an update is off.
        failed: Which of these failed.
        passed: Which did not, early or late.
        layer: Whether the gain is a layer's, with its multiplier, and not a bare size.
    """

    name: str
    role: str
    off: dict[str, float] = field(default_factory=dict)
    since: int = 0
    failed: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)
    layer: bool = False


def suspects_of(found: Sequence[Finding], rows: Mapping[str, PlanRow]) -> list[Suspect]:
    """Gather what is known of every parameter."""
    suspects: dict[str, Suspect] = {}
    for one in found:
        name = one.name if one.name in rows else f"{one.name}.weight"
        if name not in rows or one.quantity in ("change", "attention", "pull"):
            continue
        suspect = suspects.setdefault(name, Suspect(name, one.role))
        suspect.layer |= one.quantity == "gain"
        quantity = OF_VECTORS.get(one.quantity, one.quantity)
        if one.outcome != "fail":
            suspect.passed.add(quantity)
            suspect.off.setdefault(quantity, first_off(one))
            continue
        if quantity not in suspect.failed:
            suspect.off[quantity] = first_off(one)
            if quantity == "effect":
                suspect.since = since(one)
        suspect.failed.add(quantity)
    return list(suspects.values())


def first_off(one: Finding) -> float:
    """Give by how much it is off when it starts: later the fault has spread."""
    slope = one.by_step[since(one)]
    return one.off if slope is None else slope - one.expected


def since(one: Finding) -> int:
    """Find the first step from which on the exponent is off, to the side that it is judged for."""
    side = math.copysign(1.0, one.off)
    far = [x is not None and side * (x - one.expected) > TOLERANCE for x in one.by_step]
    start, end = one.steps
    first = next((step for step in range(start, end + 1) if far[step]), start)
    while first > 0 and far[first - 1]:
        first -= 1
    return first


def causes_of(suspect: Suspect, row: PlanRow, declared: Declared) -> list[Cause]:
    """Name the rules that are broken, and by which power of width.

    Where a parameter's rules are broken others' sizes follow, and may hide that its own are: what
    can be read is told of all that is trained.
    """
    gradient = update_of(row) is Update.GRADIENT
    is_trained = bool({"effect", "step", "update"} & suspect.off.keys())
    settled: list[Cause] = []
    if declared.knows_rate(suspect.name) and is_trained:
        settled = _settled(suspect, declared, twice=gradient)
    if not settled and suspect.failed and suspect.since:
        settled = _overwritten(suspect, declared)
    eps_matters = declared.eps_share(suspect.name) > EPS_MATTERS
    return settled or _by_pattern(suspect, gradient=gradient, eps_matters=eps_matters)


def _settled(suspect: Suspect, declared: Declared, *, twice: bool) -> list[Cause]:
    """Tell init, multiplier and rate apart where weights and rates can be read.

    The gain of a fresh layer is off by what its init and its multiplier are off, and an init shows
    in the weights. But A·W with a multiplier m and an init i trains like one with m·θ, i/θ and a
    rate/θ (θ² under SGD): so the rule is taken in the form that was declared, or with the
    multiplier that is there, whichever leaves fewer faults.
    """
    rate = declared.off("rate", suspect.name)
    if suspect.role in (Role.VECTOR, Role.FIXED):
        init, multiplier = suspect.off["gain"] if "gain" in suspect.failed else 0.0, 0.0
    elif suspect.layer:
        init = declared.off("init", suspect.name)
        multiplier = suspect.off["gain"] - init
    elif suspect.failed:
        # Its multiplier is not seen; if init and rate are both off, one may make up for them.
        init = declared.off("init", suspect.name)
        both = init and rate
        multiplier = _clear_half((suspect.off.get("effect", rate) - rate) / (1 + twice))
        multiplier = multiplier if both else 0.0
    else:
        return []  # of a raw matrix that answers rightly we do not know the multiplier
    forms = []
    for shift in (0.0, -multiplier):
        shifted = (1 + twice) * shift
        hint = declared.hint("rate", suspect.name, shift=shifted)
        faults = (
            Cause("init", init - shift, certain=True),
            Cause("multiplier", multiplier + shift, certain=True),
            Cause("rate", rate - shifted, hint, certain=True),
        )
        forms.append([one for one in faults if abs(one.power) > TOLERANCE])
    return min(forms, key=len)


def _clear_half(power: float) -> float:
    """Round to a power of one half; what is near none is no multiplier, but follows from faults."""
    nearest = round(2 * power) / 2
    return nearest if abs(power - nearest) < CLEAR else 0.0


def _overwritten(suspect: Suspect, declared: Declared) -> list[Cause]:
    """Tell a rate that a scheduler has set wrongly since."""
    rate = declared.off("rate", suspect.name, late=True)
    hint = declared.hint("rate", suspect.name, late=True)
    hint += ": at first it was right, so look at the scheduler"
    return [Cause("rate", rate, hint, certain=True)] if rate else []


def _by_pattern(suspect: Suspect, *, gradient: bool, eps_matters: bool) -> list[Cause]:
    """Tell init, rate, multiplier and epsilon apart by which quantities they move.

    An init moves the gain, and the update against the weights the other way; a rate moves the
    effect and the update; a multiplier moves gain and effect alike and the update not. (Under
    SGD it moves the update too, and the effect twice.)
    """
    failed = suspect.failed
    gain = suspect.off["gain"] if "gain" in failed else 0.0
    effect = suspect.off["effect"] if "effect" in failed else 0.0
    if gain and suspect.role != Role.VECTOR:
        like_effect = abs(gain - effect) < NEAR or (
            "update" in suspect.passed and "update" not in failed
        )
        if effect / gain > 2 - NEAR if gradient else like_effect:
            return [Cause("multiplier", gain)]
    causes = [Cause("init", gain)] if gain else []
    if effect:
        causes.append(Cause("eps" if effect < 0 and eps_matters else "rate", effect))
    elif "update" in failed and not gain:
        causes.append(Cause("rate", suspect.off["update"]))
    return causes
