"""This file is explanations: a table, a plan, or one parameter's derivation, as text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from fractions import Fraction

from mutransfer.errors import RuleError, listed
from mutransfer.rules.explanation.cells import cells, forms
from mutransfer.rules.explanation.derivation import Derivation, Factor, derivation, number
from mutransfer.rules.explanation.patterns import folded
from mutransfer.rules.optimizers import OPTIMIZERS, Optimizer, Update, optimizer_named
from mutransfer.rules.plan import Plan, PlanRow
from mutransfer.rules.registry import parametrization_named
from mutransfer.rules.roles import REASONS, TOLD, Role
from mutransfer.rules.tables import Parametrization

LEGEND = {
    "n": "tensors with these numbers; * is every layer, {a,b} either",
    "r_in": "fan-in over the base's; r_out: fan-out over the base's",
    "init x": "times your fresh weights, by `apply`",
    "lr x": "times your learning rate at the base width",
    "eps x": "times your epsilon at the base width",
    "decay x": "times your weight decay, so that rate times decay is kept",
    "input x": "times the layer's input in the forward pass, by `apply`",
    "by": "the optimizer; torch's own shape factor is divided out of Muon's lr",
}
ADAFACTOR = """eps x is the first of Adafactor's two, where you give one; the second goes as the
rule's init. torch takes min(lr, 1/sqrt(step)): lr's factors hold for 1/lr^2 steps."""
FEWEST_COLUMNS = 30  # for names, however narrow the terminal


def explain(
    subject: Plan | str,
    name: str | None = None,
    *,
    optimizer: str | None = None,
    width: int = 100,
) -> str:
    """Explain a parametrization, a plan, or one parameter of a plan.

    Args:
        subject: A plan, or the name of a parametrization.
        name: A parameter of the plan whose factors are to be derived.
        optimizer: With a parametrization's name: show that optimizer's columns only.
        width: Columns of the terminal; a plan's names are wrapped to it.

    Returns:
        Text for a terminal.

    Raises:
        RuleError: An unknown parametrization or optimizer, or an argument of the other subject.
        CoverageError: The plan has no such parameter.

    Example:
        >>> print(explain("none", optimizer="sgd").splitlines()[0])
        none: the model as it is: its own init and rates, nothing scaled
    """
    if isinstance(subject, Plan):
        if optimizer is not None:
            raise RuleError(
                f"optimizer='{optimizer}' was given with a plan, which is for {subject.optimizer}",
                why="a plan holds the numbers of one optimizer",
                fix=f"make_plan(..., optimizer='{optimizer}')",
            )
        return _plan_text(subject, width) if name is None else _row_text(derivation(subject, name))
    if name is not None:
        raise RuleError(
            f"'{subject}' is a parametrization's table, which has no parameter '{name}'",
            why="factors are derived from the shapes of a model, which only a plan has",
            fix=f"explain(plan, '{name}'), or explain('{subject}', optimizer='adamw')",
        )
    table = parametrization_named(subject)
    chosen = None if optimizer is None else optimizer_named(optimizer)
    return "\n\n".join(_table_text(form, chosen) for form in forms(table))


def _table_text(table: Parametrization, optimizer: Optimizer | None) -> str:
    """Print a parametrization like the paper's table."""
    lines = [f"{table.name}: {table.title}", f"form: {table.form}"]
    lines += [f"source: {source}" for source in table.source]
    scale = "as it is" if table.attention is None else f"(head width)^{table.attention}"
    lines.append(f"attention scale: {scale}")
    found = cells(table, optimizer)
    heads = [key.replace("_", " ") for key in found[Role.HIDDEN]]
    if optimizer is not None:
        heads[heads.index("lr")] = f"lr ({optimizer.name})"
    body = [[role, *(cell or "-" for cell in row.values())] for role, row in found.items()]
    note = "powers of ratios to the base shape; every cell is 1 at the base width"
    return "\n".join([*lines, "", *columns([["role", *heads], *body]), "", note])


def _plan_text(plan: Plan, width: int) -> str:
    """Print a plan: a line for each set of numbers, and the names that it is for."""
    groups = _alike(plan.rows)
    settings = {
        (row.optimizer, row.lr_factor, row.eps_factor, row.decay_factor) for row in plan.rows
    }
    title = (
        f"{plan.parametrization} ({plan.form}) for {plan.optimizer}: "
        f"base width {plan.base}, target {plan.target}, width multiplier "
        f"{number(float(Fraction(plan.target, plan.base)))}; "
        f"{len(plan.rows)} tensors, {len(settings)} parameter groups"
    )
    has_eps = any(OPTIMIZERS[row.optimizer].eps is not None for row in plan.rows)
    has_multiplier = any(row.multiplier != 1 for row in plan.rows)
    has_two = len({row.optimizer for row in plan.rows}) > 1
    heads = ["n", "role", "r_in", "r_out", "init x", "lr x", *["eps x"] * has_eps, "decay x"]
    heads += [*["input x"] * has_multiplier, *["by"] * has_two]
    body = []
    for rows in groups:
        row = rows[0]
        numbers = [row.init_factor, row.lr_factor, *[row.eps_factor] * has_eps, row.decay_factor]
        numbers += [row.multiplier] * has_multiplier
        first = [str(len(rows)), _role(row.role, row.reason), str(row.r_in), str(row.r_out)]
        last = [OPTIMIZERS[row.optimizer].class_name] * has_two
        body.append([*first, *map(number, numbers), *last])
    every = [row.name for row in plan.rows]
    names = [", ".join(folded([row.name for row in rows], every)) for rows in groups]
    why = _remarkable(plan)
    legend = {head: LEGEND[head] for head in heads if head in LEGEND}
    notes = [ADAFACTOR] if OPTIMIZERS[plan.optimizer].update is Update.RELATIVE else []
    return "\n".join(
        [
            title,
            "",
            *_hanging(columns([heads, *body]), ["parameters", *names], width),
            "",
            *_hanging([head for head, _ in why], [text for _, text in why], width),
            *[""] * bool(why),
            *_hanging(list(legend), list(legend.values()), width),
            *notes,
            "`explain(plan, name)`, or --parameter NAME, derives a parameter's numbers.",
        ]
    )


def _remarkable(plan: Plan) -> list[tuple[str, str]]:
    """Say why some parameters are unusual: told ones, bottlenecks, tied tables, multipliers."""
    every = [row.name for row in plan.rows]
    reasons: dict[tuple[Role, str], list[str]] = {}
    for row in plan.rows:
        if row.reason == TOLD or row.role is Role.BOTTLENECK or row.multiplier_at:
            reasons.setdefault((row.role, row.reason), []).append(row.name)
        if row.own_power:
            own = f"your forward pass, or attention, multiplies it by ratio^{row.own_power}"
            reasons.setdefault((row.role, own), []).append(row.name)
    return [
        (_role(role, reason), f"{reason}: {', '.join(folded(names, every))}")
        for (role, reason), names in reasons.items()
    ]


def _role(role: Role, reason: str) -> str:
    """Name a role, and whether it was told."""
    return f"{role}, told" if reason == TOLD else str(role)


def _hanging(heads: Sequence[str], texts: Sequence[str], width: int) -> list[str]:
    """Put texts to the right of their heads, each on as many lines as it needs."""
    indent = 2 + max(map(len, heads), default=0)
    lines = []
    for head, text in zip(heads, texts, strict=True):
        lines += textwrap.wrap(
            text,
            max(width, indent + FEWEST_COLUMNS),
            initial_indent=head.ljust(indent),
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


def _alike(rows: Sequence[PlanRow]) -> list[list[PlanRow]]:
    """Gather parameters with equal numbers, in the order of their first."""
    groups: dict[tuple[object, ...], list[PlanRow]] = {}
    for row in rows:
        numbers = (row.init_factor, row.lr_factor, row.eps_factor, row.decay_factor, row.multiplier)
        kind = (row.role, row.reason == TOLD, row.r_in, row.r_out, row.optimizer)
        groups.setdefault((*kind, *numbers), []).append(row)
    return list(groups.values())


def _row_text(found: Derivation) -> str:
    """Print one parameter's derivation."""
    update = OPTIMIZERS[found.optimizer].update
    why = f"{found.reason}: {REASONS[found.role]}" if found.reason == TOLD else found.reason
    lines = [
        ("role", f"{found.role}: {why}"),
        ("base", f"{tuple(axis.base for axis in found.axes)} at width {found.base}"),
        ("target", f"{tuple(axis.target for axis in found.axes)} at width {found.target}"),
        *(
            (f"axis {k}", f"{axis.base} -> {axis.target}: {_side(axis.side)}")
            for k, axis in enumerate(found.axes)
        ),
        ("optimizer", found.optimizer),
        ("ratios", f"fan_in = {found.fan_in}, fan_out = {found.fan_out}"),
        *([("own x", _own_text(found.own_multiplier))] if found.own_multiplier.value != 1 else []),
        ("init x", f"{number(found.init.value)}: {found.init.steps}"),
        (
            "lr x",
            f"{number(found.lr.value)}: {found.lr.steps} ({update} update)",
        ),
        *([("eps x", f"{number(found.eps.value)}: {found.eps.steps}")] if found.eps else []),
        *([("eps2 x", f"{number(found.eps2.value)}: {found.eps2.steps}")] if found.eps2 else []),
        *(
            ("decay x", f"{number(each.value)}: {each.steps} ({mode})")
            for mode, each in found.decay.items()
        ),
        ("input x", _multiplier_text(found)),
        *(("source", source) for source in found.source),
    ]
    if not found.axes:
        lines = [line for line in lines if line[0] not in ("base", "target")]
    shown = [f"  {word.ljust(9)} {text}" for word, text in lines]
    return "\n".join([found.parameter, *shown])


def _side(side: str) -> str:
    """Say what an axis is."""
    return {
        "either": "fan-in or fan-out, which grow alike",
        "part": "a part of fan-in or fan-out",
        "elementwise": "fan-out, applied elementwise",
    }.get(side, side)


def _own_text(own: Factor) -> str:
    """Say how the author's own forward multiplier scales."""
    return f"{number(own.value)}: your forward pass, or attention, multiplies it by {own.steps}"


def _multiplier_text(found: Derivation) -> str:
    """Say which power the multiplier is, and where it is installed."""
    if found.multiplier.value == 1:
        return "1: nothing is installed"
    at = listed(found.multiplier_at)
    return f"{number(found.multiplier.value)}: {found.multiplier.steps}; at {at}"


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
