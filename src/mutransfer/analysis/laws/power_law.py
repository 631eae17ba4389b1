"""This file is power laws over widths, fitted to many draws at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.types.estimates import Bools, Floats

# Shape legend: D draws, W widths, G exponents of a grid.

LOWEST, HIGHEST = 1 / 32, 4.0  # exponents beyond are a bound, not a value [assumed]
GRID = np.geomspace(LOWEST, HIGHEST, 57)
GOLDEN = (np.sqrt(5.0) - 1) / 2
NARROWINGS = 44  # of the bracket by 0.618 each: to the tenth digit
ON_BOUND = 1e-6  # relative


@dataclass(frozen=True, slots=True)
class FloorLaw:
    """y(n) = floor + amplitude · (n/center)^-exponent, one per draw.

    Args:
        floor: Limit at infinite n.
        amplitude: Distance to it at the center.
        exponent: How fast it is approached.
        center: Geometric mean of the widths.
        bound: Where the exponent or the floor lies on the end of what was searched.
    """

    floor: Floats
    amplitude: Floats
    exponent: Floats
    center: float
    bound: Bools

    def at(self, n: float) -> Floats:
        """Evaluate every draw's law."""
        value_D: Floats = self.floor + self.amplitude * (n / self.center) ** -self.exponent
        return value_D


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """ln y(n) = level + slope · ln(n/center), one per draw.

    Args:
        level: Logarithm of the value at the center.
        slope: The exponent.
        center: Geometric mean of the widths.
    """

    level: Floats
    slope: Floats
    center: float

    def log_at(self, n: float) -> Floats:
        """Evaluate the logarithm of every draw's law."""
        value_D: Floats = self.level + self.slope * np.log(n / self.center)
        return value_D


def power_law(n_W: Floats, log_y_DW: Floats) -> PowerLaw:
    """Fit straight lines to logarithms, by least squares.

    Example:
        >>> law = power_law(np.array([1.0, 2.0, 4.0]), np.log([[3.0, 6.0, 12.0]]))
        >>> law.slope.round(6).tolist(), np.exp(law.log_at(8.0)).round(6).tolist()
        ([1.0], [24.0])
    """
    log_n_W = np.log(n_W)
    centered_W = log_n_W - log_n_W.mean()
    slope_D: Floats = log_y_DW @ centered_W / (centered_W**2).sum()
    return PowerLaw(log_y_DW.mean(axis=1), slope_D, float(np.exp(log_n_W.mean())))


def floor_law(n_W: Floats, y_DW: Floats, *, falling: bool = True) -> FloorLaw:
    """Fit power laws with a floor, by least squares.

    For a given exponent floor and amplitude are linear; so only the exponent is searched, on a
    grid and then by golden sections, for all draws together.

    Args:
        n_W: Widths.
        y_DW: Values, one row per draw.
        falling: Whether values are losses: they fall towards a floor of zero or more.

    Example:
        >>> widths = 2.0 ** np.arange(7, 12)
        >>> law = floor_law(widths, (2.2 + 13 * widths**-0.5)[None])
        >>> law.exponent.round(9).tolist(), law.floor.round(9).tolist()
        ([0.5], [2.2])
    """
    center = float(np.exp(np.log(n_W).mean()))
    log_t_W = np.log(n_W / center)
    best_D = np.argmin(_squares_on_grid(log_t_W, y_DW, falling), axis=0)
    log_grid = np.log(GRID)
    low_D = log_grid[np.maximum(best_D - 1, 0)]
    high_D = log_grid[np.minimum(best_D + 1, len(GRID) - 1)]
    exponent_D = _narrowed(low_D, high_D, log_t_W, y_DW, falling)
    floor_D, amplitude_D, _ = _solve(exponent_D, log_t_W, y_DW, falling)
    bound_D = (exponent_D < LOWEST * (1 + ON_BOUND)) | (exponent_D > HIGHEST * (1 - ON_BOUND))
    if falling:
        bound_D |= (floor_D <= 0) | (amplitude_D <= 0)
    return FloorLaw(floor_D, amplitude_D, exponent_D, center, bound_D)


def _squares_on_grid(log_t_W: Floats, y_DW: Floats, falling: bool) -> Floats:
    """Give the sums of squares for every exponent of the grid, coarsely: products of matrices."""
    basis_GW = np.exp(-GRID[:, None] * log_t_W)
    mean_G, mean_D = basis_GW.mean(axis=1, keepdims=True), y_DW.mean(axis=1)
    centered_GW = basis_GW - mean_G
    rest_DW = y_DW - mean_D[:, None]
    product_GD = centered_GW @ rest_DW.T
    spread_G1 = (centered_GW**2).sum(axis=1, keepdims=True)
    squares_GD: Floats = (rest_DW**2).sum(axis=1) - product_GD**2 / spread_G1
    if falling:
        through_GD = (basis_GW @ y_DW.T) ** 2 / (basis_GW**2).sum(axis=1, keepdims=True)
        at_zero_GD = (y_DW**2).sum(axis=1) - through_GD
        below_GD = mean_D - product_GD / spread_G1 * mean_G < 0
        squares_GD = np.where(below_GD, at_zero_GD, squares_GD)
        squares_GD = np.where(product_GD < 0, (rest_DW**2).sum(axis=1), squares_GD)
    return squares_GD


def _narrowed(
    low_D: Floats, high_D: Floats, log_t_W: Floats, y_DW: Floats, falling: bool
) -> Floats:
    """Search each draw's best exponent between two others, by golden sections."""

    def squares(log_e_D: Floats) -> Floats:
        return _solve(np.exp(log_e_D), log_t_W, y_DW, falling)[2]

    left_D, right_D = high_D - GOLDEN * (high_D - low_D), low_D + GOLDEN * (high_D - low_D)
    at_left_D, at_right_D = squares(left_D), squares(right_D)
    for _ in range(NARROWINGS):
        lower_D = at_left_D < at_right_D
        low_D, high_D = np.where(lower_D, low_D, left_D), np.where(lower_D, right_D, high_D)
        width_D = GOLDEN * (high_D - low_D)
        inner_D = np.where(lower_D, high_D - width_D, low_D + width_D)
        at_inner_D = squares(inner_D)
        left_D, right_D = (
            np.where(lower_D, inner_D, right_D),
            np.where(lower_D, left_D, inner_D),
        )
        at_left_D, at_right_D = (
            np.where(lower_D, at_inner_D, at_right_D),
            np.where(lower_D, at_left_D, at_inner_D),
        )
    return np.exp((low_D + high_D) / 2)


def _solve(
    exponent_D: Floats, log_t_W: Floats, y_DW: Floats, falling: bool
) -> tuple[Floats, Floats, Floats]:
    """Give floor, amplitude and sum of squares for one exponent per draw."""
    basis_DW = np.exp(-exponent_D[:, None] * log_t_W)
    mean_basis_D, mean_D = basis_DW.mean(axis=1), y_DW.mean(axis=1)
    centered_DW = basis_DW - mean_basis_D[:, None]
    amplitude_D = (y_DW * centered_DW).sum(axis=1) / (centered_DW**2).sum(axis=1)
    if falling:
        floor_D = mean_D - amplitude_D * mean_basis_D
        through_D = (y_DW * basis_DW).sum(axis=1) / (basis_DW**2).sum(axis=1)
        amplitude_D = np.maximum(np.where(floor_D < 0, through_D, amplitude_D), 0.0)
        floor_D = np.where(floor_D < 0, 0.0, mean_D - amplitude_D * mean_basis_D)
    else:
        floor_D = mean_D - amplitude_D * mean_basis_D
    rest_DW = y_DW - floor_D[:, None] - amplitude_D[:, None] * basis_DW
    squares_D: Floats = (rest_DW**2).sum(axis=1)
    return floor_D, amplitude_D, squares_D
