"""Evidence on the claims of arXiv:2605.21486: the analysis of one's own study, in two gauges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mutransfer.analysis import (
    Comparison,
    Estimate,
    GroupReport,
    Report,
    Results,
    analyze,
    compare_groups,
)
from mutransfer.analysis.gauge import scale_rates
from mutransfer.literature.claims import published_claims
from mutransfer.literature.hybrids import switches_on
from mutransfer.literature.regression import regress

# The pairs of hybrids that claims are about.
PAIRS = (
    ("sp", "sp+embd"), ("sp+embd", "mup"), ("mup-embd", "mup"), ("sp", "mup"), ("sp+ln", "sp"),
)  # fmt: skip
DECAY = "weight_decay"
HYBRID = "parametrization"
POWERS = (("0", "0.5"), ("1", "0.5"))  # of the width, in the embedding's rate
HALF_WIDTH = 1.6448536  # standard deviations of a normal distribution in half a 90 % interval


@dataclass(frozen=True, slots=True)
class Evidence:
    """The analysis of one study of hybrids.

    Args:
        study: The study, as claims name it.
        label: Its name, which says the scale if that is the paper's.
        report: Its analysis, with rates in the units of each parametrization.
        in_mup_gauge: The same in the units of µP, for hybrids without `embd` the rate times width;
            None if no claim on transfer is tested by it.
        comparisons: The comparison of each of the `PAIRS` that it has, at every value of another
            axis; or of each of the `POWERS`.
    """

    study: str
    label: str
    report: Report
    in_mup_gauge: Report | None
    comparisons: Mapping[tuple[str, str], Comparison]

    @property
    def cells(self) -> dict[tuple[str, float], GroupReport]:
        """The groups by hybrid and weight decay; without decays all are at zero."""
        columns = self.report.group_by
        cells = {}
        for name, group in self.report.items():
            values = dict(zip(columns, name.split(", "), strict=True))
            cells[values[HYBRID], float(values.get(DECAY, 0))] = group
        return cells

    def decay_effect(
        self, number: Callable[[GroupReport], Estimate], hybrids: Sequence[str] | None = None
    ) -> tuple[Estimate, int]:
        """Estimate the change of a number with weight decay, and count the groups behind it.

        A regression on one level per hybrid and on whether there is any decay. Its errors contain
        those of each number, and the scatter of what decay does to the hybrids.
        """
        cells = {
            (name, decay): estimate
            for (name, decay), group in self.cells.items()
            if (estimate := number(group)).value is not None
            and (hybrids is None or name in hybrids)
        }
        names = sorted({name for name, _ in cells})
        rows = [[*(float(name == own) for name in names), float(decay > 0)] for own, decay in cells]
        if len({decay > 0 for _, decay in cells}) < 2 or np.linalg.matrix_rank(rows) <= len(names):
            return Estimate(undetermined="no hybrid has a value with decay and without"), len(cells)
        values = np.array([estimate.value for estimate in cells.values()], dtype=np.float64)
        fit = regress(np.array(rows), values, np.array([*map(_variance, cells.values())]))
        return fit.estimate(len(names)), len(cells)


def evidence(study: str, results: Results, *, label: str = "") -> Evidence:
    """Analyze a study of hybrids between SP and µP.

    Args:
        study: The study, as claims name it.
        results: Its trials, with a column 'parametrization'.
        label: Its name, if it is another one.
    """
    report = analyze(results)
    moved = None
    if study in published_claims()["transfer"].studies:
        has_sp_gauge = ["embd" not in switches_on(str(name)) for name in results.axes[HYBRID]]
        moved = analyze(scale_rates(results, 1.0, np.array(has_sp_gauge)))
    levels = {name.removesuffix(name.rpartition(", ")[2]) for name in report}
    pairs = [(level + a, level + b) for level in sorted(levels) for a, b in (*PAIRS, *POWERS)]
    comparisons = compare_groups(results, pairs, group_by=report.group_by)
    return Evidence(study, label or study, report, moved, comparisons)


def _variance(estimate: Estimate) -> float:
    """Return the variance behind an interval; zero without one, so that the scatter contains it."""
    if estimate.low is None or estimate.high is None:
        return 0.0
    return ((estimate.high - estimate.low) / (2 * HALF_WIDTH)) ** 2
