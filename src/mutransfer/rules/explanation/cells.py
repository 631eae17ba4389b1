"""This file is a table's cells as text, for people and for programs."""

from __future__ import annotations

from typing import Any

from mutransfer.rules.decay import constant_product
from mutransfer.rules.muon import eps_cell
from mutransfer.rules.optimizers import Optimizer, Update, optimizer_named, optimizer_of
from mutransfer.rules.registry import parametrization_named
from mutransfer.rules.roles import Role
from mutransfer.rules.symmetry import in_form
from mutransfer.rules.tables import Parametrization

Cells = dict[Role, dict[str, str | None]]


def cells(table: Parametrization, optimizer: Optimizer | None = None) -> Cells:
    """Write a table's cells, role by role; None where there is no rule.

    Args:
        table: A parametrization in one of its forms.
        optimizer: Its columns only; every update family's by default.

    Example:
        >>> from mutransfer.rules.optimizers import OPTIMIZERS
        >>> from mutransfer.rules.tables import MUP
        >>> cells(MUP, OPTIMIZERS["sgd"])[Role.OUTPUT]
        {'multiplier': 'fan_in^-1', 'init_std': '1', 'lr': 'fan_in', 'decay': 'fan_in^-1'}
    """
    found: Cells = {}
    for role, rule in table.rules.items():
        row: dict[str, object] = {
            "multiplier": rule.multiplier,
            "init_std": "as it is" if table.keeps_init else rule.init_std,
        }
        if optimizer is None:
            row |= {f"lr_{update}": rule.lr(update) for update in Update}
            row["eps"] = rule.eps
        else:
            own = optimizer_of(optimizer.name, role)
            row["lr"] = rule.lr(own.update)
            if own.eps is not None:
                row["eps"] = eps_cell(rule, own)
            row["decay"] = constant_product(rule, own)
            if optimizer.update is Update.SPECTRAL:
                row["by"] = own.class_name
        found[role] = {key: None if cell is None else str(cell) for key, cell in row.items()}
    return found


def rule_data(name: str, *, optimizer: str | None = None) -> dict[str, Any]:
    """Give a parametrization's table as data for JSON, in each of its forms.

    Raises:
        RuleError: An unknown parametrization or optimizer.

    Example:
        >>> rule_data("mup")["forms"]["table-3"]["hidden"]["lr_entrywise"]
        'fan_in^-1'
    """
    table = parametrization_named(name)
    chosen = None if optimizer is None else optimizer_named(optimizer)
    return {
        "title": table.title,
        "source": [str(source) for source in table.source],
        "attention": None if table.attention is None else str(table.attention),
        "forms": {form.form: cells(form, chosen) for form in forms(table)},
    }


def forms(table: Parametrization) -> list[Parametrization]:
    """Give a table as published, and without multipliers if it has any."""
    plain = in_form(table, "table-3")
    return [table] if plain == table else [table, plain]
