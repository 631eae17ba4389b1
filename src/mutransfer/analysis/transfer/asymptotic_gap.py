"""Asymptotic gap R(∞): the excess loss of a group over a reference at infinite scale."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mutransfer.analysis.format import AxisNames
from mutransfer.analysis.intervals import ON_BOUND, WIDTHS_FOR_VALUE, estimate
from mutransfer.analysis.laws.power_law import FloorLaw, fit_floor_law
from mutransfer.analysis.transfer.optima import Optima
from mutransfer.analysis.types.estimates import Estimate, Floats
from mutransfer.errors import ResultsError, listed, nearest

# Shape legend: W widths, S samples (the data first, then the draws).

ONE_GROUP = "one group: add another to compare with"


def asymptotic_gaps(
    optima: Mapping[str, Optima], reference: str | None, axes: AxisNames
) -> tuple[str, Mapping[str, Estimate]]:
    """Estimate each group's L∞ minus that of the reference (arXiv:2605.21486).

    Args:
        optima: The optima of every group.
        reference: A group, or None for the lower envelope: the best loss of all at every width.
        axes: Names of the scale and of the hyperparameter.

    Returns:
        A description of the reference, and the gaps.

    Raises:
        ResultsError: The reference is not a group.
    """
    if reference is not None and reference not in optima:
        raise ResultsError(
            f"the reference {reference!r} is not a group",
            why="R(∞) is measured from the irreducible loss of one of the groups, or of their best",
            fix=f"{nearest(reference, optima)} for --reference (in Python: reference=...)",
        )
    if len(optima) < 2:
        return "", dict.fromkeys(optima, Estimate(undetermined=ONE_GROUP))
    if reference is None:
        laws = {name: group.loss_law for name, group in optima.items()}
        members = [name for name, law in laws.items() if law and not law.is_bound[0]]
        title = f"the lower envelope of {listed(members)}" if members else "a lower envelope"
    else:
        members, title = [reference], reference
    law, no_value = _reference_law([optima[name] for name in members], axes)
    no_interval = next((optima[n].no_interval for n in members if optima[n].no_interval), None)
    gaps = {name: _gap(group, law, no_value, no_interval) for name, group in optima.items()}
    if reference is not None and law is not None:
        gaps[reference] = Estimate(0.0, 0.0, 0.0)
    return title, gaps


def _reference_law(members: list[Optima], axes: AxisNames) -> tuple[FloorLaw | None, str | None]:
    """Fit the lowest loss at the widths that all members share, or return why that fails."""
    if not members:
        return None, f"the reference has no law: in every group {ON_BOUND}"
    if len(members) == 1:
        return members[0].loss_law, members[0].no_value
    shared = sorted(set.intersection(*(set(member.n.tolist()) for member in members)))
    if len(shared) < WIDTHS_FOR_VALUE:
        return None, (
            f"the reference needs {WIDTHS_FOR_VALUE} values of {axes.scale} at which every group "
            f"has an optimum, and there {'is' if len(shared) == 1 else 'are'} {len(shared)}: "
            "run the same ones in every group"
        )
    count = min(len(member.loss) for member in members)
    losses: list[Floats] = [member.loss[:count, np.isin(member.n, shared)] for member in members]
    return fit_floor_law(np.array(shared), np.min(losses, axis=0)), None


def _gap(
    optima: Optima, law: FloorLaw | None, no_value: str | None, no_interval: str | None
) -> Estimate:
    """Estimate one group's gap to the reference."""
    own = optima.loss_law
    if own is None or law is None:
        return Estimate(undetermined=optima.no_value or no_value)
    count = min(len(own.floor), len(law.floor))
    return estimate(
        own.floor[:count] - law.floor[:count],
        optima.no_interval or no_interval,
        own.is_bound[:count] | law.is_bound[:count],
    )
