"""Local quadratic fits of loss curves: the window of rates near the best one, and the optimum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mutransfer.analysis.curves.grid import LossGrid
from mutransfer.analysis.format import AxisNames, format_power, format_rate
from mutransfer.analysis.types.estimates import LN2, Bools, Floats

# Shape legend: R rates, K rates in the window, D draws, 3 coefficients (1, z, z²).

# Half-width of the window in ln(rate): three half-octaves are 1.04. [derived: docs/numbers.md]
WINDOW = 1.1
NUM_COEFFICIENTS = 3
TOLERANCE = 1e-9  # in ln(rate), for rates that differ by rounding only


@dataclass(frozen=True, slots=True)
class LocalQuadratic:
    """A quadratic fitted to the rates near the best one.

    Args:
        window: Indices of the rates of the fit.
        x: ln of these rates.
        mean: Mean losses there.
        center: ln(rate) where z is zero.
        solve: Pseudo-inverse of the design matrix, which maps mean losses to coefficients.
        coefficients: Coefficients fitted to the mean losses.
        low: Lowest ln(rate) at which the minimum may lie: a rate that was tried.
        high: Highest ln(rate) at which the minimum may lie.
        note: Why the window is not the usual one, or None.
    """

    window: NDArray[np.intp]
    x: Floats
    mean: Floats
    center: float
    solve: Floats
    coefficients: Floats
    low: float
    high: float
    note: str | None

    @property
    def optimum(self) -> float:
        """The best ln(rate)."""
        return float(self.vertex(self.coefficients))

    @property
    def best_loss(self) -> float:
        """The loss at the optimum."""
        return float(self.loss(self.coefficients, np.array(self.optimum)))

    @property
    def curvature(self) -> float:
        """The second derivative of the loss in ln(rate)."""
        return 2 * float(self.coefficients[2])

    @property
    def fitted(self) -> Floats:
        """The losses of the fit at the rates of the window."""
        return self.loss(self.coefficients, self.x)

    def loss(self, coefficients_D3: Floats, x_D: Floats) -> Floats:
        """Return the loss of each draw's quadratic at its own ln(rate)."""
        z_D = x_D - self.center
        c_D, b_D, a_D = np.moveaxis(coefficients_D3, -1, 0)
        return np.asarray(c_D + b_D * z_D + a_D * z_D**2)

    def vertex(self, coefficients_D3: Floats) -> Floats:
        """Return each draw's minimum in ln(rate), clipped to the rates that were tried."""
        ends = np.array([self.low, self.high])
        # A quadratic without a minimum is lowest at one of the ends.
        loss_D2 = self.loss(coefficients_D3[..., None, :], ends)
        end_D = ends[np.argmin(loss_D2, axis=-1)]
        inner_D, is_convex_D = self._stationary_point(coefficients_D3)
        return np.clip(np.where(is_convex_D, inner_D, end_D), self.low, self.high)

    def is_unstable(self, coefficients_D3: Floats) -> Bools:
        """Whether each draw has no minimum, or one far outside the window."""
        first, last = self.x[0], self.x[-1]
        slack = 0.5 * (last - first)
        inner_D, is_convex_D = self._stationary_point(coefficients_D3)
        is_outside_D = (inner_D < first - slack) | (inner_D > last + slack)
        return np.asarray(~is_convex_D | is_outside_D)

    def _stationary_point(self, coefficients_D3: Floats) -> tuple[Floats, Bools]:
        """Return where each draw's slope is zero, and whether that is a minimum."""
        b_D, a_D = coefficients_D3[..., 1], coefficients_D3[..., 2]
        return self.center - b_D / np.where(a_D > 0, 2 * a_D, 1.0), a_D > 0


@dataclass(frozen=True, slots=True)
class CurveFit:
    """The fitted loss curve of one width, or the reason why there is no fit.

    Args:
        grid: The width's losses.
        argmin: Index of the best rate of the grid, or None where all diverged.
        edge: 'low' or 'high' where that is the lowest or highest rate tried, else None.
        quadratic: The quadratic, or None.
        undetermined: Why there is no quadratic, and what to add.
    """

    grid: LossGrid
    argmin: int | None
    edge: Literal["low", "high"] | None
    quadratic: LocalQuadratic | None
    undetermined: str | None

    @property
    def lowest_loss(self) -> float | None:
        """The loss at the optimum, without a fit that of the best rate tried, or None."""
        if self.quadratic is not None:
            return self.quadratic.best_loss
        return None if self.argmin is None else float(self.grid.mean[self.argmin])


def _is_flat(mean_U: Floats) -> bool:
    """Return whether at least three losses are equal, up to the rounding of averages."""
    return len(mean_U) > 2 and bool(np.ptp(mean_U) <= 1e-12 * np.abs(mean_U).max())


def fit_curve(grid: LossGrid, axes: AxisNames, window: float = WINDOW) -> CurveFit:
    """Fit a quadratic to the rates within `window` of the best one, in ln(rate)."""
    best, last = grid.argmin, len(grid.log2_lr) - 1
    where, log2_lr_R = axes.at(*grid.sizes), grid.log2_lr
    edge: Literal["low", "high"] | None = None
    if best is None:
        lowest = format_rate(log2_lr_R[0])
        reason = f"every {axes.rate} diverged {where}: add {axes.rates} below {lowest}"
    elif last == 0:
        rate = format_rate(log2_lr_R[0])
        reason = f"one {axes.rate} {where}: add {axes.rates} on both sides of {rate}"
    elif _is_flat(grid.mean[grid.usable]):
        reason = (
            f"the loss is {grid.mean[best]:.4g} at every {axes.rate} {where}: "
            "nothing was learned, or the column holds another number"
        )
    elif best in (0, last):
        edge, side = ("low", "below") if best == 0 else ("high", "above")
        reason = (
            f"minimum on the edge of the grid {where}: "
            f"add {axes.rates} {side} {format_rate(log2_lr_R[best])}"
        )
    else:
        window_K, note = _window(grid, best, window)
        if len(window_K) >= NUM_COEFFICIENTS:
            quadratic = _fit_quadratic(grid, best, window_K, note)
            problem = _fit_problem(quadratic, grid, best, axes)
            return CurveFit(grid, best, None, None if problem else quadratic, problem)
        reason = (
            f"fewer than three {axes.rates} did not diverge {where}: "
            f"add {axes.rates} near {format_rate(log2_lr_R[best])}"
        )
    return CurveFit(grid, best, edge, None, reason)


def _window(grid: LossGrid, best: int, half_width: float) -> tuple[NDArray[np.intp], str | None]:
    """Return the rates near the best one, on both sides if possible, and a note or None."""
    x_R = grid.x
    usable = np.flatnonzero(grid.usable)
    distance = np.abs(x_R[usable] - x_R[best])
    chosen = set(usable[distance <= half_width + TOLERANCE].tolist())
    note = None
    for neighbor, end in ((best - 1, min(chosen)), (best + 1, max(chosen))):
        # The next rate on either side brackets the minimum, however far it is.
        if end == best and grid.usable[neighbor]:
            chosen.add(neighbor)
            note = "window widened to the nearest rates on both sides"
    for index in usable[np.argsort(distance, kind="stable")].tolist():
        if len(chosen) < NUM_COEFFICIENTS and index not in chosen:
            chosen.add(index)
    window_K = np.array(sorted(chosen), dtype=np.intp)
    if best in (window_K[0], window_K[-1]):
        diverged = best - 1 if best == window_K[0] else best + 1
        note = f"one-sided window: {format_power(grid.log2_lr[diverged])} diverged"
    return window_K, note


def _fit_quadratic(
    grid: LossGrid, best: int, window_K: NDArray[np.intp], note: str | None
) -> LocalQuadratic:
    """Fit a quadratic by least squares."""
    x_R, mean_K = grid.x, grid.mean[window_K]
    z_K = x_R[window_K] - x_R[best]
    solve_3K = np.linalg.pinv(np.vander(z_K, NUM_COEFFICIENTS, increasing=True))
    return LocalQuadratic(
        window=window_K,
        x=x_R[window_K],
        mean=mean_K,
        center=float(x_R[best]),
        solve=solve_3K,
        coefficients=solve_3K @ mean_K,
        low=float(x_R[max(min(window_K[0], best - 1), 0)]),
        high=float(x_R[max(window_K[-1], best + 1)]),
        note=note,
    )


def _fit_problem(
    quadratic: LocalQuadratic, grid: LossGrid, best: int, axes: AxisNames
) -> str | None:
    """Return why the fit has no minimum between rates that were tried, and what to add, or None."""
    where, best_rate = axes.at(*grid.sizes), format_rate(grid.log2_lr[best])
    c, b, a = quadratic.coefficients
    if a <= 1e-12 * abs(c):  # not a <= 0, since rounding may leave a straight line a curvature
        return (
            f"the losses near {best_rate} do not curve upwards {where}: "
            f"add seeds, or {axes.rates} further away"
        )
    vertex = quadratic.center - b / (2 * a)
    if quadratic.low - TOLERANCE <= vertex <= quadratic.high + TOLERANCE:
        return None
    is_low = vertex < quadratic.center
    end, neighbor = (quadratic.low, best - 1) if is_low else (quadratic.high, best + 1)
    kind = "" if grid.usable[neighbor] else "the diverged "
    return (
        f"the fitted minimum lies outside the {axes.rates} near {best_rate} {where}: "
        f"add {axes.rates} between it and {kind}{format_rate(end / LN2)}"
    )
