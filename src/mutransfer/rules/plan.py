"""Plan: a parametrization applied to one concrete model, one row per parameter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction

from mutransfer.errors import CoverageError, RoleError, RuleError, nearest
from mutransfer.rules.decay import constant_product
from mutransfer.rules.formatting.columns import format_number
from mutransfer.rules.formatting.plan_table import format_plan_rows
from mutransfer.rules.muon import corrects_shape_factor, eps_cell, shape_factor
from mutransfer.rules.optimizers import Optimizer, Update, optimizer_of
from mutransfer.rules.power import ONE, Power, Ratios
from mutransfer.rules.registry import get_parametrization
from mutransfer.rules.roles import REASONS, Role
from mutransfer.rules.rows import PlanRow, row_from_data, row_to_data
from mutransfer.rules.symmetry import WITHOUT_MULTIPLIERS, from_start, in_form, shift
from mutransfer.rules.tables import Parametrization, Rule

SCHEMA = 1

# Every rate is 1 in these by definition, so the author's multipliers, attention scale and tied
# tables stay: compensating for them would give some parameters another rate.
SINGLE_RATE = ("sp", "none")

# DDP; torch.compile; FSDP; activation checkpointing.
WRAPPERS = ("module.", "_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")


@dataclass(frozen=True, slots=True)
class OwnInit:
    """The initialization that the model's author chose for one parameter, as measured.

    Args:
        rms: Root mean square about zero of a fresh model's tensor at the target; 0 for zeros,
            None where the init is kept as it is, and so was not measured.
        error: Relative standard error of the RMS of one target tensor.
        exponent: `rms ∝ ratio^exponent`.
        ratio: The target's size over the base's, along the axis that the init depends on.
    """

    rms: float | None
    error: float
    exponent: Fraction
    ratio: Fraction


UNMEASURED_INIT = OwnInit(None, 0.0, Fraction(0), Fraction(1))


@dataclass(frozen=True, slots=True)
class ParameterFacts:
    """Everything that a rule depends on for one parameter; `parametrize` measures it.

    Args:
        name: Name as in `named_parameters`, without prefixes of wrappers.
        shape: Unsharded shape at the target.
        role: Role of the parameter in the rule table.
        r_in: Fan-in over base fan-in; 1 where it does not scale.
        r_out: Fan-out over base fan-out.
        init: The author's initialization.
        reason: Why the parameter has this role, in words.
        readouts: Linear layers that share this embedding's table.
        own_multiplier: The author's own forward multiplier.
        own_readout: For a table that the readout shares: the author's multiplier there.
        is_transposed: Whether the weight is stored as (fan-in, fan-out).
        base_shape: Unsharded shape at the base.
        start_power: For a learned scale whose start depends on width: the exponent of that start
            in the ratio of fan-in, or of fan-out where fan-in is 1; None for its logarithm.
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
    start_power: Fraction | None = Fraction(0)


@dataclass(frozen=True, slots=True)
class Plan:
    """A parametrization applied to one model: data that prints, compares and saves.

    Args:
        parametrization: Name of the rule table.
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
        return self.to_text()

    def __getitem__(self, name: str) -> PlanRow:
        """Return a parameter's row by name, with or without prefixes of wrappers."""
        plain = unwrapped(str(name))
        rows = {row.name: row for row in self.rows}
        if plain in rows:
            return rows[plain]
        layer = plain.removesuffix(".weight")
        shared = next((row.name for row in self.rows if layer in row.multiplier_at), None)
        raise CoverageError(
            f"the plan has no parameter '{name}'",
            why="a plan has the names of model.named_parameters(): one for a shared tensor",
            fix=f"write '{shared}', the same tensor" if shared else nearest(plain, rows),
        )

    def to_text(self, width: int = 100) -> str:
        """Format the plan for a terminal of `width` columns."""
        ratio = format_number(float(Fraction(self.target, self.base)))
        title = (
            f"{self.parametrization} ({self.form}) for {self.optimizer}: "
            f"base width {self.base}, target {self.target}, width multiplier {ratio}"
        )
        return format_plan_rows(self.rows, title=title, optimizer=self.optimizer, width=width)

    def to_json(self) -> str:
        """Return the plan as JSON, which `from_json` reads back exactly."""
        rows = [row_to_data(row) for row in self.rows]
        head = {name: getattr(self, name) for name in _HEADER_FIELDS}
        return json.dumps({"schema": SCHEMA, **head, "rows": rows}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read a plan from JSON.

        Raises:
            CoverageError: The text is not a plan, or a newer version wrote it.
        """
        try:
            data = json.loads(text)
            schema = data["schema"]
            if schema == SCHEMA:
                rows = tuple(row_from_data(row, data["optimizer"]) for row in data["rows"])
                return cls(**{name: data[name] for name in _HEADER_FIELDS}, rows=rows)
        except (
            LookupError,
            AttributeError,
            TypeError,
            ValueError,
            ArithmeticError,
            RecursionError,
        ) as problem:
            raise CoverageError(
                f"the text is not a plan: {type(problem).__name__}: {problem}",
                why="a partly understood plan would train with the wrong rates",
                fix="save a plan with plan.to_json(), or mutransfer plan ... -o plan.json",
            ) from None
        raise CoverageError(
            f"this plan has schema {schema!r}, but this version reads schema {SCHEMA}",
            why="a newer plan may hold rules that this version would ignore",
            fix="pip install --upgrade mutransfer",
        )

    def differences(self, other: Plan) -> list[str]:
        """List where two plans differ, one line each; an empty list means that they are equal.

        Example:
            >>> plan = Plan("mup", "table-3", "adamw", 64, 256, ())
            >>> plan.differences(Plan("sp", "table-3", "adamw", 64, 256, ()))
            ["parametrization: 'mup' or 'sp'"]
        """
        lines = [
            f"{name}: {getattr(self, name)!r} or {getattr(other, name)!r}"
            for name in _HEADER_FIELDS
            if getattr(self, name) != getattr(other, name)
        ]
        first, second = ({row.name: row for row in plan.rows} for plan in (self, other))
        lines += [f"{name}: only in the first" for name in first if name not in second]
        lines += [f"{name}: only in the second" for name in second if name not in first]
        for name in first.keys() & second.keys():
            lines += [
                f"{name}.{field.name}: {getattr(first[name], field.name)} or "
                f"{getattr(second[name], field.name)}"
                for field in fields(PlanRow)
                if getattr(first[name], field.name) != getattr(second[name], field.name)
            ]
        return sorted(lines)


_HEADER_FIELDS = ("parametrization", "form", "optimizer", "base", "target")


def unwrapped(name: str) -> str:
    """Return a parameter's name without the prefixes that wrappers of modules add.

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
        RuleError: A name is unknown, or the table has no rule for a shared embedding.
        RoleError: A tied readout needs a multiplier, and no layer is there to carry it.
    """
    published = get_parametrization(parametrization)
    table = in_form(published, form)
    if published.name in SINGLE_RATE:
        facts = [replace(f, own_multiplier=ONE, own_readout=f.own_readout and ONE) for f in facts]
    rows = [
        _row(fact, _shift_by_own(table, fact), optimizer, table.keeps_init)
        if fact.own_readout is None
        else _tied_row(fact, published, optimizer, base)
        for fact in facts
    ]
    return Plan(parametrization, table.form, optimizer, base, target, tuple(rows))


def _shift_by_own(table: Parametrization, fact: ParameterFacts) -> Rule:
    """Return a parameter's rule, which matches the author's multiplier in forms without any."""
    rule = rule_of(table, fact)
    # Forms with multipliers install the part that the author's lacks. The others keep the author's,
    # so init and rates have to match it [derived: abc-symmetry].
    return shift(rule, fact.own_multiplier) if table.form in WITHOUT_MULTIPLIERS else rule


def rule_of(table: Parametrization, fact: ParameterFacts | PlanRow) -> Rule:
    """Return the rule of a role, for a parameter whose start may be a power of width."""
    rule = table.rules[fact.role]
    if not fact.start_power:
        return rule
    start = side_of(fact.r_in, fact.start_power)
    if table.name in SINGLE_RATE:
        return replace(rule, init_std=rule.init_std * start)
    return from_start(rule, start)


def side_of(r_in: Fraction, exponent: Fraction) -> Power:
    """Return a power of fan-in, or of fan-out where fan-in does not grow."""
    return Power(fan_in=exponent) if r_in != 1 else Power(fan_out=exponent)


def _row(fact: ParameterFacts, rule: Rule, optimizer_name: str, keeps_init: bool) -> PlanRow:
    """Evaluate one rule at one shape."""
    optimizer = optimizer_of(optimizer_name, fact.role, len(fact.shape))
    rate = rule.lr(optimizer.update)
    assert rate is not None, "the optimizer of a role has a rate for it"
    ratios = Ratios(fan_in=fact.r_in, fan_out=fact.r_out)
    library = _library_factor(fact, rule, optimizer)
    is_relative = optimizer.update is Update.RELATIVE
    return PlanRow(
        name=fact.name,
        shape=fact.shape,
        role=fact.role,
        r_in=fact.r_in,
        r_out=fact.r_out,
        init_factor=1.0 if keeps_init else missing_init(rule, ratios, fact.init),
        lr_factor=rate.at(ratios) / library,
        eps_factor=eps_cell(rule, optimizer).at(ratios),
        # lr_factor is divided by it, so the product of rate and decay needs it here.
        decay_factor=constant_product(rule, optimizer).at(ratios) * library,
        multiplier=(rule.multiplier / fact.own_multiplier).at(ratios),
        reason=fact.reason or REASONS[fact.role],
        init_exponent=fact.init.exponent,
        fresh_rms=fact.init.rms,
        fresh_error=fact.init.error,
        # The multiplier of a layer depends on one of its sides only, so the sum is its exponent.
        own_power=fact.own_multiplier.fan_in + fact.own_multiplier.fan_out,
        optimizer=optimizer.name,
        # Adafactor's second epsilon bounds the weight's RMS, which scales as the init.
        eps2_factor=rule.init_std.at(ratios) if is_relative else 1.0,
        base_shape=fact.base_shape,
        start_power=fact.start_power,
    )


def _library_factor(fact: ParameterFacts, rule: Rule, optimizer: Optimizer) -> float:
    """Return the factor of the library's own rate scaling, target over base."""
    if not corrects_shape_factor(rule, optimizer):
        return 1.0
    rows, columns = fact.shape
    ratios = (fact.r_in, fact.r_out) if fact.is_transposed else (fact.r_out, fact.r_in)
    base = (rows / ratios[0], columns / ratios[1])
    return shape_factor(optimizer.adjust_lr_fn, (rows, columns), base)


def _tied_row(
    fact: ParameterFacts, published: Parametrization, optimizer: str, base: int
) -> PlanRow:
    """Evaluate the rule of a table that embedding and readout share."""
    # The tensor has the init and the rate of the embedding, and the readout needs a multiplier on
    # its input: the form of Table 8, also in a plan of another form.
    table, readout = published.rules[fact.role], published.rules[Role.OUTPUT]
    if not can_be_tied(published, optimizer, fact.role):
        raise RuleError(
            f"'{fact.name}' is shared with the readout, and '{published.name}' gives a readout "
            "another init or rate than an embedding",
            why="one tensor has one init and one rate",
            fix="untie them, or make_plan(..., parametrization='mup')",
        )
    assert fact.own_readout is not None
    row = _row(fact, shift(table, fact.own_multiplier), optimizer, published.keeps_init)
    missing = readout.multiplier * fact.own_multiplier / fact.own_readout
    multiplier = missing.at(Ratios(fan_in=fact.r_out, fan_out=fact.r_out))
    if not fact.readouts and multiplier != 1:
        exponent = missing.fan_in + missing.fan_out
        raise RoleError(
            f"'{fact.name}' is an embedding table, and the forward pass also multiplies by it "
            "outside of a linear layer",
            why=f"a readout that shares a table needs its input multiplied by width^{exponent}, "
            "and there is no layer on which to install that",
            fix=f"x = x * (width / {base}) ** ({exponent}), in the line before the product with "
            f"'{fact.name}'",
        )
    return replace(row, multiplier=multiplier, multiplier_at=fact.readouts)


def can_be_tied(published: Parametrization, optimizer: str, embedding: Role = Role.INPUT) -> bool:
    """Return whether embedding and readout may share a table: they have the same init and rate.

    Args:
        published: The parametrization.
        optimizer: Name of the optimizer.
        embedding: Role of the shared table.

    Example:
        >>> can_be_tied(get_parametrization("mup"), "adamw")
        True
        >>> can_be_tied(get_parametrization("sp+embd"), "adamw")
        False
    """
    table, readout = published.rules[embedding], published.rules[Role.OUTPUT]
    update = optimizer_of(optimizer, embedding).update
    same_init = _swap_sides(readout.init_std) == table.init_std
    same_rate = _swap_sides(readout.lr(update)) == table.lr(update)
    return (same_init and same_rate) or published.name in SINGLE_RATE


def _swap_sides(power: Power | None) -> Power | None:
    """Convert a readout's power of its fan-in to one of the fan-out of the shared table."""
    if power is None:
        return None
    return Power(fan_in=power.fan_out, fan_out=power.fan_in, depth=power.depth)


def missing_init(rule: Rule, ratios: Ratios, own_init: OwnInit) -> float:
    """Return the part of the rule's init factor that the author's own init does not have."""
    if own_init.rms == 0:
        return 1.0  # zeros stay zeros
    own_factor = Power(fan_in=own_init.exponent).at(Ratios(fan_in=own_init.ratio))
    return rule.init_std.at(ratios) / own_factor
