"""This file is many parameter names in few words."""

from __future__ import annotations

import re
from collections.abc import Sequence

Choices = tuple[str, ...]  # what may stand between two dots


def starred(name: str) -> str:
    """Write a star for each layer's index.

    Example:
        >>> starred("blocks.31.mlp.0.weight")
        'blocks.*.mlp.*.weight'
    """
    return re.sub(r"(?<![^.])\d+(?![^.])", "*", name)


def folded(names: Sequence[str], every: Sequence[str]) -> list[str]:
    """Name parameters together: a star is every layer, braces hold what else differs.

    A star is written only where all such layers are meant, so that nothing is claimed of others.

    Args:
        names: The parameters that are meant, in order.
        every: All parameters there are.

    Example:
        >>> layers = [f"blocks.{k}.{part}" for k in range(3) for part in ("q.weight", "k.weight")]
        >>> folded(layers, [*layers, "norm.weight"])
        ['blocks.*.{q,k}.weight']
        >>> folded(layers[2:], layers)
        ['blocks.{1,2}.{q,k}.weight']
    """
    meant: dict[str, list[str]] = {}
    for name in names:
        meant.setdefault(starred(name), []).append(name)
    others = set(every) - set(names)
    shared = {starred(name) for name in others}
    shown = [
        name
        for pattern, some in meant.items()
        for name in (some if len(some) == 1 or pattern in shared else [pattern])
    ]
    return [".".join(map(_braced, parts)) for parts in _merged(shown)]


def _merged(names: Sequence[str]) -> list[tuple[Choices, ...]]:
    """Join names that differ between two dots only, from the last part to the first."""
    patterns: list[tuple[Choices, ...]] = [
        tuple((part,) for part in name.split(".")) for name in names
    ]
    for back in range(1, 1 + max((len(parts) for parts in patterns), default=0)):
        alike: dict[object, tuple[Choices, ...]] = {}
        for parts in patterns:
            at = len(parts) - back
            if at < 0:
                alike[parts] = parts
                continue
            key = (parts[:at], parts[at + 1 :])
            before = alike[key][at] if key in alike else ()
            joined = before + tuple(part for part in parts[at] if part not in before)
            alike[key] = (*parts[:at], joined, *parts[at + 1 :])
        patterns = list(alike.values())
    return patterns


def _braced(choices: Choices) -> str:
    """Write alternatives in braces, long runs of indices as ranges."""
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
