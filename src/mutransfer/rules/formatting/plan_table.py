"""Table of a plan: one line per distinct set of factors, with the parameters that it covers."""

from __future__ import annotations

from collections.abc import Sequence

from mutransfer.errors import counted
from mutransfer.rules.formatting.columns import align_columns, format_number, hanging_indent
from mutransfer.rules.formatting.names import abbreviate
from mutransfer.rules.optimizers import OPTIMIZERS, Update
from mutransfer.rules.roles import COPY_OF, ROLE_OVERRIDE, Role
from mutransfer.rules.rows import PlanRow

LEGEND = {
    "n": "number of tensors with these factors; * stands for every layer, {a,b} for either",
    "r_in": "fan-in over base fan-in; r_out: fan-out over base fan-out",
    "init x": "factor on your freshly initialized weights, applied by `apply`",
    "lr x": "factor on your learning rate at the base width",
    "eps x": "factor on your epsilon at the base width",
    "decay x": "factor on your weight decay, which keeps learning rate times decay constant",
    "forward x": "factor on the layer's input in the forward pass, installed by `apply`",
    "by": "optimizer of the tensor; torch's own shape factor is divided out of Muon's lr",
}
COPIED = "a copy of a trained tensor in your fresh model, whose factors it gets"
ADAFACTOR_NOTE = """eps x is the factor on the first of Adafactor's two epsilons, if you set it; the
second scales as the rule's init. torch uses min(lr, 1/sqrt(step)), so the lr factors hold for the
first 1/lr^2 steps."""


def format_plan_rows(
    rows: Sequence[PlanRow], *, title: str, optimizer: str, width: int = 100
) -> str:
    """Format the rows of a plan for a terminal.

    Args:
        rows: One per parameter.
        title: Summary of the plan, printed first.
        optimizer: Name of the optimizer that the plan was made for.
        width: Columns of the terminal; parameter names are wrapped to it.
    """
    heads, body, names = _columns(rows)
    groups = {(row.optimizer, row.lr_factor, row.eps_factor, row.decay_factor) for row in rows}
    reasons = _unusual_roles(rows)
    legend = {head: LEGEND[head] for head in heads if head in LEGEND}
    is_relative = OPTIMIZERS[optimizer].update is Update.RELATIVE
    return "\n".join(
        [
            f"{title}; {counted(len(rows), 'tensor')}, {counted(len(groups), 'parameter group')}",
            "",
            *hanging_indent(align_columns([heads, *body]), ["parameters", *names], width),
            "",
            *hanging_indent([head for head, _ in reasons], [text for _, text in reasons], width),
            *[""] * bool(reasons),
            *hanging_indent(list(legend), list(legend.values()), width),
            *[ADAFACTOR_NOTE] * is_relative,
            "`explain(plan, name)`, or --parameter NAME, derives the factors of one parameter.",
        ]
    )


def _columns(rows: Sequence[PlanRow]) -> tuple[list[str], list[list[str]], list[str]]:
    """Return the heads, and for each line its cells and the abbreviated names of its parameters."""
    # Columns that are 1 or empty on every line are left out.
    has_eps = any(OPTIMIZERS[row.optimizer].eps is not None for row in rows)
    has_multiplier = any(row.multiplier != 1 for row in rows)
    has_two_optimizers = len({row.optimizer for row in rows}) > 1
    heads = ["n", "role", "r_in", "r_out", "init x", "lr x", *["eps x"] * has_eps, "decay x"]
    heads += [*["forward x"] * has_multiplier, *["by"] * has_two_optimizers]
    all_names = [row.name for row in rows]
    body, names = [], []
    for group in _group_equal(rows):
        row = group[0]
        factors = [row.init_factor, row.lr_factor, *[row.eps_factor] * has_eps, row.decay_factor]
        factors += [row.multiplier] * has_multiplier
        ratios = [str(row.r_in), str(row.r_out)]
        optimizer = [OPTIMIZERS[row.optimizer].class_name] * has_two_optimizers
        role = _format_role(row.role, row.reason)
        body.append([str(len(group)), role, *ratios, *map(format_number, factors), *optimizer])
        names.append(", ".join(abbreviate([row.name for row in group], all_names)))
    return heads, body, names


def _unusual_roles(rows: Sequence[PlanRow]) -> list[tuple[str, str]]:
    """Explain roles set by the user, bottlenecks, tied tables, own multipliers; add the notes."""
    all_names = [row.name for row in rows]
    reasons: dict[tuple[Role, str], list[str]] = {}
    for row in rows:
        is_unusual = row.role is Role.BOTTLENECK or row.multiplier_at or row.start_power != 0
        if row.reason.startswith(COPY_OF):
            reasons.setdefault((row.role, COPIED), []).append(row.name)
        elif row.reason == ROLE_OVERRIDE or is_unusual:
            reasons.setdefault((row.role, row.reason), []).append(row.name)
        if row.own_power:
            power = f"your forward pass, or attention, multiplies it by ratio^{row.own_power}"
            reasons.setdefault((row.role, power), []).append(row.name)
        for note in row.notes:
            reasons.setdefault((row.role, note), []).append(row.name)
    return [
        (_format_role(role, reason), f"{reason}: {', '.join(abbreviate(names, all_names))}")
        for (role, reason), names in reasons.items()
    ]


def _format_role(role: Role, reason: str) -> str:
    """Format a role, marked where the user set it."""
    return f"{role} (set)" if reason == ROLE_OVERRIDE else str(role)


def _group_equal(rows: Sequence[PlanRow]) -> list[list[PlanRow]]:
    """Group the parameters that have equal factors, in the order of the model."""
    groups: dict[tuple[object, ...], list[PlanRow]] = {}
    for row in rows:
        factors = (row.init_factor, row.lr_factor, row.eps_factor, row.decay_factor, row.multiplier)
        kind = (row.role, row.reason == ROLE_OVERRIDE, row.r_in, row.r_out, row.optimizer)
        groups.setdefault((*kind, *factors), []).append(row)
    return list(groups.values())
