"""This file is what an analysis answers: each group's report, comparisons, the whole report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from mutransfer.analysis.types.estimates import Curve, Estimate, Optimum, Verdict, plain
from mutransfer.analysis.types.scaling import CarriedRegret, Laws, Scaling

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class GroupReport:
    """Whether the best rate transfers over widths within one group, usually a parametrization.

    Args:
        name: The group.
        verdict: 'transfers', 'does not transfer' or 'undetermined'.
        reason: One sentence that defends the verdict, or says what to add.
        curves: One per width, rising.
        optimum: One per width, rising.
        drift: Slope of log2(best rate) against log2(width); 90 % interval.
        sensitivity: The drift, and as low and high its range when one width is left out.
        regret: Cost at the largest width of the smallest width's best rate, in nats;
            `low` and `high` are one-sided 95 % bounds.
        regret_share: The same as a share of the best loss at the largest width.
        regret_matrix: The regret of every width's best rate at every larger width.
        grid_regret: The same between grid points, in nats, without an interval.
        paper_criterion: Whether every width has the same best rate on the grid, or None.
        scaling: Laws, robustness, predictability.
        R_inf: L∞ minus that of the reference, in nats (arXiv:2605.21486).
        saved: Share of the training FLOPs that tuning at the smallest width and training once at
            the largest saves against tuning at the largest.
    """

    name: str
    verdict: Verdict
    reason: str
    curves: tuple[Curve, ...]
    optimum: tuple[Optimum, ...]
    drift: Estimate
    sensitivity: Estimate
    regret: Estimate
    regret_share: Estimate
    regret_matrix: tuple[CarriedRegret, ...]
    grid_regret: Estimate
    paper_criterion: bool | None
    scaling: Scaling
    R_inf: Estimate
    saved: Estimate

    @property
    def laws(self) -> Laws:
        """The power laws of loss, best rate and curvature."""
        return self.scaling.laws

    @property
    def kappa(self) -> Estimate:
        """The transfer robustness exponent; negative is robust."""
        return self.scaling.kappa

    @property
    def E(self) -> Estimate:  # noqa: N802 - the paper's symbol
        """The loss predictability error, in nats²."""
        return self.scaling.E

    def to_json(self) -> dict[str, Any]:
        """Give plain data; NaN becomes None."""
        return {f.name: plain(getattr(self, f.name)) for f in fields(self) if f.name != "name"}


@dataclass(frozen=True, slots=True)
class Comparison:
    """How much worse a group is than the best one, each at its own optimum.

    Args:
        group: The group that is compared.
        reference: The group with the lowest loss.
        width: The largest width that both have.
        difference: Loss of the group minus that of the reference, in nats; 90 % interval.
        paired: Whether both ran the same seeds, so that what seeds share cancels.
    """

    group: str
    reference: str
    width: float
    difference: Estimate
    paired: bool


@dataclass(frozen=True, slots=True, eq=False)
class Report(Mapping[str, GroupReport]):
    """Every group's report by its name, and what they were made with.

    Args:
        groups: The group reports.
        threshold: Regret that still counts as transfer, as a share of the best loss.
        scale: Name of the scale, usually 'width'.
        hyperparameter: Name of the hyperparameter, usually 'lr'.
        group_by: The columns that make groups.
        comparisons: Each other group against the best one; empty with one group.
        reference: What R(∞) is measured from, in words; empty with one group.
        window: Half-width in ln(rate) of what the parabolas are fitted to.
        notes: What was left out of the results, or changed, in sentences.
        draws: Draws behind each interval.
        seed: Seed of these draws.
    """

    groups: Mapping[str, GroupReport]
    threshold: float
    scale: str
    hyperparameter: str
    group_by: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    reference: str
    window: float
    notes: tuple[str, ...]
    draws: int
    seed: int

    def __getitem__(self, name: str) -> GroupReport:
        return self.groups[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def to_json(self) -> dict[str, Any]:
        """Give the whole report as plain data for `json.dump`; NaN becomes None."""
        settings = {
            f.name: plain(getattr(self, f.name))
            for f in fields(self)
            if f.name not in ("groups", "comparisons")
        }
        return {
            "schema": SCHEMA,
            **settings,
            "groups": {name: group.to_json() for name, group in self.groups.items()},
            "comparisons": plain(self.comparisons),
        }
