"""Sixteen hybrids between SP and µP, computed from their four switches."""

from __future__ import annotations

import re
from collections.abc import Set
from fractions import Fraction
from itertools import combinations

from mutransfer.rules.power import FAN_IN, FAN_OUT, HALF, ONE, Minimum, Power
from mutransfer.rules.roles import Role
from mutransfer.rules.sources import HYBRID_SWITCHES
from mutransfer.rules.tables import MUP, SP, Parametrization, Rates, Rule

SWITCHES = ("attn", "embd", "ln", "last")


def hybrid_name(on: Set[str]) -> str:
    """Return the name of a hybrid: SP plus the switches that are on, or µP minus those off.

    Example:
        >>> hybrid_name({"embd"}), hybrid_name({"attn", "embd", "ln"}), hybrid_name(set(SWITCHES))
        ('sp+embd', 'mup-last', 'mup')
    """
    off = [switch for switch in SWITCHES if switch not in on]
    if len(off) < 2:  # as in the labels of the published results
        return "-".join(["mup", *off])
    return "+".join(["sp", *(switch for switch in SWITCHES if switch in on)])


def switches_of(name: str) -> frozenset[str]:
    """Return the switches that are on in a hybrid.

    Example:
        >>> sorted(switches_of("mup-last"))
        ['attn', 'embd', 'ln']
    """
    switches = frozenset(switches_in_name(name))
    return frozenset(SWITCHES) - switches if name.startswith("mup") else switches


def switches_in_name(name: str) -> tuple[str, ...]:
    """Return the switches that occur in the name of a hybrid; none for other names.

    Example:
        >>> switches_in_name("sp+embd+ln"), switches_in_name("mup-attn"), switches_in_name("mfp")
        (('embd', 'ln'), ('attn',), ())
    """
    parts = re.split(r"[+-]", name)[1:] if name in HYBRIDS else []
    return tuple(switch for switch in SWITCHES if switch in parts)


def remove_switches(name: str, switches: Set[str]) -> str:
    """Return the name of a hybrid without some of its switches.

    Example:
        >>> remove_switches("sp+attn+embd", {"attn"}), remove_switches("mup-attn", {"attn"})
        ('sp+embd', 'mup')
    """
    for switch in switches:
        name = name.replace(f"+{switch}", "").replace(f"-{switch}", "")
    return name


def hybrid(on: Set[str]) -> Parametrization:
    """Return the table between SP and µP in which some switches are as in µP.

    Relative to the hidden rate, `embd` and `ln` multiply the rate of embeddings and of vectors
    (norm gains, and biases if there are any) by the width ratio r; `attn` divides attention
    logits by d instead of √d; `last` gives the readout the init r^-1 instead of r^-1/2. Names
    with `embd` on are in µP's gauge: all rates × 1/r, so that the embedding trains at the user's
    own rate. A gauge moves the best rate by a known power of width and changes nothing else,
    unless decay is tied to the rate of the gauge (`constant-product`): compare hybrids with
    λ = 0, or with `independent` decay, as in the paper.

    Args:
        on: Which of 'attn', 'embd', 'ln', 'last' are as in µP.

    Source:
        arXiv:2605.21486: `embd` is in the abstract; `ln`, `attn` and `last` are reconstructed
        from the labels of the page released with it. Published for AdamW; the other columns are
        derived so that both corners are the tables `sp` and `mup`.

    Example:
        >>> rules = hybrid({"embd"}).rules
        >>> print(rules[Role.INPUT].rates.entrywise, rules[Role.HIDDEN].rates.entrywise)
        1 fan_in^-1
    """
    embd, ln, last = ("embd" in on, "ln" in on, "last" in on)
    matrix = FAN_IN**-1 if embd else ONE
    vector = ONE if embd == ln else FAN_OUT if ln else FAN_OUT**-1
    # Gradients scale with the readout's init, and epsilon with them; with SP's init it stays 1,
    # as in the table `sp`. The readout's own gradient does not depend on its init.
    eps = {role: rule.eps if last else ONE for role, rule in MUP.rules.items()}
    eps[Role.OUTPUT] = ONE
    readout = FAN_IN**-1 if last else FAN_IN**-HALF
    rules = {
        Role.INPUT: _rule(Role.INPUT, ONE, ONE, eps, last=last),
        Role.VECTOR: _rule(Role.VECTOR, ONE, vector, eps, last=last),
        Role.FIXED: MUP.rules[Role.FIXED],
    }
    for role in (Role.HIDDEN, Role.OUTPUT, Role.BOTTLENECK):
        init = readout if role is Role.OUTPUT else FAN_IN**-HALF
        rules[role] = _rule(role, init, matrix, eps, last=last, mup_gauge=embd)
    name = hybrid_name(on)
    as_in_mup = ", ".join(switch for switch in SWITCHES if switch in on) or "none"
    gauge = "µP" if embd else "SP"
    return Parametrization(
        name=name,
        title=f"between SP and µP; as in µP: {as_in_mup} (rates in {gauge}'s gauge)",
        form="no multipliers",
        source=(HYBRID_SWITCHES.at_place("four switches; ln, attn, last reconstructed"),),
        rules={role: rules[role] for role in Role},
        attention=Fraction(-1) if "attn" in on else -HALF,
    )


def _rule(
    role: Role,
    init: Power,
    rate: Power,
    eps: dict[Role, Power | Minimum],
    *,
    last: bool,
    mup_gauge: bool = True,
) -> Rule:
    """Return a rule from its init and entrywise rate; other columns than AdamW's are [derived]."""
    # SP has one relative and one spectral rate for all weights, so those of hidden weights are 1 in
    # its gauge: the factor FAN_IN^-1/2 cancels their init.
    relative = rate / init if mup_gauge else rate * FAN_IN**-HALF / init
    # With the smaller init of the readout, gradients before it are smaller by FAN_OUT.
    gradient = rate * FAN_OUT if last and role is not Role.OUTPUT else rate
    spectral = (MUP if mup_gauge else SP).rules[role].rates.spectral
    return Rule(ONE, init, Rates(rate, gradient, spectral, relative), eps[role])


HYBRIDS = {
    table.name: table
    for count in range(len(SWITCHES) + 1)
    for table in (hybrid(set(on)) for on in combinations(SWITCHES, count))
}
"""All sixteen hybrids by name, from SP to µP; the two corners equal the tables `sp` and `mup`."""
