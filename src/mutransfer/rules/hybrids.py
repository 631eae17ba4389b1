"""This file is the sixteen hybrids between SP and µP, computed from their four switches."""

from __future__ import annotations

import re
from collections.abc import Set
from fractions import Fraction
from itertools import combinations

from mutransfer.rules.power import FAN_IN, FAN_OUT, HALF, ONE, Least, Power
from mutransfer.rules.roles import Role
from mutransfer.rules.sources import HYBRID_SWITCHES
from mutransfer.rules.tables import MUP, SP, Parametrization, Rates, Rule

SWITCHES = ("attn", "embd", "ln", "last")


def hybrid_name(on: Set[str]) -> str:
    """Name a hybrid after the fewer of its switches: those on over SP, or off under µP.

    Example:
        >>> hybrid_name({"embd"}), hybrid_name({"attn", "embd", "ln"}), hybrid_name(set(SWITCHES))
        ('sp+embd', 'mup-last', 'mup')
    """
    off = [switch for switch in SWITCHES if switch not in on]
    if len(off) < 2:
        return "-".join(["mup", *off])
    return "+".join(["sp", *(switch for switch in SWITCHES if switch in on)])


def switches_of(name: str) -> frozenset[str]:
    """Give the switches that are on in one of the sixteen.

    Example:
        >>> sorted(switches_of("mup-last"))
        ['attn', 'embd', 'ln']
    """
    named = frozenset(named_in(name))
    return frozenset(SWITCHES) - named if name.startswith("mup") else named


def named_in(name: str) -> tuple[str, ...]:
    """Give the switches that a name speaks of; none for a name that is no hybrid's.

    Example:
        >>> named_in("sp+embd+ln"), named_in("mup-attn"), named_in("mfp")
        (('embd', 'ln'), ('attn',), ())
    """
    spoken = re.split(r"[+-]", name)[1:] if name in HYBRIDS else []
    return tuple(switch for switch in SWITCHES if switch in spoken)


def without(name: str, idle: Set[str]) -> str:
    """Leave switches out of a name.

    Example:
        >>> without("sp+attn+embd", {"attn"}), without("mup-attn", {"attn"})
        ('sp+embd', 'mup')
    """
    for switch in idle:
        name = name.replace(f"+{switch}", "").replace(f"-{switch}", "")
    return name


def hybrid(on: Set[str]) -> Parametrization:
    """Give the table between SP and µP in which these switches are as in µP.

    Relative to the hidden rate, `embd` and `ln` multiply the embeddings' and the vectors' rate
    (norm gains, and biases if there are any) by the width ratio r; `attn` divides attention
    logits by d instead of √d; `last` gives the readout the init r^-1 instead of r^-1/2. Names
    with `embd` on are in µP's gauge: all rates × 1/r, so that the embedding has the user's own.
    A gauge moves the best rate by a known power of width and changes nothing else, unless decay
    is tied to the rate of the gauge (`constant-product`): compare hybrids with λ = 0, or with
    `independent`, as the paper's decay is.

    Args:
        on: Which of 'attn', 'embd', 'ln', 'last' are as in µP.

    Source:
        arXiv:2605.21486, abstract, for `embd`; `ln`, `attn`, `last` are reconstructed from the
        labels of its released page. Published for AdamW; other columns are derived so that
        both corners are the tables `sp` and `mup`.

    Example:
        >>> rules = hybrid({"embd"}).rules
        >>> print(rules[Role.INPUT].rates.entrywise, rules[Role.HIDDEN].rates.entrywise)
        1 fan_in^-1
    """
    embd, ln, last = ("embd" in on, "ln" in on, "last" in on)
    matrix = FAN_IN**-1 if embd else ONE
    vector = ONE if embd == ln else FAN_OUT if ln else FAN_OUT**-1
    # The gradient follows the readout's init. With SP's, epsilon is left alone as in `sp`.
    size = {role: rule.eps if last else ONE for role, rule in MUP.rules.items()}
    size[Role.OUTPUT] = ONE
    readout = FAN_IN**-1 if last else FAN_IN**-HALF
    rules = {
        Role.INPUT: _rule(Role.INPUT, ONE, ONE, size, last=last),
        Role.VECTOR: _rule(Role.VECTOR, ONE, vector, size, last=last),
        Role.FIXED: MUP.rules[Role.FIXED],
    }
    for role in (Role.HIDDEN, Role.OUTPUT, Role.BOTTLENECK):
        init = readout if role is Role.OUTPUT else FAN_IN**-HALF
        rules[role] = _rule(role, init, matrix, size, last=last, mup_gauge=embd)
    name = hybrid_name(on)
    shown = ", ".join(switch for switch in SWITCHES if switch in on) or "none"
    return Parametrization(
        name=name,
        title=f"between SP and µP; as in µP: {shown} (rates in {'µP' if embd else 'SP'}'s gauge)",
        form="no multipliers",
        source=(HYBRID_SWITCHES.place("four switches; ln, attn, last reconstructed"),),
        rules={role: rules[role] for role in Role},
        attention=Fraction(-1) if "attn" in on else -HALF,
    )


def _rule(
    role: Role,
    init: Power,
    rate: Power,
    size: dict[Role, Power | Least],
    *,
    last: bool,
    mup_gauge: bool = True,
) -> Rule:
    """Fill one line from its init and entrywise rate [derived but for AdamW's columns]."""
    # In SP's gauge one relative rate, like one spectral rate, stands for the hidden weights'.
    relative = rate / init if mup_gauge else rate * FAN_IN**-HALF / init
    gradient = rate * FAN_OUT if last and role is not Role.OUTPUT else rate
    spectral = (MUP if mup_gauge else SP).rules[role].rates.spectral
    return Rule(ONE, init, Rates(rate, gradient, spectral, relative), size[role])


HYBRIDS = {
    table.name: table
    for count in range(len(SWITCHES) + 1)
    for table in (hybrid(set(on)) for on in combinations(SWITCHES, count))
}
"""All sixteen by name, from SP to µP. The two corners are the tables `sp` and `mup`."""
