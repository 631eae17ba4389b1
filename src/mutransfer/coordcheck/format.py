"""This file is a coordinate check in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mutransfer.coordcheck.result import CoordCheck, Finding

ORDER = {"fail": 0, "undetermined": 1, "pass": 2}


def table(check: CoordCheck) -> str:
    """Write verdict, diagnoses, and one line per quantity and role."""
    s = check.settings
    lines = [
        f"coordinate check: {check.outcome}",
        f"  {s['parametrization'] or 'your own implementation'}, {s['optimizer']}, widths "
        f"{', '.join(map(str, s['widths']))}, {s['seeds']} seeds, {s['steps']} steps, "
        + _rate(s["lr"]),
    ]
    lines += [f"  {one.fault}: {one.text}" for one in check.diagnoses]
    lines += [f"  {reason}" for reason in check.reasons]
    lines += [f"  note, {one.fault}: {one.text}" for one in check.notes]
    lines += ["", "  exponent of width        expected  within       lowest  highest  of  outcome"]
    kinds: dict[tuple[str, str], list[Finding]] = {}
    for one in check.findings:
        kinds.setdefault((one.quantity, one.role), []).append(one)
    for (quantity, role), members in kinds.items():
        lines.append(_line(quantity, role, members))
    lines.append("  (of: how many exponents, early and late steps apart; within: early, late)")
    seen = [role for role, caught in check.power.items() if caught]
    lines.append(f"  a planted half power in the rate is caught in: {', '.join(seen) or 'none'}")
    return "\n".join(lines)


def _rate(lr: float | Mapping[str, float] | None) -> str:
    """Say the rate, or that of each optimizer."""
    if isinstance(lr, Mapping):
        return ", ".join(f"lr of {name} {rate:g}" for name, rate in lr.items())
    return "rates of your own" if lr is None else f"lr {lr:g}"


def _line(quantity: str, role: str, members: Sequence[Finding]) -> str:
    """Write the extremes of like findings."""
    worst = min(members, key=lambda one: ORDER[one.outcome])
    low, high = min(m.slope for m in members), max(m.slope for m in members)
    failing = sum(m.outcome == "fail" for m in members)
    told = f"{failing} fail" if failing else worst.outcome
    whose = role or ("other modules" if quantity == "change" else "")
    name = f"{quantity}, {whose}" if whose else quantity
    expected = sorted({m.expected for m in members})
    aim = ", ".join(f"{x:+.1f}" for x in expected)
    below, above = members[0].tolerance
    within = f"±{above:g}" if below == above else f"-{below:g}, +{above:g}"
    within += (
        "" if members[-1].tolerance == members[0].tolerance else f", {members[-1].tolerance[1]:g}"
    )
    return (
        f"  {name:<24} {aim:>8}  {within:<11} {low:>+7.2f} {high:>+8.2f} {len(members):>3}  {told}"
    )
