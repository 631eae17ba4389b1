"""Reports over several scales: cells, exponents, and one verdict per scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mutransfer.analysis.types.estimates import Estimate, Verdict, json_data
from mutransfer.analysis.types.report import Groups
from mutransfer.analysis.types.scaling import CarriedRegret

Side = Literal["below", "above"]


@dataclass(frozen=True, slots=True)
class CellOptimum:
    """The best rate of one cell, a combination of sizes that was run.

    Args:
        sizes: Scale -> its value.
        log2_lr: log2 of the fitted best rate; 90 % interval.
        loss: Loss at the fitted best rate.
        grid_log2_lr: log2 of the best rate that was tried, or None.
        grid_loss: Mean loss there, or None.
        side: 'below' or 'above' where the best rate is the lowest or highest that was tried, so
            that the optimum lies on that side of `limit`; else None.
        limit: log2 of a rate that the optimum lies below or above, or None.
        residual: Octaves by which the best rate exceeds the law of the rate, or None.
    """

    sizes: Mapping[str, float]
    log2_lr: Estimate
    loss: Estimate
    grid_log2_lr: float | None
    grid_loss: float | None
    side: Side | None
    limit: float | None
    residual: float | None


@dataclass(frozen=True, slots=True)
class PathExponent:
    """The exponent along a path on which several scales vary together.

    Args:
        scale: The scale that measures the path.
        powers: Scale -> by which power of `scale` it grows along the path.
        exponent: Exponent in `scale`; 90 % interval.
    """

    scale: str
    powers: Mapping[str, float]
    exponent: Estimate


@dataclass(frozen=True, slots=True)
class RateExponents:
    """The law of the best rate, log2 η* = log2_lr + Σ exponent_k · log2(s_k / center_k).

    Args:
        log2_lr: log2 of the best rate at the center; 90 % interval.
        center: Scale -> geometric mean of its values over the cells.
        exponents: Scale -> its exponent; 90 % interval.
        paths: Exponents along paths, where scales cannot be separated.
        scatter: Standard deviation of the cells about the law beyond noise, in octaves, or None.
        num_cells: Cells with an optimum, which the law is fitted to.
        num_bounds: Cells that bound the law from one side.
    """

    log2_lr: Estimate
    center: Mapping[str, float]
    exponents: Mapping[str, Estimate]
    paths: tuple[PathExponent, ...]
    scatter: float | None
    num_cells: int
    num_bounds: int


@dataclass(frozen=True, slots=True)
class LossExponents:
    """The law of the best loss, L* = loss_inf + Σ amplitude_k · s_k^-exponent_k.

    It has no term for a scale along which the loss does not fall, as often along the batch size: it
    is then fitted to the best cells over all values of that scale.

    Args:
        loss_inf: L∞, the loss where all scales are infinite; 90 % interval.
        amplitudes: Scale -> A, what it adds at a size of 1.
        exponents: Scale -> α, its exponent.
        paths: Exponents along paths, where scales cannot be separated.
        scatter: Standard deviation of the cells about the law beyond noise, a loss, or None.
        num_cells: Cells that the law is fitted to.
    """

    loss_inf: Estimate
    amplitudes: Mapping[str, Estimate]
    exponents: Mapping[str, Estimate]
    paths: tuple[PathExponent, ...]
    scatter: float | None
    num_cells: int


@dataclass(frozen=True, slots=True)
class Line:
    """Cells along one scale, all others fixed: the best rate of the smallest at the largest.

    Args:
        fixed: Other scale -> its value; on a path also a ratio of scales.
        num_cells: Cells on the line.
        verdict: As for one scale.
        reason: One sentence that supports the verdict, or says what to add.
        drift: Slope of log2(best rate) against log2(size) on this line alone.
        carried: The excess loss of the smallest cell's best rate at the largest.
    """

    fixed: Mapping[str, float]
    num_cells: int
    verdict: Verdict
    reason: str
    drift: Estimate
    carried: CarriedRegret


@dataclass(frozen=True, slots=True)
class ScaleVerdict:
    """Whether the best rate transfers along one scale, or along a path, on all of its lines.

    Args:
        scale: The scale that grows.
        ratio: The ratio of scales that is fixed along a path, such as 'tokens/params', or None.
        verdict: 'transfers' if every line does, 'does not transfer' if one does not beyond the
            chance of several lines, else 'undetermined'.
        reason: One sentence that supports the verdict, or says what to add.
        lines: The lines, by their fixed sizes.
    """

    scale: str
    ratio: str | None
    verdict: Verdict
    reason: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, repr=False)
class ScalesGroupReport:
    """How the best rate and the best loss of one group scale, and where the rate transfers.

    Args:
        name: The group.
        cells: The cells, ascending.
        rate: The law of the best rate.
        loss: The law of the best loss.
        verdicts: One per scale, then one per path.
    """

    name: str = field(metadata={"json": False})  # it is the key of the group in the JSON
    cells: tuple[CellOptimum, ...]
    rate: RateExponents
    loss: LossExponents
    verdicts: tuple[ScaleVerdict, ...]

    def __repr__(self) -> str:
        lines = (f"  {v.ratio or v.scale}: {v.verdict}\n    {v.reason}" for v in self.verdicts)
        return "\n".join((self.name, *lines))

    def to_json(self) -> dict[str, Any]:
        """Return plain data; NaN becomes None."""
        data: dict[str, Any] = json_data(self)
        return data


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ScalesReport(Groups[ScalesGroupReport]):
    """The report of every group over several scales, by its name, and the settings.

    Args:
        groups: The group reports.
        threshold: Regret that still counts as transfer, as a share of the best loss.
        scales: Names of the scales.
        hyperparameter: Name of the hyperparameter, usually 'lr'.
        group_by: The columns that make groups.
        window: Half-width in ln(rate) of the range that parabolas are fitted to.
        notes: Sentences on the runs, rows and columns that were left out or merged.
        draws: Draws behind each interval.
        seed: Seed of these draws.
        loss_unit: Unit of the losses, 'nats', or None where it is undetermined.
    """

    threshold: float
    scales: tuple[str, ...]
    hyperparameter: str
    group_by: tuple[str, ...]
    window: float
    notes: tuple[str, ...]
    draws: int
    seed: int
    loss_unit: str | None = field(default=None, metadata={"json": False})
