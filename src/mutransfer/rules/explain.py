"""This file is explanations: a table, a plan, or one parameter's derivation, as text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from mutransfer.errors import listed
from mutransfer.rules.decay import constant_product
from mutransfer.rules.muon import converts, eps_cell
from mutransfer.rules.optimizers import OPTIMIZERS, Optimizer, Update, optimizer_named, optimizer_of
from mutransfer.rules.plan import Plan, PlanRow
from mutransfer.rules.registry import parametrization_named
from mutransfer.rules.symmetry import in_form
from mutransfer.rules.tables import Parametrization, Rule

LEGEND = """n: how many such parameters; r_in, r_out: fan-in and fan-out over the base's; x: times.
Multiplied are your fresh weights (init), and your rate (lr), epsilon (eps) and decay at the base
width; decay keeps rate times decay. `explain` derives one parameter's factors."""

NOTES = {  # by class
    "adafactor": "eps: the first of Adafactor's two, where you give one; the second goes as the "
    "rule's init.\ntorch takes min(lr, 1/sqrt(step)): lr's factors hold for 1/lr^2 steps.",
    "muon": "by: the optimizer; torch's own shape factor is divided out of Muon's lr.",
}


def explain(subject: Plan | str, name: str | None = None, *, optimizer: str | None = None) -> str:
    """Explain a parametrization, a plan, or one parameter of a plan.

    Args:
        subject: A plan, or the name of a parametrization.
        name: A parameter of the plan whose factors are to be derived.
        optimizer: With a parametrization's name: show that optimizer's columns only.

    Returns:
        Text for a terminal.

    Raises:
        RuleError: An unknown parametrization or optimizer.
        CoverageError: The plan has no such parameter.

    Example:
        >>> print(explain("none", optimizer="sgd").splitlines()[0])
        none: the model as it is: its own init and rates, nothing scaled
    """
    if isinstance(subject, Plan):
        return _plan_text(subject) if name is None else _row_text(subject, subject[name])
    table = parametrization_named(subject)
    chosen = None if optimizer is None else optimizer_named(optimizer)
    texts = [_table_text(table, chosen)]
    if in_form(table, "table-3") != table:
        texts.append(_table_text(in_form(table, "table-3"), chosen))
    return "\n\n".join(texts)


def _table_text(table: Parametrization, optimizer: Optimizer | None) -> str:
    """Print a parametrization like the paper's table."""
    lines = [f"{table.name}: {table.title}", f"form: {table.form}"]
    lines += [f"source: {source}" for source in table.source]
    scale = "as it is" if table.attention is None else f"(head width)^{table.attention}"
    lines.append(f"attention scale: {scale}")
    if optimizer is None:
        families = list(Update)
        heads = ["role", "multiplier", "init std", *(f"lr {u}" for u in families), "eps"]
        body = [
            [
                role,
                *_cells(rule, table.keeps_init),
                *(_cell(rule.lr(update)) for update in families),
                _cell(rule.eps),
            ]
            for role, rule in table.rules.items()
        ]
    else:
        heads = ["role", "multiplier", "init std", f"lr ({optimizer.name})"]
        heads += ["eps"] * (optimizer.eps is not None) + ["decay"]
        body = [
            [role, *_cells(rule, table.keeps_init), _cell(rule.lr(own.update))]
            + [_cell(eps_cell(rule, own))] * (own.eps is not None)
            + [_cell(constant_product(rule, own))]
            for role, rule in table.rules.items()
            for own in [optimizer_of(optimizer.name, role)]
        ]
        if optimizer.update is Update.SPECTRAL:
            heads.append("by")
            for line, role in zip(body, table.rules, strict=True):
                line.append(optimizer_of(optimizer.name, role).class_name)
    note = "powers of ratios to the base shape; every cell is 1 at the base width"
    return "\n".join([*lines, "", *columns([heads, *body]), "", note])


def _cells(rule: Rule, keeps_init: bool) -> list[str]:
    """Print the two cells that do not depend on the optimizer."""
    return [_cell(rule.multiplier), "as it is" if keeps_init else _cell(rule.init_std)]


def _cell(value: object) -> str:
    """Print a cell; no rule is a dash."""
    return "-" if value is None else str(value)


def _plan_text(plan: Plan) -> str:
    """Print a plan, parameters with equal rows on one line."""
    m = Fraction(plan.target, plan.base)
    lines = [
        f"{plan.parametrization} ({plan.form}) for {plan.optimizer}: "
        f"base width {plan.base}, target {plan.target}, width multiplier {_number(float(m))}",
        "",
    ]
    heads = ["parameter", "n", "role", "r_in", "r_out", "init x", "lr x", "eps x", "decay x"]
    has_multiplier = any(row.multiplier != 1 for row in plan.rows)
    heads += ["input x"] * has_multiplier
    has_two = len({row.optimizer for row in plan.rows}) > 1
    heads += ["by"] * has_two
    body: list[list[str]] = []
    for pattern, rows in _alike(plan.rows).items():
        row = rows[0]
        numbers = [row.init_factor, row.lr_factor, row.eps_factor, row.decay_factor]
        numbers += [row.multiplier] * has_multiplier
        ratios = [str(row.r_in), str(row.r_out)]
        shown = str(pattern[0]) if len(rows) > 1 else row.name
        body.append([shown, str(len(rows)), row.role, *ratios, *map(_number, numbers)])
        body[-1] += [OPTIMIZERS[row.optimizer].class_name] * has_two
    told = OPTIMIZERS[plan.optimizer].class_name
    notes = [NOTES[told]] if told in NOTES else []
    return "\n".join([*lines, *columns([heads, *body]), "", LEGEND, *notes])


def _alike(rows: Sequence[PlanRow]) -> dict[tuple[object, ...], list[PlanRow]]:
    """Gather layers that differ in their index only."""
    groups: dict[tuple[object, ...], list[PlanRow]] = {}
    for row in rows:
        pattern = re.sub(r"(?<=\.)\d+(?=\.)|^\d+(?=\.)", "*", row.name)
        numbers = (row.init_factor, row.lr_factor, row.eps_factor, row.decay_factor, row.multiplier)
        groups.setdefault((pattern, row.role, row.r_in, row.r_out, *numbers), []).append(row)
    return groups


def _row_text(plan: Plan, row: PlanRow) -> str:
    """Derive one parameter's factors."""
    table = in_form(parametrization_named(plan.parametrization), plan.form)
    optimizer = OPTIMIZERS[row.optimizer]
    rule = table.rules[row.role]
    rate = rule.lr(optimizer.update)
    init = "the author's init stands"
    if not table.keeps_init:
        own = f"the author's own scales as ratio^{row.init_exponent}"
        own = "the author's is all zeros" if row.fresh_rms == 0 else own
        init = f"the rule is {rule.init_std}, {own}, this is what is missing"
    by_library, decay = "", f"{constant_product(rule, optimizer)}"
    if converts(rule, optimizer):
        by_library = f", over torch's own factor '{optimizer.adjust_lr_fn}'"
        decay = "one over the rate's"
    lines = [
        f"{row.name}  {tuple(row.shape)}",
        f"  role      {row.role}: {row.reason}",
        f"  ratios    fan-in {row.r_in}, fan-out {row.r_out} against base width {plan.base}",
        f"  init x    {_number(row.init_factor)}: {init}",
        f"  lr x      {_number(row.lr_factor)}: {rate} ({optimizer.update} update){by_library}",
    ]
    if optimizer.eps is not None:
        lines.append(f"  eps x     {_number(row.eps_factor)}: {eps_cell(rule, optimizer)}")
    if optimizer.update is Update.RELATIVE:
        lines.append(f"  eps2 x    {_number(row.eps2_factor)}: {rule.init_std}, as the weights")
    lines += [
        f"  decay x   {_number(row.decay_factor)}: {decay} (constant-product)",
        f"  input x   {_number(row.multiplier)}: {_multiplier_text(row, rule)}",
        *(f"  source    {source}" for source in table.source),
    ]
    return "\n".join(lines)


def _multiplier_text(row: PlanRow, rule: Rule) -> str:
    """Say which power the multiplier is, or where it is another layer's."""
    return f"at {listed(row.multiplier_at)}" if row.multiplier_at else str(rule.multiplier)


def _number(value: float) -> str:
    """Print a factor with six digits at most."""
    return f"{value:.6g}"


def columns(table: Sequence[Sequence[str]]) -> list[str]:
    """Align a table's cells under its first line.

    Example:
        >>> columns([["a", "b"], ["1.25", "2"]])
        ['a     b', '1.25  2']
    """
    widths = [max(len(str(cell)) for cell in column) for column in zip(*table, strict=True)]
    return [
        "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
