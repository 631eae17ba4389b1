"""Cells of a rule table as text, for people and for programs."""

from __future__ import annotations

from typing import Any

from mutransfer.rules.decay import constant_product
from mutransfer.rules.muon import eps_cell
from mutransfer.rules.optimizers import Optimizer, Update, get_optimizer, optimizer_of
from mutransfer.rules.registry import get_parametrization
from mutransfer.rules.roles import Role
from mutransfer.rules.symmetry import in_form
from mutransfer.rules.tables import Parametrization

Cells = dict[Role, dict[str, str | None]]


def format_cells(table: Parametrization, optimizer: Optimizer | None = None) -> Cells:
    """Format the cells of a table, role by role; None where there is no rule.

    Args:
        table: A parametrization in one of its forms.
        optimizer: Show the columns of this optimizer; by default those of all update families.

    Example:
        >>> from mutransfer.rules.optimizers import OPTIMIZERS
        >>> from mutransfer.rules.tables import MUP
        >>> format_cells(MUP, OPTIMIZERS["sgd"])[Role.OUTPUT]
        {'multiplier': 'fan_in^-1', 'init_std': '1', 'lr': 'fan_in', 'decay': 'fan_in^-1'}
    """
    cells: Cells = {}
    for role, rule in table.rules.items():
        row: dict[str, object] = {
            "multiplier": rule.multiplier,
            "init_std": "as it is" if table.keeps_init else rule.init_std,
        }
        if optimizer is None:
            row |= {f"lr_{update}": rule.lr(update) for update in Update}
            row["eps"] = rule.eps
        else:
            # Under Muon some roles are trained by AdamW, whose columns apply there.
            trained_by = optimizer_of(optimizer.name, role)
            row["lr"] = rule.lr(trained_by.update)
            if trained_by.eps is not None:
                row["eps"] = eps_cell(rule, trained_by)
            row["decay"] = constant_product(rule, trained_by)
            if optimizer.update is Update.SPECTRAL:
                row["by"] = trained_by.class_name
        cells[role] = {key: None if cell is None else str(cell) for key, cell in row.items()}
    return cells


def rule_data(name: str, *, optimizer: str | None = None) -> dict[str, Any]:
    """Return the table of a parametrization as JSON data, in each of its forms.

    Raises:
        RuleError: The parametrization or optimizer is unknown.

    Example:
        >>> rule_data("mup")["forms"]["table-3"]["hidden"]["lr_entrywise"]
        'fan_in^-1'
    """
    table = get_parametrization(name)
    columns_of = None if optimizer is None else get_optimizer(optimizer)
    return {
        "title": table.title,
        "source": [str(source) for source in table.source],
        "attention": None if table.attention is None else str(table.attention),
        "forms": {form.form: format_cells(form, columns_of) for form in all_forms(table)},
    }


def all_forms(table: Parametrization) -> list[Parametrization]:
    """Return a table as published, and also without multipliers if it has any."""
    plain = in_form(table, "table-3")
    return [table] if plain == table else [table, plain]
