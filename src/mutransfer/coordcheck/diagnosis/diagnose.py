"""This file is diagnosis: which rule is broken, told from which quantities are off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mutransfer.coordcheck.diagnosis.faults import Cause, Suspect, causes_of, suspects_of
from mutransfer.coordcheck.diagnosis.late_steps import EPS_SEEN
from mutransfer.coordcheck.diagnosis.settings import NEAR, Declared
from mutransfer.coordcheck.judgement.exponents import TOLERANCE, exponents
from mutransfer.coordcheck.result import Diagnosis, Fault, Finding
from mutransfer.coordcheck.runs.probes import Key
from mutransfer.coordcheck.runs.train import Floats
from mutransfer.rules import Plan, PlanRow

UPDATES = ("rate", "eps", "not known")  # faults that need not show from the start
AT_START = ("gain", "size", "pull")  # what is wrong from the start


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
        comparable: µP for these models with their init as it is, if what was checked can be
            compared with it.
        own: Whether this is an implementation of the user's own.
    """
    rules = {} if comparable is None else {row.name: row for row in comparable.rows}
    declared = Declared(read, widths, rules)
    starts = [one for one in found if one.outcome == "fail" and one.quantity in AT_START]
    told: dict[tuple[Fault, str, float], list[tuple[Suspect, str]]] = {}
    fails = any(one.outcome == "fail" for one in found)
    causes = [
        (suspect, cause)
        for suspect in (suspects_of(found, rows) if fails else ())
        for cause in causes_of(suspect, rows[suspect.name], declared)
    ]
    certain = {_key(suspect, cause) for suspect, cause in causes if cause.certain}
    for suspect, given in causes:
        cause = _with_hint(given, suspect, declared)
        if cause.fault in ("rate", "eps") and (starts or certain) and not cause.hint:
            continue  # follows from sizes that were wrong from the start, or from what was read
        if cause.fault == "rate" and not cause.hint and declared.knows_rate(suspect.name):
            cause = replace(cause, fault="not known")
        told.setdefault(_key(suspect, cause), []).append((suspect, cause.hint))
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
        if min(suspect.since for suspect, _ in members) == began or (fault, role, power) in certain
    ]
    parts += _of_the_readout(starts)
    return (*parts, *_of_attention(found), *_of_the_rest(found, bool(parts)))


def _key(suspect: Suspect, cause: Cause) -> tuple[Fault, str, float]:
    """Say which faults are told together."""
    return cause.fault, suspect.role, round(2 * cause.power) / 2


def _with_hint(cause: Cause, suspect: Suspect, declared: Declared) -> Cause:
    """Add what the optimizer was told: it may be epsilon that is wrong where the rate is right."""
    if cause.hint or cause.fault not in ("rate", "eps"):
        return cause
    name, late = suspect.name, suspect.since > 0
    hint, eps_hint = (declared.hint(what, name, late=late) for what in (cause.fault, "eps"))
    if cause.fault == "rate" and (hint or declared.eps_share(name) < EPS_SEEN or not eps_hint):
        return replace(cause, hint=hint)
    # A larger epsilon makes updates smaller; by how much fades, but the setting is known.
    power = -declared.off("eps", name, late=late) if eps_hint else cause.power
    return replace(cause, fault="eps", power=power, hint=eps_hint)


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
    members: Sequence[tuple[Suspect, str]],
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
        "eps": f"epsilon, which must shrink as gradients do, makes updates of {role} parameters "
        f"{direction}",
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
        f"attention logits go as width^{wrong[0].slope:+.2f} at init where heads grow: scale them "
        "by 1/d_head, not by 1/sqrt(d_head)"
    )
    return [Diagnosis("attention scale", "", tuple(one.name for one in wrong), power, 0, text)]


def product_notes(read: Mapping[Key, Floats], widths: tuple[int, ...]) -> tuple[Diagnosis, ...]:
    """Tell a product of two activations that sums over a growing axis, and no softmax follows.

    Whether it should shrink as attention logits do depends on what it is for.
    """
    told = []
    for (quantity, name), values_WST in read.items():
        summed = read.get(("summed", name))
        if quantity != "product" or summed is None or np.nanmin(summed) == np.nanmax(summed):
            continue
        slope = float(np.nanmean(exponents(values_WST, widths)[:, 0]))
        if abs(slope + 0.5) < TOLERANCE:
            continue
        text = (
            f"a product of two activations sums over an axis that grows, and goes as "
            f"width^{slope:+.2f} at init: attention logits would go as width^-0.5 (1/d_head); "
            "look at its scale"
        )
        told.append(Diagnosis("attention scale", "", (name,), round(2 * slope) / 2 + 0.5, 0, text))
    return tuple(told)


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
            f"the gradient behind the readout ({one.name}) goes as width^{one.slope:+.2f}, in µP "
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
        f"outputs of {one.name} change as width^{one.slope:+.2f} though every parameter's own rule "
        "holds: look at forward multipliers, residual scales and attention"
    )
    return [Diagnosis("not known", "", tuple(w.name for w in wrong), one.off, one.steps[0], text)]
