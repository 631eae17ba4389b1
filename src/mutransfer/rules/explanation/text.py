"""Explanations as text: the table of a parametrization, a plan, or one parameter's derivation."""

from __future__ import annotations

from mutransfer.errors import RuleError, listed
from mutransfer.rules.explanation.cells import all_forms, format_cells
from mutransfer.rules.explanation.derivation import Derivation, Factor, derivation
from mutransfer.rules.formatting.columns import align_columns, format_number
from mutransfer.rules.optimizers import OPTIMIZERS, Optimizer, get_optimizer
from mutransfer.rules.plan import Plan
from mutransfer.rules.registry import get_parametrization
from mutransfer.rules.roles import REASONS, ROLE_OVERRIDE, Role
from mutransfer.rules.tables import Parametrization


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
        optimizer: With a parametrization's name: show the columns of that optimizer only.
        width: Columns of the terminal; a plan's names are wrapped to it.

    Returns:
        Text for a terminal.

    Raises:
        RuleError: The parametrization or optimizer is unknown, or an argument does not apply
            to the subject.
        CoverageError: The plan has no such parameter.

    Example:
        >>> print(explain("none", optimizer="sgd").splitlines()[0])
        none: the model as it is: its own init and rates, nothing scaled
    """
    if isinstance(subject, Plan):
        if optimizer is not None:
            raise RuleError(
                f"optimizer='{optimizer}' was passed with a plan, which is for {subject.optimizer}",
                why="a plan holds the factors of one optimizer",
                fix=f"make_plan(..., optimizer='{optimizer}')",
            )
        if name is None:
            return subject.to_text(width)
        return _format_derivation(derivation(subject, name))
    if name is not None:
        raise RuleError(
            f"'{subject}' is the table of a parametrization, which has no parameter '{name}'",
            why="factors are derived from the shapes of a model, which only a plan has",
            fix=f"explain(plan, '{name}'), or explain('{subject}', optimizer='adamw')",
        )
    table = get_parametrization(subject)
    columns_of = None if optimizer is None else get_optimizer(optimizer)
    return "\n\n".join(_format_table(form, columns_of) for form in all_forms(table))


def _format_table(table: Parametrization, optimizer: Optimizer | None) -> str:
    """Format a parametrization like the paper's table."""
    lines = [f"{table.name}: {table.title}", f"form: {table.form}"]
    lines += [f"source: {source}" for source in table.source]
    scale = "as it is" if table.attention is None else f"(head width)^{table.attention}"
    lines.append(f"attention scale: {scale}")
    cells = format_cells(table, optimizer)
    heads = [key.replace("_", " ") for key in cells[Role.HIDDEN]]
    if optimizer is not None:
        heads[heads.index("lr")] = f"lr ({optimizer.name})"
    body = [[role, *(cell or "-" for cell in row.values())] for role, row in cells.items()]
    note = "cells are powers of ratios to the base shape; every cell is 1 at the base width"
    return "\n".join([*lines, "", *align_columns([["role", *heads], *body]), "", note])


def _format_derivation(result: Derivation) -> str:
    """Format one parameter's derivation, one line per step."""
    shapes: list[tuple[str, str]] = []
    if result.axes:  # plans saved before base shapes were recorded have none
        shapes = [
            ("base", f"{tuple(axis.base for axis in result.axes)} at width {result.base}"),
            ("target", f"{tuple(axis.target for axis in result.axes)} at width {result.target}"),
            *(
                (f"axis {k}", f"{axis.base} -> {axis.target}: {_format_side(axis.side)}")
                for k, axis in enumerate(result.axes)
            ),
        ]
    # A user who sets a role still needs to know what that role means.
    meaning = f": {REASONS[result.role]}" if result.reason == ROLE_OVERRIDE else ""
    lines = [
        ("role", f"{result.role}: {result.reason}{meaning}"),
        *shapes,
        ("optimizer", result.optimizer),
        ("ratios", f"fan_in = {result.fan_in}, fan_out = {result.fan_out}"),
        *_format_factors(result),
        ("forward x", _format_multiplier(result)),
        *(("source", source) for source in result.source),
        *(("note", note) for note in result.notes),
    ]
    return "\n".join([result.parameter, *(f"  {head.ljust(9)} {text}" for head, text in lines)])


def _format_factors(result: Derivation) -> list[tuple[str, str]]:
    """Format the derivation of init, learning rate, epsilon and decay."""
    update = OPTIMIZERS[result.optimizer].update
    lines = [
        ("init x", _format_factor(result.init)),
        ("lr x", f"{_format_factor(result.lr)} ({update} update)"),
    ]
    if result.own_multiplier.value != 1:
        value = format_number(result.own_multiplier.value)
        text = f"your forward pass, or attention, multiplies it by {result.own_multiplier.steps}"
        lines.insert(0, ("own x", f"{value}: {text}"))
    if result.eps is not None:
        lines.append(("eps x", _format_factor(result.eps)))
    if result.eps2 is not None:
        lines.append(("eps2 x", _format_factor(result.eps2)))
    lines += [
        ("decay x", f"{_format_factor(factor)} ({mode})") for mode, factor in result.decay.items()
    ]
    return lines


def _format_factor(factor: Factor) -> str:
    """Format a factor and its arithmetic."""
    return f"{format_number(factor.value)}: {factor.steps}"


def _format_side(side: str) -> str:
    """Describe which dimension of the layer an axis is."""
    return {
        "either": "fan-in or fan-out, which grow by the same ratio",
        "part": "a part of fan-in or fan-out",
        "elementwise": "fan-out, applied elementwise",
    }.get(side, side)


def _format_multiplier(result: Derivation) -> str:
    """Describe the forward multiplier and where it is installed."""
    if result.multiplier.value == 1:
        return "1: nothing is installed"
    return f"{_format_factor(result.multiplier)}; at {listed(result.multiplier_at)}"
