"""This file is the parametrizations, as the papers print them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mutransfer.errors import RuleError, nearest
from mutransfer.rules.optimizers import Update
from mutransfer.rules.power import FAN_IN, FAN_OUT, HALF, ONE, Least, Power
from mutransfer.rules.roles import Role
from mutransfer.rules.sources import ALIGNMENT, OWN, SPECTRAL_CONDITION, TENSOR_PROGRAMS_V, Source


@dataclass(frozen=True, slots=True)
class Rates:
    """The learning-rate cells of one role, one per update family.

    `spectral` is None where an orthogonalised update is not defined (not a hidden matrix).
    """

    entrywise: Power
    gradient: Power
    spectral: Power | None
    relative: Power


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a table: how a layer that computes `multiplier · W · x` scales.

    Every cell is a power of ratios to the base shape; `init_std` is relative to the
    base model's own standard deviation.
    """

    multiplier: Power
    init_std: Power
    rates: Rates
    eps: Power | Least

    def lr(self, update: Update) -> Power | None:
        """Give the rate's cell for a family; None where there is no rule."""
        return {
            Update.ENTRYWISE: self.rates.entrywise,
            Update.GRADIENT: self.rates.gradient,
            Update.SPECTRAL: self.rates.spectral,
            Update.RELATIVE: self.rates.relative,
        }[update]


@dataclass(frozen=True, slots=True)
class Parametrization:
    """A table: one rule per role, in one of its equivalent forms.

    Args:
        name: As written in study files.
        title: What it is, in a few words.
        form: Which of the equivalent tables this is.
        source: Where it is printed.
        rules: One line per role.
        keeps_init: The model's own initialization stands, however it scales.
    """

    name: str
    title: str
    form: str
    source: tuple[Source, ...]
    rules: Mapping[Role, Rule]
    keeps_init: bool = False


# fmt: off
MUP = Parametrization(
    name="mup",
    title="maximal update parametrization (µP)",
    form="table-8",
    source=(TENSOR_PROGRAMS_V.place("Table 8"), SPECTRAL_CONDITION.place("spectral column")),
    rules={
        #                     multiplier   init std             entrywise   gradient          spectral                    relative           eps
        Role.INPUT:      Rule(ONE,         ONE,           Rates(ONE,        FAN_OUT,          None,                       ONE),              FAN_OUT**-1),
        Role.VECTOR:     Rule(ONE,         ONE,           Rates(ONE,        FAN_OUT,          None,                       ONE),              FAN_OUT**-1),
        Role.HIDDEN:     Rule(ONE,         FAN_IN**-HALF, Rates(FAN_IN**-1, FAN_OUT / FAN_IN, (FAN_OUT / FAN_IN)**HALF,   FAN_IN**-HALF),    Least(FAN_OUT**-1, (FAN_IN * FAN_OUT)**-HALF)),
        Role.OUTPUT:     Rule(FAN_IN**-1,  ONE,           Rates(ONE,        FAN_IN,           None,                       ONE),              FAN_IN**-1),
        Role.BOTTLENECK: Rule(ONE,         FAN_IN**-HALF, Rates(FAN_IN**-1, FAN_OUT / FAN_IN, (FAN_OUT / FAN_IN)**HALF,   FAN_IN**-HALF),    FAN_IN**-HALF),
        Role.FIXED:      Rule(ONE,         ONE,           Rates(ONE,        ONE,              ONE,                        ONE),              ONE),
    },
)

SP = Parametrization(
    name="sp",
    title="standard parametrization: fan-in init everywhere, one rate",
    form="no multipliers",
    source=(ALIGNMENT.place("standard parameterization, one global rate"),),
    rules={
        #                     multiplier   init std             entrywise   gradient   spectral   relative   eps
        Role.INPUT:      Rule(ONE,         ONE,           Rates(ONE,        ONE,       None,      ONE),      ONE),
        Role.VECTOR:     Rule(ONE,         ONE,           Rates(ONE,        ONE,       None,      ONE),      ONE),
        Role.HIDDEN:     Rule(ONE,         FAN_IN**-HALF, Rates(ONE,        ONE,       ONE,       ONE),      ONE),
        Role.OUTPUT:     Rule(ONE,         FAN_IN**-HALF, Rates(ONE,        ONE,       None,      ONE),      ONE),
        Role.BOTTLENECK: Rule(ONE,         FAN_IN**-HALF, Rates(ONE,        ONE,       ONE,       ONE),      ONE),
        Role.FIXED:      Rule(ONE,         ONE,           Rates(ONE,        ONE,       ONE,       ONE),      ONE),
    },
)
# fmt: on

NONE = Parametrization(
    name="none",
    title="the model as it is: its own init and rates, nothing scaled",
    form="no multipliers",
    source=(OWN,),
    rules={role: Rule(ONE, ONE, Rates(ONE, ONE, ONE, ONE), ONE) for role in Role},
    keeps_init=True,
)

PARAMETRIZATIONS = {table.name: table for table in (MUP, SP, NONE)}


def parametrization_named(name: str) -> Parametrization:
    """Look a parametrization up.

    Raises:
        RuleError: There is no such table.

    Example:
        >>> parametrization_named("mup").rules[Role.HIDDEN].rates.entrywise == FAN_IN**-1
        True
    """
    if name not in PARAMETRIZATIONS:
        raise RuleError(
            f"there is no parametrization '{name}'",
            why="a wrong name would train with the wrong rates",
            fix=f"{nearest(name, PARAMETRIZATIONS)}; `mutransfer rules` prints the tables",
        )
    return PARAMETRIZATIONS[name]
