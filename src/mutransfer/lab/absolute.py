"""The absolute form of a plan: the same rules relative to a base shape of ones."""

from __future__ import annotations

from fractions import Fraction

from mutransfer.rules.plan import OwnInit, ParameterFacts, Plan, plan_from_facts
from mutransfer.rules.power import ONE
from mutransfer.rules.roles import Role
from mutransfer.rules.rows import PlanRow


def absolute_plan(plan: Plan) -> Plan:
    """Return the plan of a decoder relative to a base whose axes that scale all have size 1.

    Sizes take the place of ratios: under µP and AdamW a hidden weight has the rate 1/fan-in, which
    for the MLP's second layer is 1/(4·width). The embedding has the user's rate, as in every
    form, so the two forms are not the same rates in other units. No model is built at width 1.

    Args:
        plan: Plan of the decoder at any base; its roles and inits are used, not its factors.

    Source:
        `abs_mup` of the code of arXiv:2404.05728.

    Example:
        >>> from mutransfer.lab.trial import build_decoder, make_plan
        >>> from mutransfer.records import LabSettings
        >>> settings = LabSettings(width=64, base_width=1, lr=0.5)
        >>> plan = make_plan(lambda width: build_decoder(settings, width), base=16, target=64)
        >>> absolute_plan(plan)["blocks.0.mlp.down.weight"].lr_factor == 1 / 256
        True
    """
    return plan_from_facts(
        [_facts(row) for row in plan.rows],
        base=1,
        target=plan.target,
        parametrization=plan.parametrization,
        optimizer=plan.optimizer,
        form=plan.form,
    )


def _facts(row: PlanRow) -> ParameterFacts:
    """Return the facts of a parameter relative to a base of ones."""
    fan_in, fan_out = _sizes(row)
    init_ratio = fan_in if fan_in != 1 else fan_out
    return ParameterFacts(
        name=row.name,
        shape=row.shape,
        base_shape=tuple(
            1 if size in (fan_in, fan_out) and size != 1 else size for size in row.shape
        ),
        role=row.role,
        r_in=fan_in,
        r_out=fan_out,
        init=OwnInit(row.fresh_rms, row.fresh_error, row.init_exponent, init_ratio),
        reason=row.reason,
        readouts=row.multiplier_at,
        own_readout=ONE if row.multiplier_at else None,
    )


def _sizes(row: PlanRow) -> tuple[Fraction, Fraction]:
    """Return fan-in and fan-out; 1 for an axis that does not scale."""
    one = Fraction(1)
    if row.role is Role.FIXED:
        return one, one
    if row.role is Role.VECTOR:
        return one, Fraction(row.shape[0])
    if row.role is Role.INPUT:  # an embedding has its fan-out last
        return one, Fraction(row.shape[1])
    fan_out, fan_in = map(Fraction, row.shape)
    return fan_in, fan_out if row.role is Role.HIDDEN else one
