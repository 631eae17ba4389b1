"""Derivation of one parameter's factors: every step from its shapes to the row of the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from mutransfer.rules.decay import constant_product
from mutransfer.rules.formatting.columns import format_number
from mutransfer.rules.muon import corrects_shape_factor, eps_cell
from mutransfer.rules.optimizers import OPTIMIZERS, DecayKind, Optimizer, Update
from mutransfer.rules.plan import Plan, rule_of, side_of
from mutransfer.rules.power import Minimum, Power, Ratios
from mutransfer.rules.registry import get_parametrization
from mutransfer.rules.roles import Role
from mutransfer.rules.rows import PlanRow
from mutransfer.rules.symmetry import WITHOUT_MULTIPLIERS, in_form, shift
from mutransfer.rules.tables import Parametrization, Rule

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor of a row, and its derivation.

    Args:
        value: The factor.
        rule: Cell of the table, such as `fan_in^-1`.
        steps: The cell, the cell with the ratios inserted, its value, and corrections if any.
    """

    value: float
    rule: str
    steps: str


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a parameter.

    Args:
        base: Size at the base width.
        target: Size at the target width.
        side: 'fan-in', 'fan-out', 'either' where both grow by the same ratio, 'part' of a side,
            'fixed' or 'elementwise'.
    """

    base: int
    target: int
    side: str


@dataclass(frozen=True, slots=True)
class Derivation:
    """Every step from one parameter's shapes to its factors.

    Args:
        parameter: Name of the parameter.
        role: Role of the parameter in the rule table.
        reason: Why it has this role, in words.
        parametrization: Name of the rule table.
        form: Form of the table that applies, which is the published one for a tied embedding.
        base: Base width.
        target: Target width.
        axes: One entry per axis; empty for a plan that was saved without base shapes.
        fan_in: Fan-in over base fan-in.
        fan_out: Fan-out over base fan-out.
        optimizer: Optimizer of this parameter.
        init: Factor on fresh weights.
        lr: Factor on the learning rate.
        eps: Factor on epsilon; None where the optimizer has none.
        eps2: Factor on Adafactor's second epsilon; None for other optimizers.
        decay: Factor on weight decay, for each decay mode that the optimizer supports.
        own_multiplier: The author's own forward multiplier; in forms without multipliers the
            rule is shifted to match it.
        multiplier: Factor on the layer's input in the forward pass.
        multiplier_at: Layers on which that factor is installed.
        source: Where the rule is printed.
        notes: What a user should know about this parameter beyond its factors.
    """

    parameter: str
    role: Role
    reason: str
    parametrization: str
    form: str
    base: int
    target: int
    axes: tuple[Axis, ...]
    fan_in: Fraction
    fan_out: Fraction
    optimizer: str
    init: Factor
    lr: Factor
    eps: Factor | None
    eps2: Factor | None
    decay: Mapping[str, Factor]
    own_multiplier: Factor
    multiplier: Factor
    multiplier_at: tuple[str, ...]
    source: tuple[str, ...]
    notes: tuple[str, ...]

    def to_data(self) -> dict[str, Any]:
        """Return the derivation as JSON data; ratios become text, so that they stay exact."""
        exact = {"fan_in": str(self.fan_in), "fan_out": str(self.fan_out)}
        return {"schema": SCHEMA, **asdict(self), **exact}


def derivation(plan: Plan, name: str) -> Derivation:
    """Derive one parameter's factors.

    Raises:
        CoverageError: The plan has no such parameter.

    Example:
        >>> from mutransfer.rules.plan import OwnInit, ParameterFacts, plan_from_facts
        >>> init = OwnInit(rms=0.02, error=0.01, exponent=Fraction(0), ratio=Fraction(16))
        >>> wide = Fraction(16)
        >>> fact = ParameterFacts("up", (4096, 1024), Role.HIDDEN, wide, wide, init)
        >>> derivation(plan_from_facts([fact], base=64, target=1024), "up").lr.steps
        'fan_in^-1 = 16^-1 = 0.0625'
    """
    row = plan[name]
    published = get_parametrization(plan.parametrization)
    # A tied table has the published form in every plan. An embedding that is not tied has the
    # same rule in all forms, so treating it as tied is harmless.
    may_be_tied = bool(row.multiplier_at) or (row.role is Role.INPUT and row.multiplier == 1)
    table = published if may_be_tied else in_form(published, plan.form)
    own = side_of(row.r_in, row.own_power)
    rule, optimizer = rule_of(table, row), OPTIMIZERS[row.optimizer]
    if may_be_tied or table.form in WITHOUT_MULTIPLIERS:
        rule = shift(rule, own)
    ratios = Ratios(fan_in=row.r_in, fan_out=row.r_out)
    has_eps, is_relative = optimizer.eps is not None, optimizer.update is Update.RELATIVE
    return Derivation(
        parameter=row.name,
        role=row.role,
        reason=row.reason,
        parametrization=table.name,
        form=table.form,
        base=plan.base,
        target=plan.target,
        axes=_axes(row),
        fan_in=row.r_in,
        fan_out=row.r_out,
        optimizer=optimizer.name,
        init=_init(row, rule, ratios, table),
        lr=_rate(row, rule, ratios, optimizer),
        eps=_factor(row.eps_factor, eps_cell(rule, optimizer), ratios) if has_eps else None,
        eps2=_factor(row.eps2_factor, rule.init_std, ratios) if is_relative else None,
        decay=_decay(row, rule, ratios, optimizer),
        own_multiplier=_factor(own.at(ratios), own, ratios),
        multiplier=_multiplier(row, table, rule, own),
        multiplier_at=_multiplied_layers(row),
        source=tuple(map(str, table.source)),
        notes=row.notes,
    )


def format_steps(cell: Power | Minimum, ratios: Ratios) -> str:
    """Format a cell, the cell with its ratios inserted, and its value.

    Example:
        >>> from mutransfer.rules.power import FAN_IN, FAN_OUT, HALF
        >>> format_steps(FAN_OUT / FAN_IN**HALF, Ratios(fan_in=Fraction(4), fan_out=Fraction(3, 2)))
        'fan_in^-1/2 fan_out = 4^-1/2 · 3/2 = 0.75'
    """
    if cell == Power():
        return "the rule is 1"
    sides = (str(cell), _insert_ratios(cell, ratios), format_number(cell.at(ratios)))
    return " = ".join(dict.fromkeys(sides))  # without repeating equal sides


def _insert_ratios(cell: Power | Minimum, ratios: Ratios) -> str:
    """Format a cell with numbers in place of its ratios."""
    if isinstance(cell, Minimum):
        first, second = _insert_ratios(cell.first, ratios), _insert_ratios(cell.second, ratios)
        return f"min({first}, {second})"
    pairs = ((ratios.fan_in, cell.fan_in), (ratios.fan_out, cell.fan_out))
    powers = [_format_power(ratio, exponent) for ratio, exponent in pairs if exponent]
    return " · ".join(powers) or "1"


def _format_power(ratio: Fraction, exponent: Fraction) -> str:
    """Format a ratio to a power."""
    if exponent == 1:
        return str(ratio)
    return f"{ratio}^{exponent}" if ratio.denominator == 1 else f"({ratio})^{exponent}"


def _factor(value: float, cell: Power | Minimum, ratios: Ratios, suffix: str = "") -> Factor:
    """Return a factor with the steps from its cell."""
    return Factor(value, str(cell), format_steps(cell, ratios) + suffix)


def _axes(row: PlanRow) -> tuple[Axis, ...]:
    """Identify the side of every axis by the ratio at which it grows."""
    if row.base_shape is None:
        return ()
    axes = []
    for base, target in zip(row.base_shape, row.shape, strict=True):
        ratio = Fraction(target, base) if base else Fraction(1)
        sides = {"fan-in": row.r_in, "fan-out": row.r_out}
        matches = [side for side, grows in sides.items() if grows == ratio]
        side = matches[0] if len(matches) == 1 else "either" if matches else "part"
        if row.role is Role.VECTOR:
            side = "elementwise"
        axes.append(Axis(base, target, "fixed" if base == target else side))
    return tuple(axes)


def _init(row: PlanRow, rule: Rule, ratios: Ratios, table: Parametrization) -> Factor:
    """Derive the init factor: the part of the rule that the author's init does not have."""
    if table.keeps_init:
        return Factor(row.init_factor, "as it is", "your own init stays")
    if row.start_power and row.init_factor == 1:
        steps = f"your own init starts there, {format_steps(rule.init_std, ratios)}, and stays"
        return Factor(row.init_factor, str(rule.init_std), steps)
    if row.fresh_rms == 0:
        return Factor(row.init_factor, str(rule.init_std), "your own init is zero and stays zero")
    required = rule.init_std.at(ratios)
    own_std = required / row.init_factor
    scaling = "does not scale"
    if row.init_exponent:
        # A row holds the exponent, not the ratio of the axis that the init depends on. Ratios of
        # widths are fractions of small numbers, so rounding removes the float's error only.
        ratio = Fraction(own_std ** float(1 / row.init_exponent)).limit_denominator(10**6)
        scaling = f"scales as {_format_power(ratio, row.init_exponent)} = {format_number(own_std)}"
    quotient = f"{format_number(required)} / {format_number(own_std)}"
    missing = f", so {quotient} is missing" if own_std != 1 else ""
    return _factor(row.init_factor, rule.init_std, ratios, f"; your own init {scaling}{missing}")


def _rate(row: PlanRow, rule: Rule, ratios: Ratios, optimizer: Optimizer) -> Factor:
    """Derive the learning-rate factor, without the part that the library applies itself."""
    cell = rule.lr(optimizer.update)
    assert cell is not None, "a row of a plan has a rate"
    suffix = ""
    if corrects_shape_factor(rule, optimizer):
        library = format_number(cell.at(ratios) / row.lr_factor)
        suffix = f"; divided by {library}, torch's own shape factor '{optimizer.adjust_lr_fn}'"
    return _factor(row.lr_factor, cell, ratios, suffix)


def _decay(row: PlanRow, rule: Rule, ratios: Ratios, optimizer: Optimizer) -> dict[str, Factor]:
    """Derive the decay factor of every mode that the optimizer supports."""
    rate = Fraction(row.lr_factor)
    constant = _factor(row.decay_factor, constant_product(rule, optimizer), ratios)
    if corrects_shape_factor(rule, optimizer):
        constant = Factor(row.decay_factor, "1 / lr", f"1 / {format_number(float(rate))}")
    factors = {
        "constant-product": constant,
        "coupled": Factor(1.0, "1", "the same coefficient in every group"),
    }
    if optimizer.decay is not DecayKind.IN_GRADIENT:
        inverse = float(1 / rate)
        text = f"{format_number(inverse)} over your rate, so that a step removes decay · schedule"
        factors["independent"] = Factor(inverse, "1 / (your rate · lr)", text)
    return factors


def _multiplier(row: PlanRow, table: Parametrization, rule: Rule, own: Power) -> Factor:
    """Derive the forward multiplier."""
    if not row.multiplier_at:
        return _factor(row.multiplier, rule.multiplier / own, Ratios(row.r_in, row.r_out))
    # The fan-in of the readout is the fan-out of the embedding table that it shares.
    readout = Ratios(fan_in=row.r_out, fan_out=row.r_out)
    cell = table.rules[Role.OUTPUT].multiplier * own
    suffix = "; the readout's, whose fan-in is this table's fan-out"
    own_readout = cell.at(readout) / row.multiplier
    if own_readout != 1:
        suffix += f"; divided by {format_number(own_readout)}, your own multiplier there"
    return _factor(row.multiplier, cell, readout, suffix)


def _multiplied_layers(row: PlanRow) -> tuple[str, ...]:
    """Return the layers whose input is multiplied."""
    return row.multiplier_at or ((row.name.removesuffix(".weight"),) if row.multiplier != 1 else ())
