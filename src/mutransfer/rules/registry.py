"""Registry of all parametrizations by name."""

from __future__ import annotations

import re

from mutransfer.errors import RuleError, nearest
from mutransfer.rules.hybrids import HYBRIDS, SWITCHES, hybrid_name
from mutransfer.rules.tables import MFP, MUP, NONE, NTK, SP, SP_FULL_ALIGN, UMUP, Parametrization

TABLES = {table.name: table for table in (MUP, SP, NONE, SP_FULL_ALIGN, NTK, MFP, UMUP)}
"""The tables as printed in papers."""

PARAMETRIZATIONS = {**HYBRIDS, **TABLES}
"""All tables; `sp` and `mup`, the corners of the hybrids, as printed in their papers."""


def get_parametrization(name: str) -> Parametrization:
    """Return a parametrization by name.

    Raises:
        RuleError: There is no such table.

    Example:
        >>> from mutransfer.rules.roles import Role
        >>> print(get_parametrization("mup").rules[Role.HIDDEN].rates.entrywise)
        fan_in^-1
    """
    if not isinstance(name, str) or name not in PARAMETRIZATIONS:
        name = str(name)
        canonical = _canonical_name(name)
        hint = f"write '{canonical}'" if canonical else nearest(name, PARAMETRIZATIONS)
        raise RuleError(
            f"there is no parametrization '{name}'",
            why="every parametrization has its own learning rates",
            fix=f"{hint} (`mutransfer rules` lists the names)",
        )
    return PARAMETRIZATIONS[name]


def _canonical_name(name: str) -> str | None:
    """Return the registered name of a hybrid whose switches are in another order, or None."""
    base, *switches = re.split(r"[+-]", name)
    if base not in ("sp", "mup") or not switches or not set(switches) <= set(SWITCHES):
        return None
    return hybrid_name(set(switches) if base == "sp" else set(SWITCHES) - set(switches))
