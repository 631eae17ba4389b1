"""Causes: from the deviating exponents of one parameter to the rules that explain them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mutransfer.coordcheck.diagnosis.settings import SAME_POWER, ObservedSettings
from mutransfer.coordcheck.findings import Fault, Finding
from mutransfer.coordcheck.judgement.exponents import TOLERANCE
from mutransfer.coordcheck.runs.optimizers import update_of
from mutransfer.rules import PlanRow, Role, Update

NEAR_HALF = 0.15  # largest distance of a multiplier's power from a multiple of a half [assumed]
EPS_DOMINANT = 0.3  # epsilon over the gradient's size, at the largest width [assumed]
VECTOR_QUANTITIES = {"size": "gain", "step": "effect"}  # a vector's counterparts of a matrix's


@dataclass(frozen=True, slots=True)
class Cause:
    """A broken rule of one parameter, and the power of width by which it is off."""

    fault: Fault
    power: float
    hint: str = ""  # the optimizer's setting compared with the rule
    certain: bool = False  # it follows from weights and settings, not from a pattern of exponents
    stands_alone: bool = False  # no fault of another parameter has the same pattern


@dataclass(slots=True)
class Suspect:
    """The findings about one parameter, by quantity.

    A parameter without a layer has its own size as 'gain'; a vector has its update as 'effect'.
    """

    name: str
    role: str
    deviations: dict[str, float] = field(
        default_factory=dict
    )  # at the first steps, or at the last if only they fail
    since: int = 0  # first step at which the effect deviates
    failed: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)  # early or late
    has_layer_gain: bool = False  # measured at a layer's output, which includes its multiplier


def suspects(findings: Sequence[Finding], rows: Mapping[str, PlanRow]) -> list[Suspect]:
    """Collect the findings about every parameter."""
    by_name: dict[str, Suspect] = {}
    for finding in findings:
        name = finding.name if finding.name in rows else f"{finding.name}.weight"
        if name not in rows or finding.quantity in ("change", "attention", "pull", "stream"):
            continue
        suspect = by_name.setdefault(name, Suspect(name, finding.role))
        suspect.has_layer_gain |= finding.quantity == "gain"
        quantity = VECTOR_QUANTITIES.get(finding.quantity, finding.quantity)
        if finding.outcome != "fail":
            suspect.passed.add(quantity)
            suspect.deviations.setdefault(quantity, _deviation_at_onset(finding))
            continue
        if quantity not in suspect.failed:
            suspect.deviations[quantity] = _deviation_at_onset(finding)
            if quantity == "effect":
                suspect.since = _onset(finding)
        suspect.failed.add(quantity)
    return list(by_name.values())


def _deviation_at_onset(finding: Finding) -> float:
    """Return the deviation at its onset, before the fault has spread to other parameters."""
    slope = finding.by_step[_onset(finding)]
    return finding.deviation if slope is None else slope - finding.expected


def _onset(finding: Finding) -> int:
    """Return the first of the consecutive steps at which the exponent deviates as the finding."""
    sign = math.copysign(1.0, finding.deviation)
    gaps = [0.0 if x is None else sign * (x - finding.expected) for x in finding.by_step]
    deviates = [gap > TOLERANCE for gap in gaps]
    start, end = finding.steps
    step = next((step for step in range(start, end + 1) if deviates[step]), start)
    while step > 0 and deviates[step - 1]:
        step -= 1
    return step


def causes(suspect: Suspect, row: PlanRow, settings: ObservedSettings) -> list[Cause]:
    """Return the broken rules of a parameter, each with its power of width.

    Settings are examined for every trained parameter, because the fault of one parameter changes
    the sizes of others and can hide theirs.
    """
    is_gradient = update_of(row) is Update.GRADIENT
    is_trained = bool({"effect", "step", "update"} & suspect.deviations.keys())
    certain: list[Cause] = []
    if settings.has_rate(suspect.name) and is_trained:
        certain = _causes_from_settings(suspect, settings, is_gradient)
    if not certain and suspect.failed and suspect.since:
        certain = _scheduler_causes(suspect, settings)
    if certain:
        return certain
    eps_dominates = settings.eps_ratio(suspect.name) > EPS_DOMINANT
    pattern = _causes_from_pattern(suspect, is_gradient, eps_dominates)
    stands_alone = _rate_stands_alone(suspect, settings)
    return [
        replace(cause, stands_alone=stands_alone) if cause.fault == "rate" else cause
        for cause in pattern
    ]


def _rate_stands_alone(suspect: Suspect, settings: ObservedSettings) -> bool:
    """Return whether a wrong rate alone explains the updates, whatever is wrong elsewhere.

    The size of an update that does not follow the gradient depends on the parameter's own rate
    only. Where the effect of the update deviates by the same power, at all steps, so does the rate.
    """
    always = suspect.failed - suspect.passed
    if settings.has_rate(suspect.name) or settings.may_follow_gradient(suspect.name):
        return False
    if "update" not in suspect.deviations:  # a vector, whose step is its effect
        return suspect.role == Role.VECTOR and "effect" in always
    # A wrong init of the parameter itself changes its update, which is relative to the weights.
    init = suspect.deviations["gain"] if "gain" in suspect.failed else 0.0
    power = suspect.deviations["update"] + init
    effect = suspect.deviations.get("effect", power)
    is_tested = "effect" in always or ("effect" not in suspect.deviations and "update" in always)
    return is_tested and abs(power) > TOLERANCE and abs(effect - power) < SAME_POWER


def _causes_from_settings(
    suspect: Suspect, settings: ObservedSettings, is_gradient: bool
) -> list[Cause]:
    """Distinguish init, multiplier and rate where weights and rates can be read."""
    # The gain of a fresh layer deviates by its init and its multiplier together, and the weights
    # show the init. Multiplying the multiplier by θ and dividing init and rate by θ (by θ² under
    # SGD) leaves training unchanged. So faults are listed for the declared form and for the form
    # with the actual multiplier, and the form with fewer faults is reported.
    rate = settings.deviation("rate", suspect.name)
    if suspect.role in (Role.VECTOR, Role.FIXED):
        init = suspect.deviations["gain"] if "gain" in suspect.failed else 0.0
        multiplier = 0.0
    elif suspect.has_layer_gain:
        init = settings.deviation("init", suspect.name)
        multiplier = suspect.deviations["gain"] - init
    elif suspect.failed:
        # The multiplier of a raw matrix is not observed. It is inferred only if init and rate both
        # deviate, because it may compensate for them.
        init = settings.deviation("init", suspect.name)
        effect = suspect.deviations.get("effect", rate)
        multiplier = _nearest_half((effect - rate) / (1 + is_gradient)) if init and rate else 0.0
    else:
        return []  # the multiplier of a raw matrix cannot be observed, and nothing failed
    forms = []
    for shift in (0.0, -multiplier):
        rate_shift = (1 + is_gradient) * shift
        hint = settings.hint("rate", suspect.name, shift=rate_shift)
        candidates = (
            Cause("init", init - shift, certain=True),
            Cause("multiplier", multiplier + shift, certain=True),
            Cause("rate", rate - rate_shift, hint, certain=True),
        )
        forms.append([cause for cause in candidates if abs(cause.power) > TOLERANCE])
    return min(forms, key=len)


def _nearest_half(power: float) -> float:
    """Round to a multiple of 1/2, the powers of real multipliers; return 0 if none is near."""
    nearest = round(2 * power) / 2
    return nearest if abs(power - nearest) < NEAR_HALF else 0.0


def _scheduler_causes(suspect: Suspect, settings: ObservedSettings) -> list[Cause]:
    """Return the rate as cause if it is wrong at the last steps only."""
    rate = settings.deviation("rate", suspect.name, late=True)
    hint = settings.hint("rate", suspect.name, late=True)
    hint += ": at first it was right, so look at the scheduler"
    return [Cause("rate", rate, hint, certain=True)] if rate else []


def _causes_from_pattern(suspect: Suspect, is_gradient: bool, eps_dominates: bool) -> list[Cause]:
    """Distinguish init, rate, multiplier and epsilon by the quantities that deviate."""
    # A wrong init changes the gain, and the update over the weights in the opposite direction. A
    # wrong rate changes effect and update. A wrong multiplier changes gain and effect equally, and
    # not the update; under SGD it also changes the update, and the effect twice as much.
    failed = suspect.failed
    gain = suspect.deviations["gain"] if "gain" in failed else 0.0
    effect = suspect.deviations["effect"] if "effect" in failed else 0.0
    if gain and suspect.role != Role.VECTOR:
        update_is_right = "update" in suspect.passed and "update" not in failed
        is_multiplier = abs(gain - effect) < SAME_POWER or update_is_right
        if is_gradient:
            is_multiplier = effect / gain > 2 - SAME_POWER
        if is_multiplier:
            return [Cause("multiplier", gain)]
    pattern = [Cause("init", gain)] if gain else []
    if effect:
        pattern.append(Cause("eps" if effect < 0 and eps_dominates else "rate", effect))
    elif "update" in failed and not gain:
        pattern.append(Cause("rate", suspect.deviations["update"]))
    return pattern
