"""This file counts how often intervals held the truth, and writes the counts as a table."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mutransfer.analysis import Estimate

GOAL = 85.0  # percent


@dataclass
class Tally:
    """How often intervals held the truth; lengths of bounds are the bounds."""

    held: list[bool] = field(default_factory=list)
    lengths: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    missing: int = 0

    def add(self, estimate: Estimate, truth: float, side: str) -> None:
        """Count one estimate; `side` is 'both', 'low' or 'high'."""
        low, high, slack = estimate.low, estimate.high, 1e-12 + 1e-9 * abs(truth)
        if estimate.value is not None:
            self.errors.append(estimate.value - truth)
        if (low is None and side != "high") or (high is None and side != "low"):
            self.missing += 1
            return
        under = side == "high" or (low is not None and low <= truth + slack)
        over = side == "low" or (high is not None and truth - slack <= high)
        self.held.append(under and over)
        ends = {"both": (high or 0.0) - (low or 0.0), "low": low, "high": high}
        self.lengths.append(float(ends[side] or 0.0))

    def cells(self) -> str:
        """Give a row of the table."""
        num = len(self.held)
        share = f"{100 * np.mean(self.held):.1f} %" if num else "–"
        lost = 100 * self.missing / max(num + self.missing, 1)
        length = f"{np.median(self.lengths):.3g}" if num else "–"
        error = f"{np.median(self.errors):+.2g}" if self.errors else "–"
        return f"{share} | {num} | {lost:.1f} % | {length} | {error}"


def gathered(cases: dict[str, dict[str, Tally]]) -> str:
    """Give one table of all cases: the share covered, bold below the goal."""
    quantities = list(dict.fromkeys(name for found in cases.values() for name in found))
    lines = [f"| quantity | {' | '.join(cases)} |", "| --- |" + " --- |" * len(cases)]
    for quantity in quantities:
        cells = []
        for found in cases.values():
            held = found[quantity].held if quantity in found else None
            share = 100 * np.mean(held) if held else 0.0
            told = f"{share:.1f}" if share >= GOAL else f"**{share:.1f}**"
            cells.append("" if held is None else told if held else "–")
        lines.append(f"| {quantity} | {' | '.join(cells)} |")
    return "\n".join(lines)
