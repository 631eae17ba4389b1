"""Rule tables of the published parametrizations, laid out as the papers print them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from mutransfer.rules.optimizers import Update
from mutransfer.rules.power import FAN_IN, FAN_OUT, HALF, ONE, Minimum, Power
from mutransfer.rules.roles import Role
from mutransfer.rules.sources import (
    ALIGNMENT,
    OWN,
    SPECTRAL_CONDITION,
    TENSOR_PROGRAMS_V,
    UNIT_SCALED,
    Source,
)


@dataclass(frozen=True, slots=True)
class Rates:
    """Learning-rate cells of one role, one per update family.

    `spectral` is None where an orthogonalized update is undefined: for all but hidden matrices.
    """

    entrywise: Power
    gradient: Power
    spectral: Power | None
    relative: Power


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of a table: how a layer that computes `multiplier · W · x` scales.

    Every cell is a power of ratios to the base shape; `init_std` is relative to the standard
    deviation in the base model.
    """

    multiplier: Power
    init_std: Power
    rates: Rates
    eps: Power | Minimum

    def lr(self, update: Update) -> Power | None:
        """Return the learning-rate cell of a family; None where there is no rule."""
        return {
            Update.ENTRYWISE: self.rates.entrywise,
            Update.GRADIENT: self.rates.gradient,
            Update.SPECTRAL: self.rates.spectral,
            Update.RELATIVE: self.rates.relative,
        }[update]


@dataclass(frozen=True, slots=True)
class Parametrization:
    """Rule table: one rule per role, in one of its equivalent forms.

    Args:
        name: Name in study files and `make_plan`.
        title: Description in a few words.
        form: Which of the equivalent tables this is.
        source: Where the table is printed.
        rules: One line per role.
        attention: Scale of the attention logits, as an exponent of the head width relative to
            the base; None for the model's own. Where heads widen and a forward pass was traced,
            the weights of the queries absorb the difference from the author's scale.
        keeps_init: Whether the model's own initialization stays, however it scales.
    """

    name: str
    title: str
    form: str
    source: tuple[Source, ...]
    rules: Mapping[Role, Rule]
    attention: Fraction | None
    keeps_init: bool = False


# fmt: off
MUP = Parametrization(
    name="mup",
    title="maximal update parametrization (µP)",
    form="table-8",
    source=(TENSOR_PROGRAMS_V.at_place("Table 8"), SPECTRAL_CONDITION.at_place("spectral column")),
    attention=Fraction(-1),
    rules={
        #                     multiplier   init std             entrywise   gradient          spectral                    relative           eps
        Role.INPUT:      Rule(ONE,         ONE,           Rates(ONE,        FAN_OUT,          None,                       ONE),              FAN_OUT**-1),
        Role.VECTOR:     Rule(ONE,         ONE,           Rates(ONE,        FAN_OUT,          None,                       ONE),              FAN_OUT**-1),  # biases and gains
        Role.HIDDEN:     Rule(ONE,         FAN_IN**-HALF, Rates(FAN_IN**-1, FAN_OUT / FAN_IN, (FAN_OUT / FAN_IN)**HALF,   FAN_IN**-HALF),    Minimum(FAN_OUT**-1, (FAN_IN * FAN_OUT)**-HALF)),
        Role.OUTPUT:     Rule(FAN_IN**-1,  ONE,           Rates(ONE,        FAN_IN,           None,                       ONE),              FAN_IN**-1),
        Role.BOTTLENECK: Rule(ONE,         FAN_IN**-HALF, Rates(FAN_IN**-1, FAN_OUT / FAN_IN, (FAN_OUT / FAN_IN)**HALF,   FAN_IN**-HALF),    FAN_IN**-HALF),
        Role.FIXED:      Rule(ONE,         ONE,           Rates(ONE,        ONE,              ONE,                        ONE),              ONE),
    },
)

# The relative column is written out: a rate of 1 everywhere is what SP means, although entrywise
# over init, which is the rule in the other tables, would give the square root of fan_in.
SP = Parametrization(
    name="sp",
    title="standard parametrization: fan-in init everywhere, one rate",
    form="no multipliers",
    source=(ALIGNMENT.at_place("standard parameterization, one global rate"),),
    attention=-HALF,
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

# Init, multipliers and entrywise rates are published as exponents of one width. The rest is
# [derived]: how they split between fan-in and fan-out; eps, the size of the gradient at init; the
# gradient rate, which is the entrywise rate over that size (for a bottleneck as in MUP); the
# relative rate, entrywise over init; the spectral rate and all bottlenecks, from MUP by the
# abc-symmetry.
SP_FULL_ALIGN = Parametrization(
    name="sp-full-align",
    title="standard parametrization with a rate per layer, for full alignment",
    form="no multipliers",
    source=(ALIGNMENT.at_place("standard parameterization, per-layer rates, full alignment"),),
    attention=-HALF,
    rules={
        #                     multiplier      init std             entrywise      gradient                 spectral                  relative           eps
        Role.INPUT:      Rule(ONE,            ONE,           Rates(ONE,           FAN_OUT**HALF,           None,                     ONE),              FAN_OUT**-HALF),
        Role.VECTOR:     Rule(ONE,            ONE,           Rates(ONE,           FAN_OUT**HALF,           None,                     ONE),              FAN_OUT**-HALF),
        Role.HIDDEN:     Rule(ONE,            FAN_IN**-HALF, Rates(FAN_IN**-1,    FAN_OUT**HALF / FAN_IN,  (FAN_OUT / FAN_IN)**HALF, FAN_IN**-HALF),    FAN_OUT**-HALF),
        Role.OUTPUT:     Rule(ONE,            FAN_IN**-HALF, Rates(FAN_IN**-1,    FAN_IN**-1,              None,                     FAN_IN**-HALF),    ONE),
        Role.BOTTLENECK: Rule(ONE,            FAN_IN**-HALF, Rates(FAN_IN**-1,    FAN_IN**-1,              (FAN_OUT / FAN_IN)**HALF, FAN_IN**-HALF),    ONE),
        Role.FIXED:      Rule(ONE,            ONE,           Rates(ONE,           ONE,                     ONE,                      ONE),              ONE),
    },
)

NTK = Parametrization(
    name="ntk",
    title="neural tangent parametrization with a rate per layer, for full alignment",
    form="published",
    source=(ALIGNMENT.at_place("NTK parameterization, per-layer rates, full alignment"),),
    attention=-HALF,
    rules={
        #                     multiplier      init std             entrywise      gradient                 spectral                  relative           eps
        Role.INPUT:      Rule(ONE,            ONE,           Rates(ONE,           FAN_OUT**HALF,           None,                     ONE),              FAN_OUT**-HALF),
        Role.VECTOR:     Rule(ONE,            ONE,           Rates(ONE,           FAN_OUT**HALF,           None,                     ONE),              FAN_OUT**-HALF),
        Role.HIDDEN:     Rule(FAN_IN**-HALF,  ONE,           Rates(FAN_IN**-HALF, FAN_OUT**HALF,           FAN_OUT**HALF,            FAN_IN**-HALF),    (FAN_IN * FAN_OUT)**-HALF),
        Role.OUTPUT:     Rule(FAN_IN**-HALF,  ONE,           Rates(FAN_IN**-HALF, ONE,                     None,                     FAN_IN**-HALF),    FAN_IN**-HALF),
        Role.BOTTLENECK: Rule(FAN_IN**-HALF,  ONE,           Rates(FAN_IN**-HALF, ONE,                     FAN_OUT**HALF,            FAN_IN**-HALF),    FAN_IN**-HALF),
        Role.FIXED:      Rule(ONE,            ONE,           Rates(ONE,           ONE,                     ONE,                      ONE),              ONE),
    },
)

MFP = Parametrization(
    name="mfp",
    title="mean-field parametrization with a rate per layer, for full alignment",
    form="published",
    source=(ALIGNMENT.at_place("mean-field parameterization, per-layer rates, full alignment"),),
    attention=Fraction(-1),  # as in the µP that it equals [derived: the abc-symmetry]
    rules={
        #                     multiplier      init std             entrywise      gradient                 spectral                  relative           eps
        Role.INPUT:      Rule(ONE,            ONE,           Rates(ONE,           FAN_OUT,                 None,                     ONE),              FAN_OUT**-1),
        Role.VECTOR:     Rule(ONE,            ONE,           Rates(ONE,           FAN_OUT,                 None,                     ONE),              FAN_OUT**-1),
        Role.HIDDEN:     Rule(FAN_IN**-HALF,  ONE,           Rates(FAN_IN**-HALF, FAN_OUT,                 FAN_OUT**HALF,            FAN_IN**-HALF),    Minimum(FAN_IN**-HALF / FAN_OUT, FAN_IN**-1 * FAN_OUT**-HALF)),
        Role.OUTPUT:     Rule(FAN_IN**-1,     ONE,           Rates(ONE,           FAN_IN,                  None,                     ONE),              FAN_IN**-1),
        Role.BOTTLENECK: Rule(FAN_IN**-HALF,  ONE,           Rates(FAN_IN**-HALF, FAN_OUT,                 FAN_OUT**HALF,            FAN_IN**-HALF),    FAN_IN**-1),
        Role.FIXED:      Rule(ONE,            ONE,           Rates(ONE,           ONE,                     ONE,                      ONE),              ONE),
    },
)

# Layers of the u-µP library scale their backward passes separately; eps and the gradient rate here
# are for true derivatives, which is what `apply` installs [derived].
UMUP = Parametrization(
    name="umup",
    title="unit-scaled µP (u-µP), width only: µP but for the embedding's rate",
    form="published",
    source=(UNIT_SCALED.at_place("width factors of init, multiplier and Adam rate"),),
    attention=Fraction(-1),
    rules={
        #                     multiplier      init std             entrywise      gradient                 spectral                  relative           eps
        Role.INPUT:      Rule(ONE,            ONE,           Rates(FAN_OUT**-HALF, FAN_OUT**HALF,          None,                     FAN_OUT**-HALF),   FAN_OUT**-1),
        Role.VECTOR:     Rule(ONE,            ONE,           Rates(ONE,           FAN_OUT,                 None,                     ONE),              FAN_OUT**-1),
        Role.HIDDEN:     Rule(FAN_IN**-HALF,  ONE,           Rates(FAN_IN**-HALF, FAN_OUT,                 FAN_OUT**HALF,            FAN_IN**-HALF),    Minimum(FAN_IN**-HALF / FAN_OUT, FAN_IN**-1 * FAN_OUT**-HALF)),
        Role.OUTPUT:     Rule(FAN_IN**-1,     ONE,           Rates(ONE,           FAN_IN,                  None,                     ONE),              FAN_IN**-1),
        Role.BOTTLENECK: Rule(FAN_IN**-HALF,  ONE,           Rates(FAN_IN**-HALF, FAN_OUT,                 FAN_OUT**HALF,            FAN_IN**-HALF),    FAN_IN**-1),
        Role.FIXED:      Rule(ONE,            ONE,           Rates(ONE,           ONE,                     ONE,                      ONE),              ONE),
    },
)
# fmt: on

NONE = Parametrization(
    name="none",
    title="the model as it is: its own init and rates, nothing scaled",
    form="no multipliers",
    source=(OWN,),
    rules={role: Rule(ONE, ONE, Rates(ONE, ONE, ONE, ONE), ONE) for role in Role},
    attention=None,
    keeps_init=True,
)
