"""Abbreviation of long lists of parameter names, such as `blocks.*.{q,k}.weight`."""

from __future__ import annotations

import re
from collections.abc import Sequence

Choices = tuple[str, ...]  # alternatives for one dot-separated part of a name
Pattern = tuple[Choices, ...]


def star_indices(name: str) -> str:
    """Replace every layer index in a name by a star.

    Example:
        >>> star_indices("blocks.31.mlp.0.weight")
        'blocks.*.mlp.*.weight'
    """
    return re.sub(r"(?<![^.])\d+(?![^.])", "*", name)


def abbreviate(names: Sequence[str], all_names: Sequence[str]) -> list[str]:
    """Abbreviate parameter names: a star stands for every layer, braces list alternatives.

    A star is used only where all matching parameters are in `names`, so that a pattern never
    covers a parameter outside of the list.

    Args:
        names: The parameters to list, in order.
        all_names: All parameters of the model.

    Example:
        >>> layers = [f"blocks.{k}.{part}" for k in range(3) for part in ("q.weight", "k.weight")]
        >>> abbreviate(layers, [*layers, "norm.weight"])
        ['blocks.*.{q,k}.weight']
        >>> abbreviate(layers[2:], layers)
        ['blocks.{1,2}.{q,k}.weight']
    """
    by_pattern: dict[str, list[str]] = {}
    for name in names:
        by_pattern.setdefault(star_indices(name), []).append(name)
    excluded = {star_indices(name) for name in set(all_names) - set(names)}
    shortened = [
        name
        for pattern, matches in by_pattern.items()
        for name in (matches if len(matches) == 1 or pattern in excluded else [pattern])
    ]
    return [".".join(map(_format_choices, pattern)) for pattern in _merge(shortened)]


def _merge(names: Sequence[str]) -> list[Pattern]:
    """Join names that differ in one part only."""
    patterns: list[Pattern] = [tuple((part,) for part in name.split(".")) for name in names]
    # From the last part to the first: `q.weight` and `q.bias` of one layer join before the layers
    # do, as a reader groups them.
    for from_end in range(1, 1 + max((len(pattern) for pattern in patterns), default=0)):
        merged: dict[object, Pattern] = {}
        for pattern in patterns:
            at = len(pattern) - from_end
            if at < 0:
                merged[pattern] = pattern
                continue
            key = (pattern[:at], pattern[at + 1 :])
            choices = merged[key][at] if key in merged else ()
            choices += tuple(choice for choice in pattern[at] if choice not in choices)
            merged[key] = (*pattern[:at], choices, *pattern[at + 1 :])
        patterns = list(merged.values())
    return patterns


def _format_choices(choices: Choices) -> str:
    """Format alternatives in braces, with runs of three or more indices as a range."""
    if len(choices) == 1:
        return choices[0]
    runs: list[list[str]] = []
    for choice in choices:
        last = runs[-1][-1] if runs else ""
        if last.isdecimal() and choice.isdecimal() and int(choice) == int(last) + 1:
            runs[-1].append(choice)
        else:
            runs.append([choice])
    parts = [f"{run[0]}..{run[-1]}" if len(run) > 2 else ",".join(run) for run in runs]
    return "{" + ",".join(parts) + "}"
