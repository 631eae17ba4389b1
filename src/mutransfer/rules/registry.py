"""This file is every parametrization by name."""

from __future__ import annotations

import re

from mutransfer.errors import RuleError, nearest
from mutransfer.rules.hybrids import HYBRIDS, SWITCHES, hybrid_name
from mutransfer.rules.tables import MFP, MUP, NONE, NTK, SP, SP_FULL_ALIGN, UMUP, Parametrization

TABLES = {table.name: table for table in (MUP, SP, NONE, SP_FULL_ALIGN, NTK, MFP, UMUP)}
"""The tables that papers print."""

PARAMETRIZATIONS = {**HYBRIDS, **TABLES}
"""Every table; `sp` and `mup`, the corners of the hybrids, as their papers print them."""


def parametrization_named(name: str) -> Parametrization:
    """Look a parametrization up.

    Raises:
        RuleError: There is no such table.

    Example:
        >>> from mutransfer.rules.roles import Role
        >>> print(parametrization_named("mup").rules[Role.HIDDEN].rates.entrywise)
        fan_in^-1
    """
    if name not in PARAMETRIZATIONS:
        twin = _same_hybrid(name)
        near = nearest(name, PARAMETRIZATIONS) if twin is None else f"write '{twin}'"
        raise RuleError(
            f"there is no parametrization '{name}'",
            why="a wrong name would train with the wrong rates",
            fix=f"{near}; `mutransfer rules` prints the tables",
        )
    return PARAMETRIZATIONS[name]


def _same_hybrid(name: str) -> str | None:
    """Give the one name of a hybrid whose switches are written otherwise, or None."""
    base, *named = re.split(r"[+-]", name)
    if base not in ("sp", "mup") or not named or not set(named) <= set(SWITCHES):
        return None
    return hybrid_name(set(named) if base == "sp" else set(SWITCHES) - set(named))
