"""abc-symmetry: equivalent forms of a rule, which differ in where they put a factor of width."""

from __future__ import annotations

from dataclasses import replace

from mutransfer.errors import RuleError
from mutransfer.rules.power import ONE, Power
from mutransfer.rules.registry import PARAMETRIZATIONS
from mutransfer.rules.tables import Parametrization, Rates, Rule

WITHOUT_MULTIPLIERS = ("table-3", "no multipliers")
AS_PUBLISHED = ("table-8", "published")


def shift(rule: Rule, theta: Power) -> Rule:
    """Multiply the forward multiplier by θ and adjust the rest so that training is unchanged.

    Weights shrink by θ and gradients grow by θ. So the rate shrinks by θ if steps are entrywise or
    orthogonalized, by θ² if they are proportional to the gradient, and not at all if they are
    proportional to the weight; epsilon grows with the gradient.

    Source:
        Tensor Programs V, arXiv:2203.03466, Lemma J.1; eps derived from the same argument.

    Example:
        >>> from mutransfer.rules.power import FAN_IN
        >>> from mutransfer.rules.roles import Role
        >>> from mutransfer.rules.tables import MUP
        >>> print(shift(MUP.rules[Role.OUTPUT], FAN_IN).rates.gradient)
        fan_in^-1
    """
    if theta == ONE:
        return rule
    spectral = rule.rates.spectral
    return Rule(
        multiplier=rule.multiplier * theta,
        init_std=rule.init_std / theta,
        rates=Rates(
            entrywise=rule.rates.entrywise / theta,
            gradient=rule.rates.gradient / theta**2,
            spectral=None if spectral is None else spectral / theta,
            relative=rule.rates.relative,
        ),
        eps=rule.eps * theta,
    )


def from_start(rule: Rule, start: Power) -> Rule:
    """Return the rule of a parameter that starts at a power of width, as a learned scale may.

    Such a scale s is a constant multiplier of that size times a parameter that starts at one:
    s = start · t. The rule is that of t in the form without the multiplier.

    Example:
        >>> from mutransfer.rules.power import FAN_IN, HALF
        >>> from mutransfer.rules.roles import Role
        >>> from mutransfer.rules.tables import MUP
        >>> print(from_start(MUP.rules[Role.FIXED], FAN_IN**HALF).rates.gradient)
        fan_in
    """
    return replace(shift(rule, ONE / start), multiplier=rule.multiplier)


def without_multiplier(rule: Rule) -> Rule:
    """Return the equivalent rule whose layer needs no forward multiplier.

    Example:
        >>> from mutransfer.rules.roles import Role
        >>> from mutransfer.rules.tables import MUP
        >>> print(without_multiplier(MUP.rules[Role.OUTPUT]).init_std)
        fan_in^-1
    """
    return shift(rule, ONE / rule.multiplier)


def in_form(table: Parametrization, form: str) -> Parametrization:
    """Return a table in another of its equivalent forms.

    Args:
        table: A parametrization in any form.
        form: 'table-3' or 'no multipliers', which leaves the model's forward pass alone;
            'table-8' or 'published', with the multipliers that the source prints. The first
            names are those of µP's two forms, the second those of other tables.

    Raises:
        RuleError: There is no such form.

    Source:
        Tensor Programs V, arXiv:2203.03466, Tables 3 and 8.

    Example:
        >>> from mutransfer.rules.tables import NTK
        >>> plain = in_form(NTK, "table-3")
        >>> plain.form, in_form(plain, "published") == NTK
        ('no multipliers', True)
    """
    if form not in WITHOUT_MULTIPLIERS + AS_PUBLISHED:
        raise RuleError(
            f"there is no form '{form}'",
            why="gradient clipping and the size of weights depend on the form, so a plan names it",
            fix="write form='table-3' (no multipliers) or form='table-8'",
        )
    published = PARAMETRIZATIONS.get(table.name, table)
    if form in AS_PUBLISHED:
        multipliers = {role: rule.multiplier for role, rule in published.rules.items()}
        name = published.form
    else:
        multipliers = dict.fromkeys(table.rules, ONE)
        name = "table-3" if published.form == "table-8" else "no multipliers"
    if all(rule.multiplier == multipliers[role] for role, rule in table.rules.items()):
        return table  # already in that form; tables without multipliers have one form only
    rules = {
        role: shift(rule, multipliers[role] / rule.multiplier) for role, rule in table.rules.items()
    }
    return replace(table, form=name, rules=rules)
