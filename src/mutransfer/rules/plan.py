"""This file is the plan: a parametrization applied to one concrete model, one row per parameter."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from fractions import Fraction
from typing import Any

from mutransfer.errors import CoverageError, RoleError, RuleError, listed
from mutransfer.rules.decay import constant_product
from mutransfer.rules.muon import converts, eps_cell, shape_factor
from mutransfer.rules.optimizers import Optimizer, Update, optimizer_of
from mutransfer.rules.power import ONE, Power, Ratios
from mutransfer.rules.registry import parametrization_named
from mutransfer.rules.roles import REASONS, Role
from mutransfer.rules.symmetry import PLAIN, in_form, shift
from mutransfer.rules.tables import Parametrization, Rule

SCHEMA = 1
AS_THEY_ARE = ("sp", "none")  # one rate for all: multipliers, attention and tied tables stay
WRAPPERS = ("module.", "_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")


@dataclass(frozen=True, slots=True)
class OwnInit:
    """How a model's author initialises one parameter, as measured.

    Args:
        rms: Root mean square about zero at the target, for a fresh model; 0 for zeros,
            None if it was not measured because the init stands as it is.
        error: Relative standard error of one target tensor's RMS.
        exponent: `rms ∝ ratio^exponent`.
        ratio: The target's size along the axis that the init depends on, over the base's.
    """

    rms: float | None
    error: float
    exponent: Fraction
    ratio: Fraction


@dataclass(frozen=True, slots=True)
class ParameterFacts:
    """What a rule must know of one parameter; gathered by `parametrize`, pure data here.

    Args:
        name: As in `named_parameters`, without wrappers' prefixes.
        shape: Unsharded shape at the target.
        role: What it is to a rule.
        r_in: Fan-in over base fan-in; 1 where it does not scale.
        r_out: Fan-out over base fan-out.
        init: The author's initialization.
        reason: Why it has this role, in words.
        readouts: Linear layers that share this embedding's table.
        own_multiplier: The author's own forward multiplier.
        own_readout: Of a table that the readout shares: the author's multiplier there.
        is_transposed: Stored as (fan-in, fan-out).
        base_shape: Unsharded shape at the base.
    """

    name: str
    shape: tuple[int, ...]
    role: Role
    r_in: Fraction
    r_out: Fraction
    init: OwnInit
    reason: str = ""
    readouts: tuple[str, ...] = ()
    own_multiplier: Power = ONE
    own_readout: Power | None = None
    is_transposed: bool = False
    base_shape: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One parameter: its role, and the number by which each thing is multiplied.

    Args:
        name: As in `named_parameters`.
        shape: Unsharded shape at the target.
        role: What it is to the rule.
        r_in: Fan-in over base fan-in.
        r_out: Fan-out over base fan-out.
        init_factor: What the author's fresh weights are multiplied by: the part that is missing.
        lr_factor: The group's peak rate over the base rate.
        eps_factor: The group's epsilon over the base epsilon.
        decay_factor: The group's decay over the base decay, under `constant-product`.
        multiplier: What the layer's input is multiplied by in the forward pass.
        reason: Why, in words.
        init_exponent: How the author's own init scales with the ratio it depends on.
        fresh_rms: RMS that `apply` expects of the author's fresh weights, None for any.
        fresh_error: Relative standard error of that RMS.
        optimizer: The one that takes it: beside Muon's matrices, AdamW takes the rest.
        eps2_factor: Adafactor's second epsilon, a weight's least size, over the base one.
        multiplier_at: The layers whose input is multiplied; by default the parameter's own. A
            tied table's are its readouts.
        own_power: How the author's own forward multiplier scales with the ratio of fan-in, or
            of fan-out where that does not grow; relative to what attention asks for.
        base_shape: Unsharded shape at the base; None in plans of earlier versions.
    """

    name: str
    shape: tuple[int, ...]
    role: Role
    r_in: Fraction
    r_out: Fraction
    init_factor: float
    lr_factor: float
    eps_factor: float
    decay_factor: float
    multiplier: float
    reason: str
    init_exponent: Fraction
    fresh_rms: float | None
    fresh_error: float
    optimizer: str
    eps2_factor: float = 1.0
    multiplier_at: tuple[str, ...] = ()
    own_power: Fraction = Fraction(0)
    base_shape: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A parametrization applied to one model: data that prints, compares and saves.

    Args:
        parametrization: Name of the table.
        form: Which of its equivalent forms.
        optimizer: Name of the optimizer whose columns apply.
        base: Width at which every factor is 1.
        target: Width of the model that this plan is for.
        rows: One per parameter, in the model's order.
    """

    parametrization: str
    form: str
    optimizer: str
    base: int
    target: int
    rows: tuple[PlanRow, ...]

    def __str__(self) -> str:
        from mutransfer.rules.explanation.text import explain

        return explain(self)

    def __getitem__(self, name: str) -> PlanRow:
        """Find a parameter's row by name, with or without wrappers' prefixes."""
        plain = unwrapped(name)
        for row in self.rows:
            if row.name == plain:
                return row
        raise CoverageError(
            f"the plan has no parameter '{name}'",
            why="a parameter without its rule would train at the wrong rate, silently",
            fix=f"use a name of the model it was made from: {listed(r.name for r in self.rows)}",
        )

    def to_json(self) -> str:
        """Write the plan as JSON; `from_json` gives an equal plan back."""
        rows = [_row_to_data(row) for row in self.rows]
        head = {name: getattr(self, name) for name in _HEAD}
        return json.dumps({"schema": SCHEMA, **head, "rows": rows}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read a plan back.

        Raises:
            CoverageError: The text is not a plan, or one of a newer version.
        """
        try:
            data = json.loads(text)
            schema = data["schema"]
            if schema == SCHEMA:
                rows = tuple(_row_from_data(row, data["optimizer"]) for row in data["rows"])
                return cls(**{name: data[name] for name in _HEAD}, rows=rows)
        except (
            LookupError,
            AttributeError,
            TypeError,
            ValueError,
            ArithmeticError,
            RecursionError,
        ) as problem:
            raise CoverageError(
                f"this is not a plan: {type(problem).__name__}: {problem}",
                why="a plan that is guessed at would train with the wrong rates",
                fix="write it with plan.to_json()",
            ) from None
        raise CoverageError(
            f"this plan has schema {schema!r}, this version reads {SCHEMA}",
            why="a newer plan may hold rules that this version would ignore",
            fix="pip install --upgrade mutransfer",
        )

    def differences(self, other: Plan) -> list[str]:
        """Say where two plans differ, one line each; an empty list means equal.

        Example:
            >>> plan = Plan("mup", "table-3", "adamw", 64, 256, ())
            >>> plan.differences(Plan("sp", "table-3", "adamw", 64, 256, ()))
            ["parametrization: 'mup' or 'sp'"]
        """
        lines = [
            f"{name}: {getattr(self, name)!r} or {getattr(other, name)!r}"
            for name in _HEAD
            if getattr(self, name) != getattr(other, name)
        ]
        ours, theirs = ({r.name: r for r in plan.rows} for plan in (self, other))
        lines += [f"{name}: only in the first" for name in ours if name not in theirs]
        lines += [f"{name}: only in the second" for name in theirs if name not in ours]
        for name in ours.keys() & theirs.keys():
            one, two = ours[name], theirs[name]
            lines += [
                f"{name}.{f.name}: {getattr(one, f.name)} or {getattr(two, f.name)}"
                for f in fields(PlanRow)
                if getattr(one, f.name) != getattr(two, f.name)
            ]
        return sorted(lines)


_HEAD = ("parametrization", "form", "optimizer", "base", "target")


def unwrapped(name: str) -> str:
    """Remove wrappers' prefixes, as prefixes, wherever a module starts.

    Example:
        >>> unwrapped("module._orig_mod.blocks.0.weight")
        'blocks.0.weight'
        >>> unwrapped("module_list.0.weight")
        'module_list.0.weight'
    """
    rest = name
    parts: list[str] = []
    while rest:
        for prefix in WRAPPERS:
            # 'module.' is DDP's only at the very front; a submodule may be called 'module'.
            if rest.startswith(prefix) and (prefix != "module." or not parts):
                rest = rest.removeprefix(prefix)
                break
        else:
            head, dot, rest = rest.partition(".")
            parts.append(head + dot)
    return "".join(parts)


def plan_from_facts(
    facts: Sequence[ParameterFacts],
    *,
    base: int,
    target: int,
    parametrization: str = "mup",
    optimizer: str = "adamw",
    form: str = "table-3",
) -> Plan:
    """Apply a parametrization to facts about parameters: a pure function.

    Raises:
        RuleError: An unknown name, or a role for which the optimizer has no rule.
    """
    published = parametrization_named(parametrization)
    table = in_form(published, form)
    if published.name in AS_THEY_ARE:
        facts = [replace(f, own_multiplier=ONE, own_readout=f.own_readout and ONE) for f in facts]
    rows = [
        _row(fact, _beside_own(table, fact), optimizer, table.keeps_init)
        if fact.own_readout is None
        else _tied(fact, published, optimizer, base)
        for fact in facts
    ]
    return Plan(parametrization, table.form, optimizer, base, target, tuple(rows))


def _beside_own(table: Parametrization, fact: ParameterFacts) -> Rule:
    """Take the author's own multiplier for the layer's, where a form installs none."""
    rule = table.rules[fact.role]
    return shift(rule, fact.own_multiplier) if table.form in PLAIN else rule


def _row(fact: ParameterFacts, rule: Rule, optimizer_name: str, keeps_init: bool) -> PlanRow:
    """Evaluate one rule at one shape."""
    optimizer = optimizer_of(optimizer_name, fact.role, len(fact.shape))
    rate = rule.lr(optimizer.update)
    assert rate is not None, "the optimizer of a role has a rate for it"
    ratios = Ratios(fan_in=fact.r_in, fan_out=fact.r_out)
    by_library = _by_library(fact, rule, optimizer)
    is_relative = optimizer.update is Update.RELATIVE
    return PlanRow(
        name=fact.name,
        shape=fact.shape,
        role=fact.role,
        r_in=fact.r_in,
        r_out=fact.r_out,
        init_factor=1.0 if keeps_init else missing_init(rule, ratios, fact.init),
        lr_factor=rate.at(ratios) / by_library,
        eps_factor=eps_cell(rule, optimizer).at(ratios),
        decay_factor=constant_product(rule, optimizer).at(ratios) * by_library,
        multiplier=(rule.multiplier / fact.own_multiplier).at(ratios),
        reason=fact.reason or REASONS[fact.role],
        init_exponent=fact.init.exponent,
        fresh_rms=fact.init.rms,
        fresh_error=fact.init.error,
        own_power=fact.own_multiplier.fan_in + fact.own_multiplier.fan_out,
        optimizer=optimizer.name,
        eps2_factor=rule.init_std.at(ratios) if is_relative else 1.0,
        base_shape=fact.base_shape,
    )


def _by_library(fact: ParameterFacts, rule: Rule, optimizer: Optimizer) -> float:
    """Give what the library multiplies this parameter's rate by, target over base."""
    if not converts(rule, optimizer):
        return 1.0
    rows, columns = fact.shape
    grown = (fact.r_in, fact.r_out) if fact.is_transposed else (fact.r_out, fact.r_in)
    base = (rows / grown[0], columns / grown[1])
    return shape_factor(optimizer.adjust_lr_fn, (rows, columns), base)


def _tied(fact: ParameterFacts, published: Parametrization, optimizer: str, base: int) -> PlanRow:
    """Evaluate the rule of a table that embedding and readout share.

    The tensor has one init and one rate, the embedding's; what the readout lacks is a multiplier
    in its input. So the form is that of Table 8, whichever the others have.
    """
    table, readout = published.rules[fact.role], published.rules[Role.OUTPUT]
    update = optimizer_of(optimizer, fact.role).update
    inits = (_turned(readout.init_std), table.init_std)
    rates = (_turned(readout.lr(update)), table.lr(update))
    alike = inits[0] == inits[1] and rates[0] == rates[1]
    if not alike and published.name not in AS_THEY_ARE:
        raise RuleError(
            f"'{fact.name}' is shared with the readout, and '{published.name}' gives a readout "
            "another init or rate than an embedding",
            why="one tensor has one init and one rate",
            fix="untie them, or make_plan(..., parametrization='mup')",
        )
    assert fact.own_readout is not None
    own = fact.own_multiplier
    row = _row(fact, shift(table, own), optimizer, published.keeps_init)
    lacks = readout.multiplier * own / fact.own_readout
    multiplier = lacks.at(Ratios(fan_in=fact.r_out, fan_out=fact.r_out))
    if not fact.readouts and multiplier != 1:
        raise RoleError(
            f"the forward pass multiplies with '{fact.name}', a table that embeds, too",
            why="its rows as a readout need their input multiplied by "
            f"width^{lacks.fan_in + lacks.fan_out}, and there is no layer whose input it is",
            fix=f"x = x * (width / {base}) ** ({lacks.fan_in + lacks.fan_out}), in the line "
            f"before the product with '{fact.name}'",
        )
    return replace(row, multiplier=multiplier, multiplier_at=fact.readouts)


def _turned(power: Power | None) -> Power | None:
    """Write a readout's power of its fan-in as one of the fan-out of the table that it shares."""
    if power is None:
        return None
    return Power(fan_in=power.fan_out, fan_out=power.fan_in, depth=power.depth)


def missing_init(rule: Rule, ratios: Ratios, own: OwnInit) -> float:
    """Give the part of the rule's init factor that the author's own init does not have.

    Zeros stay zeros, so their factor is 1.
    """
    if own.rms == 0:
        return 1.0
    own_factor = Power(fan_in=own.exponent).at(Ratios(fan_in=own.ratio))
    return rule.init_std.at(ratios) / own_factor


def _row_to_data(row: PlanRow) -> dict[str, Any]:
    """Write a row as JSON data; ratios stay exact as text."""
    return {
        key: str(value) if isinstance(value, Fraction) else value
        for key, value in asdict(row).items()
    }


def _row_from_data(data: Mapping[str, Any], optimizer: str) -> PlanRow:
    """Read a row back; in older plans one optimizer takes all."""
    exact = {key: Fraction(data[key]) for key in ("r_in", "r_out", "init_exponent")}
    exact["own_power"] = Fraction(data.get("own_power", 0))
    rest: dict[str, Any] = {"role": Role(data["role"]), "shape": tuple(data["shape"])}
    rest["multiplier_at"] = tuple(data.get("multiplier_at", ()))
    base_shape = data.get("base_shape")
    rest["base_shape"] = None if base_shape is None else tuple(base_shape)
    return PlanRow(**{"optimizer": optimizer, **data, **exact, **rest})
