"""Power laws over width, fitted to many bootstrap draws at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.types.estimates import Bools, Floats

# Shape legend: D draws, W widths, G exponents of a grid.

MIN_EXPONENT, MAX_EXPONENT = 1 / 32, 4.0  # data do not determine others [assumed]
EXPONENTS = np.geomspace(MIN_EXPONENT, MAX_EXPONENT, 57)
GOLDEN = (np.sqrt(5.0) - 1) / 2
NUM_SECTIONS = 44  # each shrinks the bracket to 0.618: 44 give ten digits
BOUND_TOLERANCE = 1e-6  # relative


@dataclass(frozen=True, slots=True)
class FloorLaw:
    """Power laws with a floor, y(n) = floor + amplitude · (n/center)^-exponent, one per draw.

    Args:
        floor: Limit at infinite n.
        amplitude: Distance to the floor at the center.
        exponent: Exponent of that distance.
        center: Geometric mean of the widths.
        is_bound: Whether the exponent or the floor lies on a bound of the search.
    """

    floor: Floats
    amplitude: Floats
    exponent: Floats
    center: float
    is_bound: Bools

    def at(self, n: float) -> Floats:
        """Evaluate every draw's law."""
        return np.asarray(self.floor + self.amplitude * (n / self.center) ** -self.exponent)


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """Power laws, ln y(n) = level + slope · ln(n/center), one per draw.

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
        return np.asarray(self.level + self.slope * np.log(n / self.center))


def fit_power_law(n_W: Floats, log_y_DW: Floats) -> PowerLaw:
    """Fit straight lines to logarithms, by least squares.

    Example:
        >>> law = fit_power_law(np.array([1.0, 2.0, 4.0]), np.log([[3.0, 6.0, 12.0]]))
        >>> law.slope.round(6).tolist(), np.exp(law.log_at(8.0)).round(6).tolist()
        ([1.0], [24.0])
    """
    log_n_W = np.log(n_W)
    centered_W = log_n_W - log_n_W.mean()
    slope_D: Floats = log_y_DW @ centered_W / (centered_W**2).sum()
    return PowerLaw(log_y_DW.mean(axis=1), slope_D, float(np.exp(log_n_W.mean())))


def fit_floor_law(n_W: Floats, y_DW: Floats, *, is_loss: bool = True) -> FloorLaw:
    """Fit power laws with a floor, by least squares.

    For a given exponent, floor and amplitude follow from linear least squares. The exponent is
    searched on a grid and then by golden sections, for all draws together.

    Args:
        n_W: Widths.
        y_DW: Values, one row per draw.
        is_loss: Whether the values are losses, which fall towards a floor of zero or more.

    Example:
        >>> widths = 2.0 ** np.arange(7, 12)
        >>> law = fit_floor_law(widths, (2.2 + 13 * widths**-0.5)[None])
        >>> law.exponent.round(9).tolist(), law.floor.round(9).tolist()
        ([0.5], [2.2])
    """
    center = float(np.exp(np.log(n_W).mean()))
    log_t_W = np.log(n_W / center)
    best_D = np.argmin(_squares_on_grid(log_t_W, y_DW, is_loss), axis=0)
    log_exponents = np.log(EXPONENTS)
    low_D = log_exponents[np.maximum(best_D - 1, 0)]
    high_D = log_exponents[np.minimum(best_D + 1, len(EXPONENTS) - 1)]
    exponent_D = _golden_section(low_D, high_D, log_t_W, y_DW, is_loss)
    floor_D, amplitude_D, _ = _solve(exponent_D, log_t_W, y_DW, is_loss)
    is_bound_D = exponent_D < MIN_EXPONENT * (1 + BOUND_TOLERANCE)
    is_bound_D |= exponent_D > MAX_EXPONENT * (1 - BOUND_TOLERANCE)
    if is_loss:
        is_bound_D |= (floor_D <= 0) | (amplitude_D <= 0)
    return FloorLaw(floor_D, amplitude_D, exponent_D, center, is_bound_D)


def _squares_on_grid(log_t_W: Floats, y_DW: Floats, is_loss: bool) -> Floats:
    """Return the sums of squares for every exponent of the grid, by products of matrices."""
    basis_GW = np.exp(-EXPONENTS[:, None] * log_t_W)
    mean_G, mean_D = basis_GW.mean(axis=1, keepdims=True), y_DW.mean(axis=1)
    centered_GW = basis_GW - mean_G
    rest_DW = y_DW - mean_D[:, None]
    product_GD = centered_GW @ rest_DW.T
    spread_G1 = (centered_GW**2).sum(axis=1, keepdims=True)
    squares_GD: Floats = (rest_DW**2).sum(axis=1) - product_GD**2 / spread_G1
    if is_loss:  # a negative floor becomes zero; where losses rise the amplitude becomes zero
        through_GD = (basis_GW @ y_DW.T) ** 2 / (basis_GW**2).sum(axis=1, keepdims=True)
        zero_floor_GD = (y_DW**2).sum(axis=1) - through_GD
        is_negative_GD = mean_D - product_GD / spread_G1 * mean_G < 0
        squares_GD = np.where(is_negative_GD, zero_floor_GD, squares_GD)
        squares_GD = np.where(product_GD < 0, (rest_DW**2).sum(axis=1), squares_GD)
    return squares_GD


def _golden_section(
    low_D: Floats, high_D: Floats, log_t_W: Floats, y_DW: Floats, is_loss: bool
) -> Floats:
    """Search each draw's best exponent between two others, by golden sections."""

    def squares(log_exponent_D: Floats) -> Floats:
        return _solve(np.exp(log_exponent_D), log_t_W, y_DW, is_loss)[2]

    left_D, right_D = high_D - GOLDEN * (high_D - low_D), low_D + GOLDEN * (high_D - low_D)
    at_left_D, at_right_D = squares(left_D), squares(right_D)
    for _ in range(NUM_SECTIONS):
        keep_D = at_left_D < at_right_D  # the lower part of the bracket
        low_D, high_D = np.where(keep_D, low_D, left_D), np.where(keep_D, right_D, high_D)
        width_D = GOLDEN * (high_D - low_D)
        new_D = np.where(keep_D, high_D - width_D, low_D + width_D)
        at_new_D = squares(new_D)
        left_D, right_D = np.where(keep_D, new_D, right_D), np.where(keep_D, left_D, new_D)
        at_left_D, at_right_D = (
            np.where(keep_D, at_new_D, at_right_D),
            np.where(keep_D, at_left_D, at_new_D),
        )
    return np.exp((low_D + high_D) / 2)


def _solve(
    exponent_D: Floats, log_t_W: Floats, y_DW: Floats, is_loss: bool
) -> tuple[Floats, Floats, Floats]:
    """Return floor, amplitude and sum of squares for one exponent per draw."""
    basis_DW = np.exp(-exponent_D[:, None] * log_t_W)
    mean_basis_D, mean_D = basis_DW.mean(axis=1), y_DW.mean(axis=1)
    centered_DW = basis_DW - mean_basis_D[:, None]
    amplitude_D = (y_DW * centered_DW).sum(axis=1) / (centered_DW**2).sum(axis=1)
    floor_D = mean_D - amplitude_D * mean_basis_D
    if is_loss:
        through_D = (y_DW * basis_DW).sum(axis=1) / (basis_DW**2).sum(axis=1)
        amplitude_D = np.maximum(np.where(floor_D < 0, through_D, amplitude_D), 0.0)
        floor_D = np.where(floor_D < 0, 0.0, mean_D - amplitude_D * mean_basis_D)
    rest_DW = y_DW - floor_D[:, None] - amplitude_D[:, None] * basis_DW
    squares_D: Floats = (rest_DW**2).sum(axis=1)
    return floor_D, amplitude_D, squares_D
