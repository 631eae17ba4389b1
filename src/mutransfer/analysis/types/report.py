"""The report of an analysis: one `GroupReport` per group, and comparisons between groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from mutransfer.analysis.types.estimates import Curve, Estimate, Optimum, Verdict, json_data
from mutransfer.analysis.types.scaling import CarriedRegret, Laws, Scaling
from mutransfer.analysis.types.stability import WidthStability

SCHEMA = 1
LONG = ("groups", "comparisons")  # fields that follow the settings in the JSON
Group = TypeVar("Group")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Groups(Mapping[str, Group], Generic[Group]):
    """Reports of groups by their names, in the order of the names.

    Args:
        groups: The reports.
    """

    groups: Mapping[str, Group]

    def __repr__(self) -> str:
        return "\n".join(map(repr, self.values()))

    def __getitem__(self, name: str) -> Group:
        return self.groups[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def to_json(self) -> dict[str, Any]:
        """Return the whole report as plain data for `json.dump`; NaN becomes None."""
        data = json_data(self)
        long = {name: data.pop(name) for name in LONG if name in data}
        return {"schema": SCHEMA, **data, **long}


@dataclass(frozen=True, slots=True, repr=False)
class GroupReport:
    """Whether the best rate transfers over widths within one group, usually a parametrization.

    Args:
        name: The group.
        verdict: 'transfers', 'does not transfer' or 'undetermined'.
        reason: One sentence that supports the verdict, or says what to add.
        curves: One per width, ascending.
        optimum: One per width, ascending.
        drift: Slope of log2(best rate) against log2(width); 90 % interval.
        sensitivity: The drift; `low` and `high` are its range when one width is left out.
        regret: Excess loss at the largest width with the smallest width's best rate;
            `low` and `high` are one-sided 95 % bounds.
        regret_share: The regret as a share of the best loss at the largest width.
        regret_matrix: The regret of every width's best rate at every larger width.
        grid_regret: The regret between rates that were tried, without an interval.
        paper_criterion: Whether every width has the same best rate on the grid, or None.
        scaling: Laws, robustness, predictability.
        R_inf: L∞ minus that of the reference (arXiv:2605.21486).
        saved: Share of the training FLOPs that tuning at the smallest width and training once at
            the largest saves against tuning at the largest.
        stability: Stability of training near the best rate, one per width, ascending.
    """

    name: str = field(metadata={"json": False})  # it is the key of the group in the JSON
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
    stability: tuple[WidthStability, ...] = ()

    def __repr__(self) -> str:
        return f"{self.name}: {self.verdict}\n  {self.reason}"  # all fields would fill pages

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
        """The loss predictability error, a squared loss."""
        return self.scaling.E

    def to_json(self) -> dict[str, Any]:
        """Return plain data; NaN becomes None."""
        data: dict[str, Any] = json_data(self)
        return data


@dataclass(frozen=True, slots=True)
class MetricDifferences:
    """The metrics of arXiv:2605.21486 of a group minus those of a reference; 90 % intervals.

    Both are fitted to the widths at which both have an optimum.

    Args:
        log10_E: Difference of log10 E. Its interval holds for E as it is and for E without its
            noise; an end is missing where noise alone explains the E of one of the two.
        kappa: Difference of κ.
        R_inf: Difference of L∞, which is R(∞) of the group if the reference is its reference.
    """

    log10_E: Estimate  # noqa: N815 - the paper's symbol
    kappa: Estimate
    R_inf: Estimate


@dataclass(frozen=True, slots=True)
class Comparison:
    """How much worse a group is than a reference, each at its own optimum.

    Args:
        group: The group that is compared.
        reference: The group that it is compared with; in a report, the one with the lowest loss.
        width: The largest width that both have.
        difference: Loss of the group minus that of the reference; 90 % interval.
        paired: Whether both ran the same seeds, so that what seeds share cancels.
        metrics: The differences of E, κ and R(∞).
    """

    group: str
    reference: str
    width: float
    difference: Estimate
    paired: bool
    metrics: MetricDifferences


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Report(Groups[GroupReport]):
    """The report of every group by its name, and the settings of the analysis.

    Args:
        groups: The group reports.
        threshold: Regret that still counts as transfer, as a share of the best loss.
        scale: Name of the scale, usually 'width'.
        hyperparameter: Name of the hyperparameter, usually 'lr'.
        group_by: The columns that make groups.
        comparisons: Each other group against the best one; empty with one group.
        reference: The group or envelope that R(∞) is measured from; empty with one group.
        window: Half-width in ln(rate) of the range that parabolas are fitted to.
        notes: Sentences on the runs, rows and columns that were left out.
        draws: Draws behind each interval.
        seed: Seed of these draws.
        loss_unit: Unit of the losses, 'nats', or None where it is undetermined.
    """

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
    loss_unit: str | None = field(default=None, metadata={"json": False})
