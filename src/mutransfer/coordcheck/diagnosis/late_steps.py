"""Late deviations: exponents that are off at the last steps only, which no scaling rule explains.

A wrong init, multiplier or learning rate shows at the first steps. What appears later comes from a
scheduler, from an epsilon that gradients have shrunk to, or from too large a learning rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mutransfer.coordcheck.diagnosis.settings import ObservedSettings, setting_at_ends
from mutransfer.coordcheck.findings import Finding
from mutransfer.coordcheck.runs.probes import Key
from mutransfer.coordcheck.runs.train import Floats

RATIO_CHANGE = 0.2  # power of width by which the ratio of two rates changes [assumed]
EPS_RELEVANT = 0.05  # epsilon over the gradient's size, at the largest width [assumed]
LOSS_RATIO = 1.05  # last loss over the first that counts as an increase [assumed]


def mark_late_inconclusive(
    findings: Sequence[Finding], readings: Mapping[Key, Floats]
) -> tuple[Finding, ...]:
    """Make late failures undetermined unless the optimizer's settings explain them.

    A correct untied GPT with a slightly too large learning rate would fail otherwise.
    """
    first = _first_findings(findings)
    names = {key[1] for key in readings if key[0] == "set lr"}
    settings = ObservedSettings(readings, (), {})
    any_changed = any(_rate_ratio_changed(name, readings) for name in names)
    marked = []
    for finding in findings:
        name, is_explained = finding.name, any_changed
        if name in names:
            is_eps_relevant = settings.eps_ratio(name) > EPS_RELEVANT
            is_explained = is_eps_relevant or _rate_ratio_changed(name, readings)
        began_early = first[finding.quantity, name].outcome == "fail"
        if finding.outcome == "fail" and not began_early and not is_explained:
            finding = replace(finding, outcome="undetermined")
        marked.append(finding)
    return tuple(marked)


def _first_findings(findings: Sequence[Finding]) -> dict[tuple[str, str], Finding]:
    """Return the finding at the first steps for every quantity and name."""
    return {(finding.quantity, finding.name): finding for finding in reversed(findings)}


def is_inconclusive(finding: Finding) -> bool:
    """Return whether a finding deviates but was made undetermined."""
    below, above = finding.tolerance
    deviates = finding.low > finding.expected + above or finding.high < finding.expected - below
    return finding.outcome == "undetermined" and deviates


def late_inconclusive(findings: Sequence[Finding]) -> list[Finding]:
    """Return late findings that deviate, or that are undetermined although the first passed."""
    first = _first_findings(findings)
    undetermined = [finding for finding in findings if finding.outcome == "undetermined"]
    return [
        finding
        for finding in undetermined
        if is_inconclusive(finding) or first[finding.quantity, finding.name].outcome == "pass"
    ]


def loss_increase(readings: Mapping[Key, Floats], widths: Sequence[int]) -> str:
    """Describe the first width at which the loss rose, or return an empty string."""
    losses_WT = readings["loss", ""].mean(axis=1)
    for width, losses_T in zip(widths, losses_WT, strict=True):
        if losses_T[-1] > LOSS_RATIO * losses_T[0]:
            return f"the loss rose from {losses_T[0]:.3g} to {losses_T[-1]:.3g} at width {width}"
    return ""


def _rate_ratio_changed(name: str, readings: Mapping[Key, Floats]) -> bool:
    """Return whether the ratio of a parameter's rates between widths changes during training."""
    powers = []
    for late in (False, True):
        first, last = setting_at_ends(readings["set lr", name], late=late)
        if first <= 0 or last <= 0:
            return False  # a warm-up may start at zero, which has no ratio
        powers.append(np.log2(last / first))
    return bool(abs(powers[1] - powers[0]) > RATIO_CHANGE)
