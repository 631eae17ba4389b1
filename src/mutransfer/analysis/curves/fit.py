"""This file is the local quadratic: which rates it is fitted to, and its minimum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mutransfer.analysis.curves.grid import Cells
from mutransfer.analysis.format import Words, rate
from mutransfer.analysis.types.estimates import LN2, Bools, Floats

# Shape legend: R rates, K rates in the window, D draws, 3 coefficients (1, z, z²).

# Half-width of the window in ln(rate): three half-octaves and a bit. [DESIGN section 9]
WINDOW = 1.1
POINTS = 3  # a quadratic needs three
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Fit:
    """A quadratic fitted to the rates near the best one.

    Args:
        window: Indices of the rates it was fitted to.
        center: ln(rate) that z is measured from.
        solve: The fixed linear map from mean losses to coefficients.
        coefficients: Those of the data.
        low: Lowest ln(rate) at which the minimum may lie: a rate that was tried.
        high: Highest one.
        note: What was done out of the ordinary to choose the window, or None.
    """

    window: NDArray[np.intp]
    center: float
    solve: Floats
    coefficients: Floats
    low: float
    high: float
    note: str | None

    def loss(self, coefficients_D3: Floats, x_D: Floats) -> Floats:
        """Evaluate quadratics, one per draw, at one ln(rate) each."""
        z_D = x_D - self.center
        a, b, c = coefficients_D3[..., 2], coefficients_D3[..., 1], coefficients_D3[..., 0]
        return c + b * z_D + a * z_D**2

    def vertex(self, coefficients_D3: Floats) -> Floats:
        """Give each draw's minimum in ln(rate), clipped to the rates that were tried."""
        b_D, a_D = coefficients_D3[..., 1], coefficients_D3[..., 2]
        ends = np.array([self.low, self.high])
        # A quadratic without a minimum is lowest at one of the ends.
        at_ends_D2 = self.loss(coefficients_D3[..., None, :], ends)
        end_D = ends[np.argmin(at_ends_D2, axis=-1)]
        inner_D = self.center - b_D / np.where(a_D > 0, 2 * a_D, 1.0)
        return np.clip(np.where(a_D > 0, inner_D, end_D), self.low, self.high)

    def bad(self, coefficients_D3: Floats, x_R: Floats) -> Bools:
        """Say of each draw whether it has no minimum, or one far outside the window."""
        b_D, a_D = coefficients_D3[..., 1], coefficients_D3[..., 2]
        first, last = x_R[self.window[0]], x_R[self.window[-1]]
        slack = 0.5 * (last - first)
        inner_D = self.center - b_D / np.where(a_D > 0, 2 * a_D, 1.0)
        outside_D = (inner_D < first - slack) | (inner_D > last + slack)
        bad_D: Bools = (a_D <= 0) | outside_D
        return bad_D


@dataclass(frozen=True, slots=True)
class Located:
    """The optimum of one width, or why there is none.

    Args:
        cells: The width's losses.
        argmin: Index of the best rate of the grid, or None where all diverged.
        edge: Whether that is the lowest or highest rate tried.
        fit: The quadratic, or None.
        undetermined: Why there is none, and what to add.
    """

    cells: Cells
    argmin: int | None
    edge: Literal["low", "high"] | None
    fit: Fit | None
    undetermined: str | None

    @property
    def x(self) -> float:
        """The optimum in ln(rate); only with a fit."""
        assert self.fit is not None
        return float(self.fit.vertex(self.fit.coefficients))

    @property
    def loss(self) -> float:
        """The loss at the optimum; only with a fit."""
        assert self.fit is not None
        return float(self.fit.loss(self.fit.coefficients, np.array(self.x)))


def locate(cells: Cells, words: Words, half: float = WINDOW) -> Located:
    """Find the optimum of one width by a quadratic on the rates within `half` of the best."""
    best, last = cells.grid_argmin, len(cells.log2_lr) - 1
    where, log2_lr_R = words.at(cells.width), cells.log2_lr
    if best is None:
        reason = f"every rate diverged {where}: add {words.values} below {rate(log2_lr_R[0])}"
        return Located(cells, None, None, None, reason)
    if last == 0:
        reason = f"one rate {where}: add {words.values} on both sides of {rate(log2_lr_R[0])}"
        return Located(cells, best, None, None, reason)
    if best in (0, last):
        edge: Literal["low", "high"] = "low" if best == 0 else "high"
        side = "below" if best == 0 else "above"
        reason = (
            f"minimum on the edge of the grid {where}: "
            f"add {words.values} {side} {rate(log2_lr_R[best])}"
        )
        return Located(cells, best, edge, None, reason)
    window_K, note = _window(cells, best, half)
    if len(window_K) < POINTS:
        reason = (
            f"fewer than three rates did not diverge {where}: "
            f"add {words.values} near {rate(log2_lr_R[best])}"
        )
        return Located(cells, best, None, None, reason)
    fit = _fit(cells, best, window_K, note)
    return Located(cells, best, None, *_trusted(fit, cells, best, words))


def _window(cells: Cells, best: int, half: float) -> tuple[NDArray[np.intp], str | None]:
    """Choose the rates near the best one, on both sides of it where that is possible."""
    x_R = cells.x
    usable = np.flatnonzero(cells.usable)
    distance = np.abs(x_R[usable] - x_R[best])
    chosen = set(usable[distance <= half + TOLERANCE].tolist())
    note = None
    for beside, found in ((best - 1, min(chosen)), (best + 1, max(chosen))):
        # The next rate on either side brackets the minimum, however far it is.
        if found == best and cells.usable[beside]:
            chosen.add(beside)
            note = "window widened to the nearest rates on both sides"
    for index in usable[np.argsort(distance, kind="stable")].tolist():
        if len(chosen) < POINTS and index not in chosen:
            chosen.add(index)
    window_K = np.array(sorted(chosen), dtype=np.intp)
    if best in (window_K[0], window_K[-1]):
        beyond = best - 1 if best == window_K[0] else best + 1
        note = f"one-sided window: {rate(cells.log2_lr[beyond])} diverged"
    return window_K, note


def _fit(cells: Cells, best: int, window_K: NDArray[np.intp], note: str | None) -> Fit:
    """Fit by least squares."""
    x_R = cells.x
    z_K = x_R[window_K] - x_R[best]
    solve_3K = np.linalg.pinv(np.vander(z_K, POINTS, increasing=True))
    low, high = x_R[max(min(window_K[0], best - 1), 0)], x_R[max(window_K[-1], best + 1)]
    return Fit(
        window=window_K,
        center=float(x_R[best]),
        solve=solve_3K,
        coefficients=solve_3K @ cells.mean[window_K],
        low=float(low),
        high=float(high),
        note=note,
    )


def _trusted(fit: Fit, cells: Cells, best: int, words: Words) -> tuple[Fit | None, str | None]:
    """Keep a fit with a minimum between rates that were tried, else say what to add."""
    where, at_best = words.at(cells.width), rate(cells.log2_lr[best])
    c, b, a = fit.coefficients
    if a <= 1e-12 * abs(c):
        return None, (
            f"the losses near {at_best} do not curve upwards {where}: "
            f"add seeds, or {words.values} further away"
        )
    vertex = fit.center - b / (2 * a)
    if fit.low - TOLERANCE <= vertex <= fit.high + TOLERANCE:
        return fit, None
    end, beside = (fit.low, best - 1) if vertex < fit.center else (fit.high, best + 1)
    kind = "" if cells.usable[beside] else "the diverged "
    return None, (
        f"the fitted minimum lies outside the rates near {at_best} {where}: "
        f"add {words.values} between it and {kind}{rate(end / LN2)}"
    )
