"""This file is diagnosis: which rule is broken, told from which quantities are off."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mutransfer.coordcheck.late import EPS_SEEN, eps_share, set_at
from mutransfer.coordcheck.optimizers import update_of
from mutransfer.coordcheck.probes import Key
from mutransfer.coordcheck.result import Diagnosis, Fault, Finding
from mutransfer.coordcheck.runs import Floats
from mutransfer.coordcheck.verdict import TOLERANCE
from mutransfer.rules import OPTIMIZERS, Plan, PlanRow, Role, Update

NEAR = 0.2  # of powers that count as the same
EPS_MATTERS = 0.3  # epsilon over the gradient's size, at the widest
UPDATES = ("rate", "eps", "not known")  # faults that need not show from the start
AT_START = ("gain", "size", "pull")  # what is wrong from the start
OF_VECTORS = {"size": "gain", "step": "effect"}  # what a vector has instead


@dataclass(slots=True)
class _Suspect:
    """What is off about one parameter.

    Args:
        name: The parameter.
        role: Its role.
        gain: By how much its layer's first output is off; of a vector, its first size.
        effect: By how much an update's effect is off; of a vector, the update's size.
        update: By how much updates are off against the weights.
        since: First step at which an update is off.
        failed: Which of these failed.
        passed: Which did not, early or late.
    """

    name: str
    role: str
    gain: float = 0.0
    effect: float = 0.0
    update: float = 0.0
    since: int = 0
    failed: set[str] = field(default_factory=set)
    passed: set[str] = field(default_factory=set)


def diagnose(
    found: Sequence[Finding],
    read: Mapping[Key, Floats],
    widths: tuple[int, ...],
    rows: Mapping[str, PlanRow],
    comparable: Plan | None,
    *,
    own: bool,
) -> tuple[Diagnosis, ...]:
    """Name the broken rules; parameters with the same fault are told together.

    In an implementation of the user's own there is no plan's line to look at.

    Args:
        found: What was judged.
        read: What was measured.
        widths: Where.
        rows: What each parameter is.
        comparable: The plan whose rates and epsilons are those of a correct rule, if they can be
            compared with the optimizer's.
        own: Whether this is an implementation of the user's own.
    """
    rules = {} if comparable is None else {row.name: row for row in comparable.rows}
    starts = [one for one in found if one.outcome == "fail" and one.quantity in AT_START]
    told: dict[tuple[Fault, str, float], list[tuple[_Suspect, str]]] = {}
    for suspect in _suspects(found, rows).values():
        name = suspect.name
        # Under SGD a multiplier enters an update twice: in the output, and in the gradient.
        square = update_of(rows[name]) is Update.GRADIENT
        for found_fault, power in _faults(suspect, read, square):
            rule, fault = rules.get(name), found_fault
            late = suspect.since > 0
            hint = _declared(fault, rule, read, widths, late=late)
            eps_hint = _declared("eps", rule, read, widths, late=late)
            if fault == "rate" and not hint and eps_hint and eps_share(name, read) > EPS_SEEN:
                fault, hint = "eps", eps_hint
            if fault in ("rate", "eps") and starts and not hint:
                continue  # follows from sizes that were wrong from the start
            known = rule is not None and rule.optimizer in OPTIMIZERS
            if fault == "rate" and not hint and known and ("set lr", name) in read:
                fault = "not known"
            key = fault, suspect.role, round(2 * power) / 2
            told.setdefault(key, []).append((suspect, hint))
    began = min((suspect.since for members in told.values() for suspect, _ in members), default=0)
    parts = [
        Diagnosis(
            fault=fault,
            role=role,
            names=tuple(suspect.name for suspect, _ in members),
            power=power,
            since=min(suspect.since for suspect, _ in members),
            text=_text(fault, role, power, members, own=own),
        )
        for (fault, role, power), members in told.items()
        # What goes wrong later follows from what went wrong first: a network that blows up
        # stops answering to its other updates.
        if min(suspect.since for suspect, _ in members) == began
    ]
    parts += _of_the_readout(starts)
    return (*parts, *_of_attention(found), *_of_the_rest(found, bool(parts)))


def _suspects(found: Sequence[Finding], rows: Mapping[str, PlanRow]) -> dict[str, _Suspect]:
    """Gather what is off, by parameter; the latest window counts where the early one is fine."""
    suspects: dict[str, _Suspect] = {}
    for one in found:
        name = one.name if one.name in rows else f"{one.name}.weight"
        if name not in rows or one.quantity in ("change", "attention", "pull"):
            continue
        suspect = suspects.setdefault(name, _Suspect(name, one.role))
        if one.outcome != "fail":
            suspect.passed.add(one.quantity)
            continue
        attribute = OF_VECTORS.get(one.quantity, one.quantity)
        if attribute not in suspect.failed:
            setattr(suspect, attribute, _first_off(one))
            if attribute == "effect":
                suspect.since = _since(one)
        suspect.failed.add(attribute)
    return {name: one for name, one in suspects.items() if one.failed}


def _first_off(one: Finding) -> float:
    """Give by how much it is off when it starts: later the fault has spread."""
    slope = one.by_step[_since(one)]
    return one.off if slope is None else slope - one.expected


def _since(one: Finding) -> int:
    """Find the first step from which on the exponent is off, to the side that it is judged for."""
    side = math.copysign(1.0, one.off)
    far = [x is not None and side * (x - one.expected) > TOLERANCE for x in one.by_step]
    start, end = one.steps
    first = next((step for step in range(start, end + 1) if far[step]), start)
    while first > 0 and far[first - 1]:
        first -= 1
    return first


def _faults(
    suspect: _Suspect, read: Mapping[Key, Floats], square: bool
) -> list[tuple[Fault, float]]:
    """Tell init, rate, multiplier and epsilon apart by which quantities they move.

    An init moves the gain, and the update against the weights the other way; a rate moves the
    effect and the update; a multiplier moves gain and effect alike and the update not. (Under
    SGD it moves the update too, and the effect twice.)
    """
    gain, effect = suspect.gain, suspect.effect
    if "gain" in suspect.failed and suspect.role != Role.VECTOR:
        like_effect = abs(gain - effect) < NEAR or (
            "update" in suspect.passed and "update" not in suspect.failed
        )
        if effect / gain > 2 - NEAR if square else like_effect:
            return [("multiplier", gain)]
    faults: list[tuple[Fault, float]] = []
    if "gain" in suspect.failed:
        faults.append(("init", gain))
    if effect:
        shrinks = effect < 0 and eps_share(suspect.name, read) > EPS_MATTERS
        faults.append(("eps" if shrinks else "rate", effect))
    elif "update" in suspect.failed and "gain" not in suspect.failed:
        faults.append(("rate", suspect.update))
    return faults


def _declared(
    fault: Fault,
    rule: PlanRow | None,
    read: Mapping[Key, Floats],
    widths: tuple[int, ...],
    *,
    late: bool,
) -> str:
    """Say what the optimizer was told, against what the rule says, as powers of width."""
    if rule is None or rule.optimizer not in OPTIMIZERS:
        return ""
    factor = {"rate": rule.lr_factor, "eps": rule.eps_factor}.get(fault)
    powers = _powers(fault, rule, factor, read, widths, late=late)
    if powers is None:
        return ""
    own, wanted = powers
    name = {"rate": "rate", "eps": "epsilon"}[fault]
    return f"its {name} goes as width^{own:+.2g}, the rule as width^{wanted:+.2g}"


def _powers(
    fault: Fault,
    row: PlanRow,
    factor: float | None,
    read: Mapping[Key, Floats],
    widths: tuple[int, ...],
    *,
    late: bool = False,
) -> tuple[float, float] | None:
    """Give the powers of width of a setting and of its rule; None where they are the same."""
    setting = {"rate": "lr", "eps": "eps", "decay": "weight_decay"}.get(fault)
    values = read.get((f"set {setting}", row.name)) if setting else None
    if values is None or factor is None:
        return None
    first, last = set_at(values, late=late)
    if first <= 0 or last <= 0:
        return None
    octaves = np.log2(widths[-1] / widths[0])
    # The plan's ratio is from the base, which may be below the smallest width.
    grown = float(max(row.r_in, row.r_out))
    wanted = np.log2(factor) / (np.log2(grown) if grown > 1 else octaves)
    own = np.log2(last / first) / octaves
    return None if abs(own - wanted) < NEAR else (own, wanted)


def notes(read: Mapping[Key, Floats], widths: tuple[int, ...], plan: Plan) -> tuple[Diagnosis, ...]:
    """Tell a decay whose product with the rate changes with width.

    It can be meant, and a few steps do not show what it does: the outcome stays as it is.
    """
    told: dict[tuple[str, float, float], list[str]] = {}
    for row in plan.rows:
        powers = _powers("decay", row, float(row.decay_factor), read, widths)
        if powers is not None:
            own, wanted = (round(2 * power) / 2 for power in powers)
            told.setdefault((str(row.role), own, wanted), []).append(row.name)
    return tuple(
        Diagnosis(
            fault="decay",
            role=role,
            names=tuple(names),
            power=own - wanted,
            since=0,
            text=f"weight decay of {role} parameters goes as width^{own:+g}; a step removes the "
            f"same share of them at every width where it goes as width^{wanted:+g}: look at "
            f"decay_factor of '{names[0]}'",
        )
        for (role, own, wanted), names in told.items()
    )


LINES: Mapping[Fault, tuple[str, str]] = {
    "init": ("init_factor", "the init"),
    "rate": ("lr_factor", "the rate"),
    "multiplier": ("multiplier", "the multiplier"),
    "eps": ("eps_factor", "epsilon"),
}


def _text(
    fault: Fault,
    role: str,
    power: float,
    members: Sequence[tuple[_Suspect, str]],
    *,
    own: bool,
) -> str:
    """Say what is broken, and where to look."""
    direction = "too large" if power > 0 else "too small"
    first, hint = members[0]
    names = first.name if len(members) == 1 else f"{first.name} and {len(members) - 1} more"
    what = {
        "init": f"the init of {role} weights is {direction}",
        "rate": f"the rate of {role} parameters is {direction}",
        "multiplier": f"the multiplier of {role} layers is {direction}, or their init and rate are",
        "eps": f"epsilon stops {role} parameters: it must shrink as their gradients do",
        "not known": f"updates of {role} parameters are {direction}, though their rate goes as "
        "the rule says,",
    }[fault]
    since = f", from step {first.since + 1} on" if first.since and fault in UPDATES else ""
    look_at = LINES.get(fault, ("the forward pass",) * 2)[own]
    line = f"look at {look_at} of '{first.name}'"
    said = f"; {hint}" if hint else ""
    return f"{what} by width^{power:+g}{since} ({names}): {line}{said}"


def _of_attention(found: Sequence[Finding]) -> list[Diagnosis]:
    """Report attention logits that keep the wrong size."""
    wrong = [one for one in found if one.quantity == "attention" and one.outcome == "fail"]
    wrong = [one for one in wrong if one.steps[0] == 0 and one.expected == -0.5]
    if not wrong:
        return []
    off = wrong[0].off
    starts = [one.off for one in found if one.quantity in AT_START and one.outcome == "fail"]
    if any(start * off > 0 and abs(off) < 2 * abs(start) + NEAR for start in starts):
        return []  # queries and keys of a wrong size, each
    power = round(2 * off) / 2
    text = (
        f"attention logits go as width^{wrong[0].slope:+.2g} at init where heads grow: scale them "
        "by 1/d_head, not by 1/sqrt(d_head)"
    )
    return [Diagnosis("attention scale", "", tuple(one.name for one in wrong), power, 0, text)]


def _of_the_readout(starts: Sequence[Finding]) -> list[Diagnosis]:
    """Report a readout that is no layer of its own, by the gradient that comes out of it."""
    for one in starts:
        if one.quantity != "pull":
            continue
        tables = [start.off for start in starts if start.role == "input"]
        if any(abs(off - one.off) < NEAR for off in tables):
            return []  # the shared table's init
        power = round(2 * one.off) / 2
        text = (
            f"the gradient behind the readout ({one.name}) goes as width^{one.slope:+.2g}, in µP "
            "as width^-1: look at the readout's multiplier, 1/width where it shares the "
            "embedding's table"
        )
        return [Diagnosis("multiplier", "output", (one.name,), power, 0, text)]
    return []


def _of_the_rest(found: Sequence[Finding], explained: bool) -> list[Diagnosis]:
    """Report changes that no parameter's rule explains."""
    wrong = [one for one in found if one.outcome == "fail" and one.quantity == "change"]
    if explained or not wrong:
        return []
    one = wrong[0]
    text = (
        f"outputs of {one.name} change as width^{one.slope:+.2g} though every parameter's own rule "
        "holds: look at forward multipliers, residual scales and attention"
    )
    return [Diagnosis("not known", "", tuple(w.name for w in wrong), one.off, one.steps[0], text)]
