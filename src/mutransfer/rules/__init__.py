"""Rules: scaling as data over shapes. Standard library only."""

from mutransfer.rules.explain import explain
from mutransfer.rules.optimizers import OPTIMIZERS, Update
from mutransfer.rules.plan import Plan, PlanRow
from mutransfer.rules.roles import Role
from mutransfer.rules.symmetry import in_form, shift, without_multiplier
from mutransfer.rules.tables import PARAMETRIZATIONS, Parametrization, Rule

__all__ = [
    "OPTIMIZERS",
    "PARAMETRIZATIONS",
    "Parametrization",
    "Plan",
    "PlanRow",
    "Role",
    "Rule",
    "Update",
    "explain",
    "in_form",
    "shift",
    "without_multiplier",
]
