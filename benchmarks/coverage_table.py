"""Counts of intervals that contain the truth, and their table."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mutransfer.analysis import Estimate

GOAL = 85.0  # percent


@dataclass
class Tally:
    """Which intervals of a quantity contain the truth; the length of a bound is the bound."""

    covered: list[bool] = field(default_factory=list)
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
        self.covered.append(under and over)
        ends = {"both": (high or 0.0) - (low or 0.0), "low": low, "high": high}
        self.lengths.append(float(ends[side] or 0.0))

    def cells(self) -> str:
        """Return the cells of a row."""
        num = len(self.covered)
        share = f"{100 * np.mean(self.covered):.1f} %" if num else "–"
        undetermined = 100 * self.missing / max(num + self.missing, 1)
        length = f"{np.median(self.lengths):.3g}" if num else "–"
        error = f"{np.median(self.errors):+.2g}" if self.errors else "–"
        return f"{share} | {num} | {undetermined:.1f} % | {length} | {error}"


def coverage_table(cases: dict[str, dict[str, Tally]]) -> str:
    """Format one table of all cases: the covered share in percent, bold below the goal."""
    quantities = list(dict.fromkeys(name for tallies in cases.values() for name in tallies))
    lines = [f"| quantity | {' | '.join(cases)} |", "| --- |" + " --- |" * len(cases)]
    for quantity in quantities:
        cells = []
        for tallies in cases.values():
            covered = tallies[quantity].covered if quantity in tallies else None
            share = 100 * np.mean(covered) if covered else 0.0
            text = f"{share:.1f}" if share >= GOAL else f"**{share:.1f}**"
            cells.append("" if covered is None else text if covered else "–")
        lines.append(f"| {quantity} | {' | '.join(cells)} |")
    return "\n".join(lines)
