"""Stability of training near the best rate: rises, roughness, and the runs that diverge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mutransfer.analysis.types.estimates import Estimate

MULTIPLES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Multiples of the best rate at which stability is measured."""


@dataclass(frozen=True, slots=True)
class CurveMeasure:
    """A measure of training curves at one rate.

    Args:
        mean: Mean over seeds; 90 % interval.
        by_seed: The value of each seed, so that groups with the same seeds can be paired.
    """

    mean: Estimate
    by_seed: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class RateStability:
    """Stability at one multiple of the best rate; between the rates tried it is interpolated.

    The measures are None where no training curves were recorded.

    Args:
        multiple: The rate as a multiple of the best one.
        excess_loss: Final loss there minus that at the best rate; 90 % interval.
        largest_rise: Largest rise of the training loss above its running minimum.
        roughness: RMS second difference of the training curve over √6.
        paired_roughness: The same without what runs at neighboring rates share.
    """

    multiple: float
    excess_loss: Estimate
    largest_rise: CurveMeasure | None
    roughness: CurveMeasure | None
    paired_roughness: CurveMeasure | None


@dataclass(frozen=True, slots=True)
class DivergedRuns:
    """Runs that diverged at rates above the best one, up to four times as large.

    Args:
        count: Runs that diverged.
        total: All runs at these rates.
        share: Share of them that diverged; 90 % interval.
    """

    count: int
    total: int
    share: Estimate


@dataclass(frozen=True, slots=True)
class WidthStability:
    """Stability of training at one width.

    Args:
        width: The value of the scale.
        log2_lr: log2 of the fitted best rate; None where there is no fit.
        rates: One per multiple of the best rate, ascending.
        diverged: Runs that diverged at larger rates.
        curve_stride: Steps between the stored losses of a training curve, at most, or None.
    """

    width: float
    log2_lr: float | None
    rates: tuple[RateStability, ...]
    diverged: DivergedRuns
    curve_stride: int | None

    def at(self, multiple: float) -> RateStability:
        """Return the stability at a multiple of the best rate, one of `MULTIPLES`."""
        return self.rates[MULTIPLES.index(multiple)]
