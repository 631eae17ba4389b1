"""This file is what is found late only: a rule's fault shows at once, a scheduler's does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mutransfer.coordcheck.diagnosis.settings import Declared, set_at
from mutransfer.coordcheck.result import Finding
from mutransfer.coordcheck.runs.probes import Key
from mutransfer.coordcheck.runs.train import Floats

CHANGED = 0.2  # power of width by which a rate is another than at the start
EPS_SEEN = 0.05  # epsilon over the gradient's size, at the widest
RISEN = 1.05  # last loss over the first


def doubted(found: Sequence[Finding], read: Mapping[Key, Floats]) -> tuple[Finding, ...]:
    """Leave open what fails late and not early, where nothing in the optimizer explains it.

    Init, multipliers and rates act from the first steps on. What starts later is a scheduler, an
    epsilon that gradients have sunk to, or a network that the rate drives apart.
    """
    early = earliest(found)
    names = {key[1] for key in read if key[0] == "set lr"}
    declared = Declared(read, (), {})
    any_changed = any(_changed(name, read) for name in names)
    judged = []
    for one in found:
        own = one.name in names
        explained = _changed(one.name, read) if own else any_changed
        explained = explained or (own and declared.eps_share(one.name) > EPS_SEEN)
        first = early[one.quantity, one.name]
        late_only = one.outcome == "fail" and first.outcome != "fail"
        judged.append(replace(one, outcome="undetermined") if late_only and not explained else one)
    return tuple(judged)


def earliest(found: Sequence[Finding]) -> dict[tuple[str, str], Finding]:
    """Give, of every quantity and name, what was found at the first steps."""
    return {(one.quantity, one.name): one for one in reversed(found)}


def is_doubted(one: Finding) -> bool:
    """Tell a finding that is off and was left open."""
    return one.outcome == "undetermined" and not (
        one.low <= one.expected + one.tolerance[1] and one.high >= one.expected - one.tolerance[0]
    )


def open_late(found: Sequence[Finding]) -> list[Finding]:
    """Give what is open at the last steps only, and passed at the first, or is off there."""
    early = earliest(found)
    return [
        one
        for one in found
        if is_doubted(one)
        or (one.outcome == "undetermined" and early[one.quantity, one.name].outcome == "pass")
    ]


def risen_loss(read: Mapping[Key, Floats], widths: Sequence[int]) -> str:
    """Say where the loss rose; nothing if it did not."""
    losses_WT = read["loss", ""].mean(axis=1)
    for width, losses_T in zip(widths, losses_WT, strict=True):
        if losses_T[-1] > RISEN * losses_T[0]:
            return f"the loss rose from {losses_T[0]:.3g} to {losses_T[-1]:.3g} at width {width}"
    return ""


def _changed(name: str, read: Mapping[Key, Floats]) -> bool:
    """Tell whether a parameter's rates stand in another ratio at the end."""
    ratios = []
    for late in (False, True):
        first, last = set_at(read["set lr", name], late=late)
        if first <= 0 or last <= 0:
            return False  # a warm-up's zero says nothing
        ratios.append(np.log2(last / first))
    return bool(abs(ratios[1] - ratios[0]) > CHANGED)
