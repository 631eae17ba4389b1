"""Reasons for an undetermined outcome, each with what would settle it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from mutransfer.coordcheck.diagnosis.late_steps import (
    EPS_RELEVANT,
    late_inconclusive,
    loss_increase,
)
from mutransfer.coordcheck.diagnosis.settings import ObservedSettings
from mutransfer.coordcheck.findings import Finding
from mutransfer.coordcheck.runs.probes import Key
from mutransfer.coordcheck.runs.train import Floats
from mutransfer.errors import listed

MAX_SEEDS = 50  # beyond this, larger widths are cheaper than more seeds [assumed]


def reasons_undetermined(
    findings: Sequence[Finding],
    power: Mapping[str, bool],
    readings: Mapping[Key, Floats],
    num_seeds: int,
    widths: Sequence[int],
) -> list[str]:
    """Return why the outcome is undetermined; an empty list if nothing is missing."""
    reasons = _untrained(readings)
    late = late_inconclusive(findings)
    is_open = not all(power.values()) or any(f.outcome == "undetermined" for f in findings)
    if is_open and (increase := loss_increase(readings, widths)):
        # Whatever else is undetermined follows from it, and neither seeds nor widths would help.
        return [f"{increase}: the learning rate is too high, so lower it", *reasons]
    if late:
        reasons.append(
            f"{_describe_late(late)}: the learning rate is probably too high, so lower it, or take "
            "fewer steps"
        )
    if noisy := [f for f in findings if f.outcome == "undetermined" and f not in late]:
        needed = num_seeds * max(_seeds_factor(finding) for finding in noisy)
        remedy = f"seeds={math.ceil(needed)}" if needed <= MAX_SEEDS else "larger widths"
        reasons.append(
            f"too noisy or too near the tolerance: {_listed(noisy)}: {remedy} may settle it, or a "
            "lower rate"
        )
    if undetected := [role for role, is_detected in power.items() if not is_detected]:
        reasons.append(
            f"a planted fault of half a power in the rate of {listed(undetected)} is not detected: "
            "raise lr=, or add widths"
        )
    return reasons


def reason_to_lower_rate(
    findings: Sequence[Finding],
    power: Mapping[str, bool],
    readings: Mapping[Key, Floats],
    widths: Sequence[int],
) -> str:
    """Return why a lower rate may decide an undetermined outcome, or an empty string.

    It may where the loss rose, or where nothing but the last steps is inconclusive. An epsilon that
    matters can cause late deviations, too, at any rate.
    """
    undetermined = [finding for finding in findings if finding.outcome == "undetermined"]
    settings = ObservedSettings(readings, (), {})
    names = {key[1] for key in readings if key[0] == "set eps"}
    eps_matters = any(settings.eps_ratio(name) > EPS_RELEVANT for name in names)
    if _untrained(readings) or not undetermined or eps_matters:
        return ""
    if increase := loss_increase(readings, widths):
        return increase
    is_late_only = all(power.values()) and undetermined == late_inconclusive(findings)
    return _describe_late(undetermined) if is_late_only else ""


def _describe_late(late: Sequence[Finding]) -> str:
    """Describe findings that deviate at the last steps only."""
    return f"the first steps are right, but the last ones deviate, or nearly do: {_listed(late)}"


def _untrained(readings: Mapping[Key, Floats]) -> list[str]:
    """Return a reason for the parameters that are not trained although they should be."""
    reached = {key[1]: values for key, values in readings.items() if key[0] == "reached"}
    cut_off = [name for name, values in reached.items() if not np.nanmax(values)]
    without_optimizer = [
        name for name in reached if name not in cut_off and ("set lr", name) not in readings
    ]
    problems = (("no gradient reaches", cut_off), ("no optimizer holds", without_optimizer))
    return [
        f"{problem} {listed(names)}: fix that, or freeze them with requires_grad_(False)"
        for problem, names in problems
        if names
    ]


def _listed(findings: Sequence[Finding]) -> str:
    """Format the names and quantities of findings, without repetition."""
    return listed(dict.fromkeys(f"{f.name} ({f.quantity})" for f in findings))


def _seeds_factor(finding: Finding) -> float:
    """Return the factor on the number of seeds at which the interval clears the tolerance."""
    tolerance = finding.tolerance[0 if finding.deviation < 0 else 1]
    gap = abs(tolerance - abs(finding.deviation))
    half_width = (finding.high - finding.low) / 2
    return (half_width / gap) ** 2 if gap else math.inf  # half-widths fall as 1/√seeds
