"""Scaling rules as data over shapes, and plans made from them; standard library only."""

from mutransfer.rules.explanation.cells import rule_data
from mutransfer.rules.explanation.derivation import derivation
from mutransfer.rules.explanation.text import explain
from mutransfer.rules.hybrids import HYBRIDS
from mutransfer.rules.optimizers import OPTIMIZERS, Update
from mutransfer.rules.plan import Plan
from mutransfer.rules.registry import PARAMETRIZATIONS, TABLES
from mutransfer.rules.roles import Role
from mutransfer.rules.rows import PlanRow
from mutransfer.rules.symmetry import in_form, shift, without_multiplier

__all__ = [
    "HYBRIDS", "OPTIMIZERS", "PARAMETRIZATIONS", "TABLES", "Plan", "PlanRow", "Role",
    "Update", "derivation", "explain", "in_form", "rule_data", "shift",
    "without_multiplier",
]  # fmt: skip
