"""Comparison with published laws, as text and as data for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mutransfer.analysis import Estimate
from mutransfer.analysis.format import format_rate, format_size
from mutransfer.analysis.types.estimates import json_data
from mutransfer.literature.laws.compare import ComparedLaw, format_anchor

OURS = "this prediction"


def laws_text(
    laws: Sequence[ComparedLaw], target: Mapping[str, float], ours: Estimate, group: str
) -> str:
    """Format the laws below our own prediction of one group."""
    sizes = ", ".join(f"{name} {format_size(size)}" for name, size in target.items())
    head = f"{group}: laws of others at {sizes} (none of them is part of the prediction)"
    value = "undetermined" if ours.value is None else format_rate(ours.value)
    width = max(len(title) for title in (OURS, *(law.title for law in laws)))
    lines = [head, f"  {OURS:<{width}}  {value}"]
    for law in laws:
        lines.append(f"  {law.title:<{width}}  {_answer(law, ours)} ({law.source})")
        lines += [f"    {warning}" for warning in law.warnings]
    return "\n".join(lines)


def laws_data(laws: Sequence[ComparedLaw], group: str) -> list[dict[str, Any]]:
    """Return the laws as data for JSON."""
    return [{"group": group, **json_data(law)} for law in laws]


def _answer(law: ComparedLaw, ours: Estimate) -> str:
    """Format the rate of one law, or what it lacks."""
    if law.missing:
        names = " and ".join(law.missing)
        argument = ",".join(f"{name}=…" for name in law.missing)
        return f"needs {names}: --at {argument}"
    if law.log2_lr is None:
        return "undetermined"
    text = format_rate(law.log2_lr)
    if ours.value is not None:
        text += f", {law.log2_lr - ours.value:+.2f} octaves"
    if law.anchor is not None:
        text += f", from {format_anchor(law.anchor)}"
    if law.batch_tokens is not None:
        text += f"; batch of {law.batch_tokens:.3g} tokens"
    return text
