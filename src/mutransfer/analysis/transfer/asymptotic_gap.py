"""This file is R(∞): how much worse a group stays at infinite scale than a reference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mutransfer.analysis.format import Words
from mutransfer.analysis.intervals import lacking_value, sampled
from mutransfer.analysis.laws.power_law import FloorLaw, floor_law
from mutransfer.analysis.transfer.scaling import Optima
from mutransfer.analysis.types.estimates import Estimate, Floats
from mutransfer.errors import ResultsError, listed, nearest

# Shape legend: W widths, S samples (the data first, then the draws).

SINGLE = "one group: give another to compare with"


def asymptotic_gaps(
    found: Mapping[str, Optima], reference: str | None, words: Words
) -> tuple[str, Mapping[str, Estimate]]:
    """Estimate each group's L∞ minus that of the reference (arXiv:2605.21486), in nats.

    Args:
        found: The optima of every group.
        reference: A group, or None for the lower envelope: at every width the best loss of all.
        words: How to name widths.

    Returns:
        The reference in words, and the gaps.

    Raises:
        ResultsError: The reference is no group.
    """
    if reference is not None and reference not in found:
        raise ResultsError(
            f"the reference {reference!r} is no group",
            why="R(∞) is measured from the irreducible loss of one of the groups, or of their best",
            fix=f"{nearest(reference, found)} for --reference (in Python: reference=...)",
        )
    if len(found) < 2:
        return "", dict.fromkeys(found, Estimate(undetermined=SINGLE))
    if reference is None:
        members = [n for n, one in found.items() if one.loss_law and not one.loss_law.bound[0]]
        told = f"the lower envelope of {listed(members)}" if members else "a lower envelope"
    else:
        members, told = [reference], reference
    law, lacking = _reference_law([found[name] for name in members], words)
    no_interval = next((found[n].no_interval for n in members if found[n].no_interval), None)
    return told, {
        name: Estimate(0.0, 0.0, 0.0)
        if name == reference and law is not None
        else _gap(one, law, lacking, no_interval)
        for name, one in found.items()
    }


def _reference_law(members: list[Optima], words: Words) -> tuple[FloorLaw | None, str | None]:
    """Fit the law of the lowest loss at the widths that all members share, or say why not."""
    if len(members) == 1:
        return members[0].loss_law, members[0].lacking
    shared = sorted(set.intersection(*(set(one.n.tolist()) for one in members))) if members else []
    if lacking := lacking_value(len(shared), None, words):
        return None, f"the reference has no law: {lacking} that the groups share"
    count = min(len(one.loss) for one in members)
    chosen: list[Floats] = [one.loss[:count, np.isin(one.n, shared)] for one in members]
    return floor_law(np.array(shared), np.min(chosen, axis=0)), None


def _gap(
    one: Optima, law: FloorLaw | None, lacking: str | None, no_interval: str | None
) -> Estimate:
    """Estimate one group's gap to the reference."""
    if one.loss_law is None or law is None:
        return Estimate(undetermined=one.lacking or lacking)
    count = min(len(one.loss_law.floor), len(law.floor))
    return sampled(
        one.loss_law.floor[:count] - law.floor[:count],
        one.no_interval or no_interval,
        one.loss_law.bound[:count] | law.bound[:count],
    )
