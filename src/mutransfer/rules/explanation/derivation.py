"""This file is one parameter's derivation: from shapes to the numbers of its row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from mutransfer.rules.decay import constant_product
from mutransfer.rules.muon import converts, eps_cell
from mutransfer.rules.optimizers import OPTIMIZERS, DecayKind, Optimizer, Update
from mutransfer.rules.plan import Plan, PlanRow
from mutransfer.rules.power import Least, Power, Ratios
from mutransfer.rules.registry import parametrization_named
from mutransfer.rules.roles import Role
from mutransfer.rules.symmetry import PLAIN, in_form, shift
from mutransfer.rules.tables import Parametrization, Rule

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Factor:
    """One number of a row, and how it comes about.

    Args:
        value: The number.
        rule: The table's cell, as `fan_in^-1`.
        steps: The cell, the ratios put in and the result, and what else enters.
    """

    value: float
    rule: str
    steps: str


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a parameter.

    Args:
        base: Its size at the base width.
        target: Its size at the target width.
        side: 'fan-in', 'fan-out', 'either' where both grow alike, 'fixed', 'elementwise'.
    """

    base: int
    target: int
    side: str


@dataclass(frozen=True, slots=True)
class Derivation:
    """Every step from one parameter's shapes to its factors.

    Args:
        parameter: Its name.
        role: What it is to the rule.
        reason: Why, in words.
        parametrization: Name of the table.
        form: The form in which the rule is read: a tied table's is the published one.
        base: The base width.
        target: The target width.
        axes: Axis by axis; empty for a plan that was saved without base shapes.
        fan_in: Fan-in over base fan-in.
        fan_out: Fan-out over base fan-out.
        optimizer: The one that takes it.
        init: What fresh weights are multiplied by.
        lr: The rate's factor.
        eps: Epsilon's factor; None where the optimizer has none.
        eps2: Adafactor's second; None for others.
        decay: The decay's factor in each decay mode that the optimizer can have.
        own_multiplier: The author's own forward multiplier, beside which the rule is shifted
            where the form installs none.
        multiplier: What a layer's input is multiplied by.
        multiplier_at: The layers where that is installed.
        source: Where the rule is printed.
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

    def to_data(self) -> dict[str, Any]:
        """Give it as JSON data; ratios stay exact as text."""
        exact = {"fan_in": str(self.fan_in), "fan_out": str(self.fan_out)}
        return {"schema": SCHEMA, **asdict(self), **exact}


def derivation(plan: Plan, name: str) -> Derivation:
    """Derive one parameter's factors.

    Raises:
        CoverageError: The plan has no such parameter.

    Example:
        >>> from mutransfer.rules.plan import OwnInit, ParameterFacts, plan_from_facts
        >>> own = OwnInit(rms=0.02, error=0.01, exponent=Fraction(0), ratio=Fraction(16))
        >>> wide = Fraction(16)
        >>> fact = ParameterFacts("up", (4096, 1024), Role.HIDDEN, wide, wide, own)
        >>> derivation(plan_from_facts([fact], base=64, target=1024), "up").lr.steps
        'fan_in^-1 = 16^-1 = 0.0625'
    """
    row = plan[name]
    published = parametrization_named(plan.parametrization)
    is_tied = bool(row.multiplier_at) or (row.role is Role.INPUT and row.multiplier == 1)
    table = published if is_tied else in_form(published, plan.form)
    own = Power(fan_in=row.own_power) if row.r_in != 1 else Power(fan_out=row.own_power)
    rule, optimizer = table.rules[row.role], OPTIMIZERS[row.optimizer]
    rule = shift(rule, own) if is_tied or table.form in PLAIN else rule
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
        multiplier_at=_installed(row),
        source=tuple(map(str, table.source)),
    )


def number(value: float) -> str:
    """Print a factor with six digits at most."""
    return f"{value:.6g}"


def steps(cell: Power | Least, ratios: Ratios) -> str:
    """Put ratios into a cell and work it out.

    Example:
        >>> from mutransfer.rules.power import FAN_IN, FAN_OUT, HALF
        >>> steps(FAN_OUT / FAN_IN**HALF, Ratios(fan_in=Fraction(4), fan_out=Fraction(3, 2)))
        'fan_in^-1/2 fan_out = 4^-1/2 · 3/2 = 0.75'
    """
    if cell == Power():
        return "the rule is 1"
    shown = dict.fromkeys((str(cell), _with_numbers(cell, ratios), number(cell.at(ratios))))
    return " = ".join(shown)


def _with_numbers(cell: Power | Least, ratios: Ratios) -> str:
    """Write a cell's ratios as numbers."""
    if isinstance(cell, Least):
        first, second = _with_numbers(cell.first, ratios), _with_numbers(cell.second, ratios)
        return f"min({first}, {second})"
    pairs = ((ratios.fan_in, cell.fan_in), (ratios.fan_out, cell.fan_out))
    shown = [_power(ratio, exponent) for ratio, exponent in pairs if exponent]
    return " · ".join(shown) or "1"


def _power(ratio: Fraction, exponent: Fraction) -> str:
    """Write a ratio to a power."""
    if exponent == 1:
        return str(ratio)
    return f"{ratio}^{exponent}" if ratio.denominator == 1 else f"({ratio})^{exponent}"


def _factor(value: float, cell: Power | Least, ratios: Ratios, more: str = "") -> Factor:
    """Say how a cell gives a number."""
    return Factor(value, str(cell), steps(cell, ratios) + more)


def _axes(row: PlanRow) -> tuple[Axis, ...]:
    """Say which axis is which, as far as their growth tells."""
    if row.base_shape is None:
        return ()
    axes = []
    for base, target in zip(row.base_shape, row.shape, strict=True):
        grown = Fraction(target, base) if base else Fraction(1)
        fits = [
            side for side, ratio in (("fan-in", row.r_in), ("fan-out", row.r_out)) if grown == ratio
        ]
        side = fits[0] if len(fits) == 1 else "either" if fits else "part"
        if row.role is Role.VECTOR:
            side = "elementwise"
        axes.append(Axis(base, target, "fixed" if base == target else side))
    return tuple(axes)


def _init(row: PlanRow, rule: Rule, ratios: Ratios, table: Parametrization) -> Factor:
    """Say what the author's init has, and what is missing."""
    if table.keeps_init:
        return Factor(row.init_factor, "as it is", "your own init stands")
    if row.fresh_rms == 0:
        return Factor(row.init_factor, str(rule.init_std), "your own init is zero and stays zero")
    wanted = rule.init_std.at(ratios)
    own = wanted / row.init_factor
    has = "does not scale"
    if row.init_exponent:
        grown = Fraction(own ** float(1 / row.init_exponent)).limit_denominator(10**6)
        has = f"scales as {_power(grown, row.init_exponent)} = {number(own)}"
    missing = f"; {number(wanted)} / {number(own)} is missing" if own != 1 else ""
    return _factor(row.init_factor, rule.init_std, ratios, f"; your own init {has}{missing}")


def _rate(row: PlanRow, rule: Rule, ratios: Ratios, optimizer: Optimizer) -> Factor:
    """Say how the rate scales, and what the library has in it already."""
    cell = rule.lr(optimizer.update)
    assert cell is not None, "a row of a plan has a rate"
    more = ""
    if converts(rule, optimizer):
        by_library = number(cell.at(ratios) / row.lr_factor)
        more = f"; over {by_library}, torch's own shape factor '{optimizer.adjust_lr_fn}'"
    return _factor(row.lr_factor, cell, ratios, more)


def _decay(row: PlanRow, rule: Rule, ratios: Ratios, optimizer: Optimizer) -> dict[str, Factor]:
    """Say how decay scales in each mode."""
    rate = Fraction(row.lr_factor)
    kept = _factor(row.decay_factor, constant_product(rule, optimizer), ratios)
    if converts(rule, optimizer):
        kept = Factor(row.decay_factor, "1 / lr", f"1 / {number(float(rate))}")
    found = {
        "constant-product": kept,
        "coupled": Factor(1.0, "1", "taken literally"),
    }
    if optimizer.decay is not DecayKind.IN_GRADIENT:
        free = float(1 / rate)
        shown = f"{number(free)} over your rate: a step removes decay · schedule"
        found["independent"] = Factor(free, "1 / (your rate · lr)", shown)
    return found


def _multiplier(row: PlanRow, table: Parametrization, rule: Rule, own: Power) -> Factor:
    """Say what multiplies the layer's input; a tied table's readout grows as its fan-out."""
    if not row.multiplier_at:
        return _factor(row.multiplier, rule.multiplier / own, Ratios(row.r_in, row.r_out))
    turned = Ratios(fan_in=row.r_out, fan_out=row.r_out)
    cell = table.rules[Role.OUTPUT].multiplier * own
    more = "; the readout's, whose fan-in is this table's fan-out"
    has = cell.at(turned) / row.multiplier
    more += f"; over {number(has)}, your own multiplier there" if has != 1 else ""
    return _factor(row.multiplier, cell, turned, more)


def _installed(row: PlanRow) -> tuple[str, ...]:
    """Name the layers whose input is multiplied."""
    return row.multiplier_at or ((row.name.removesuffix(".weight"),) if row.multiplier != 1 else ())
