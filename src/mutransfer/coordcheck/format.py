"""Terminal text of a coordinate check: its settings, and a table of exponents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mutransfer.coordcheck.findings import Finding

WORST_FIRST = ("fail", "undetermined", "pass")


def format_settings(settings: Mapping[str, Any]) -> str:
    """Format the settings of the runs in one line."""
    lr = settings["lr"]
    if isinstance(lr, Mapping):
        rate = ", ".join(f"lr of {name} {value:g}" for name, value in lr.items())
    else:
        rate = "rates of your own" if lr is None else f"lr {lr:g}"
    return (
        f"{settings['parametrization'] or 'your own implementation'}, {settings['optimizer']}, "
        f"widths {', '.join(map(str, settings['widths']))}, {settings['seeds']} seeds, "
        f"{settings['steps']} steps, {rate}"
    )


def format_findings(findings: Sequence[Finding]) -> list[str]:
    """Format a table with one line per quantity and role."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.quantity, finding.role), []).append(finding)
    return [
        "  exponent of width        expected  tolerance    lowest  highest  num  outcome",
        *(_line(quantity, role, members) for (quantity, role), members in groups.items()),
        "  (num: number of exponents, where early and late steps count separately;",
        "  a second tolerance applies to late steps)",
    ]


def _line(quantity: str, role: str, members: Sequence[Finding]) -> str:
    """Format the extremes of the findings of one quantity and role."""
    slopes = [finding.slope for finding in members]
    outcomes = [finding.outcome for finding in members]
    num_failed = outcomes.count("fail")
    outcome = f"{num_failed} fail" if num_failed else min(outcomes, key=WORST_FIRST.index)
    owner = role or ("other modules" if quantity == "change" else "")
    name = f"{quantity}, {owner}" if owner else quantity
    expected = ", ".join(f"{x:+.1f}" for x in sorted({m.expected for m in members}))
    below, above = members[0].tolerance
    tolerance = f"±{above:g}" if below == above else f"-{below:g}, +{above:g}"
    if members[-1].tolerance != members[0].tolerance:
        tolerance += f", {members[-1].tolerance[1]:g}"
    return (
        f"  {name:<24} {expected:>8}  {tolerance:<11} {min(slopes):>+7.2f} {max(slopes):>+8.2f} "
        f"{len(members):>4}  {outcome}"
    )
