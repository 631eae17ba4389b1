"""Optima of one group over widths, and the power laws through them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.curves.group import FittedGroup, no_draws_reason, optimum_samples
from mutransfer.analysis.curves.skew import regret_weight, skew, skew_variation
from mutransfer.analysis.format import AxisNames
from mutransfer.analysis.intervals import (
    ON_BOUND,
    estimate,
    no_interval_reason,
    no_value_reason,
    skew_shifts,
    widen,
)
from mutransfer.analysis.laws.power_law import FloorLaw, PowerLaw, fit_floor_law, fit_power_law
from mutransfer.analysis.types.estimates import Bools, Estimate, Floats
from mutransfer.analysis.types.scaling import is_skewed, skew_weight

# Shape legend: W widths with an optimum, S samples (the data first, then the draws).


@dataclass(frozen=True, slots=True)
class Optima:
    """The optima of one group, of the data and of every draw, and the laws through them.

    Args:
        n: Widths that have an optimum, ascending.
        x: ln of the best rate.
        loss: Loss at the best rate.
        rate_law: Power law of the best rate; None with fewer than two widths.
        curvature_law: Power law of the curvature in ln(rate); NaN where a draw has none.
        loss_law: Power law with a floor of the best loss; None with fewer than four widths.
        no_value: Why a law with a floor has no value, or None.
        no_interval: Why a law with a floor has no interval, or None.
        no_draws: Why a straight line has no interval, or None.
        no_loss_interval: Why best losses have no interval, or None.
        skew: Error of the best rates where curves are not parabolas, in octaves.
        skew_variation: How far this error at one width may lie from the mean, as a share of it.
    """

    n: Floats
    x: Floats
    loss: Floats
    rate_law: PowerLaw | None
    curvature_law: PowerLaw | None
    loss_law: FloorLaw | None
    no_value: str | None
    no_interval: str | None
    no_draws: str | None
    no_loss_interval: str | None
    skew: Estimate
    skew_variation: float

    @property
    def kappa(self) -> Floats | None:
        """The samples of alpha + gamma_log; None without the laws."""
        if self.loss_law is None or self.curvature_law is None:
            return None
        return self.loss_law.exponent + self.curvature_law.slope

    @property
    def drift(self) -> Estimate:
        """The slope of log2(best rate) against log2(width); two widths are needed."""
        assert self.rate_law is not None
        slope = estimate(self.rate_law.slope, self.no_draws)
        if self.skew.low is None or self.skew.high is None:
            return slope
        # The errors of the widths may have the signs that move the slope most.
        octaves_W = np.log2(self.n) - np.log2(self.n).mean()
        leverage = float(np.abs(octaves_W).sum() / (octaves_W**2).sum())
        error = self.skew_variation * max(-self.skew.low, self.skew.high) * leverage
        return widen(slope, Estimate(0.0, -error, error), self.skew_weight)

    @property
    def skew_weight(self) -> float:
        """How much skew counts for rates, from 0 to 1."""
        return skew_weight(self.skew)

    @property
    def regret_weight(self) -> float:
        """How much skew counts for regrets, from 0 to 1."""
        return regret_weight(self.skew)

    @property
    def skew_reason(self) -> str | None:
        """Why curvatures have no interval if the curves are skewed, or None."""
        if not is_skewed(self.skew) or self.skew.value is None:
            return None
        return (
            f"the curves are skewed, which moves best rates by {self.skew.value:+.2f} octaves and "
            "curvatures with them: add rates in between, and use a smaller window"
        )

    @property
    def shifts(self) -> tuple[float, ...]:
        """Shifts of ln(best rate) that the skew allows, from the lowest to the highest."""
        return skew_shifts(self.skew)

    def law_estimate(
        self, samples_S: Floats | None, is_bound_S: Bools | None = None, reason: str | None = None
    ) -> Estimate:
        """Return the estimate of a parameter of a law with a floor."""
        if self.no_value or samples_S is None:
            return Estimate(undetermined=self.no_value)
        return estimate(samples_S, self.no_interval or reason, is_bound_S)

    def line_estimate(
        self, samples_S: Floats | None, axes: AxisNames, reason: str | None = None
    ) -> Estimate:
        """Return the estimate of a parameter of a straight line: two widths give a value."""
        if samples_S is None:
            return Estimate(undetermined=self.no_draws or axes.only(float(self.n[0])))
        return estimate(samples_S, self.no_draws or reason)

    def point_estimate(self, value: float | None) -> Estimate:
        """Return an estimate without an interval."""
        if value is None or not np.isfinite(value):
            return Estimate(undetermined=self.no_value or ON_BOUND)
        return Estimate(float(value))


def fit_optima(group: FittedGroup, axes: AxisNames) -> Optima:
    """Collect the optima of a group and fit the laws through them."""
    fitted = [k for k, curve in enumerate(group.curves) if curve.quadratic is not None]
    missing = next((c.undetermined for c in group.curves if c.quadratic is None), None)
    no_draws = missing if len(fitted) < 2 else None
    no_draws = no_draws or no_draws_reason(group, fitted, axes) or missing
    n_W = np.array([group.curves[k].grid.width for k in fitted])
    samples = [optimum_samples(group, k) for k in fitted]
    x_SW, loss_SW, curvature_SW = (
        [np.array(column).T for column in zip(*samples, strict=True)]
        if samples
        else [np.empty((1, 0))] * 3
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        log_curvature_SW = np.where(curvature_SW > 0, np.log(curvature_SW), np.nan)
    has_line = len(fitted) > 1
    no_value = no_value_reason(len(fitted), len(group.curves), missing, axes)
    return Optima(
        n=n_W,
        x=x_SW,
        loss=loss_SW,
        rate_law=fit_power_law(n_W, x_SW) if has_line else None,
        curvature_law=fit_power_law(n_W, log_curvature_SW) if has_line else None,
        loss_law=None if no_value else fit_floor_law(n_W, loss_SW),
        no_value=no_value,
        no_interval=no_value or no_interval_reason(n_W, no_draws, axes) or group.no_loss_interval,
        no_draws=no_draws,
        no_loss_interval=no_draws or group.no_loss_interval,
        skew=skew(group, axes),
        skew_variation=skew_variation(group),
    )
