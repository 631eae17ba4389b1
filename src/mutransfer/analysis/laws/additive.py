"""Additive power laws with one floor, L∞ + Σ A_k · s_k^-α_k, fitted to many draws at once.

The law of one scale is `FloorLaw`; two scales, parameters and tokens, give the parametric fit of
Hoffmann et al. 2022 (arXiv:2203.15556, equation 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from mutransfer.analysis.laws.power_law import MAX_EXPONENT, MIN_EXPONENT
from mutransfer.analysis.types.estimates import Bools, Floats

# Shape legend: C cells, K scales, S samples (the data first, then the draws), P parameters: the
# floor, ln of K amplitudes, K exponents.

STARTS = (0.1, 0.35, 1.0)  # exponents that the search starts from, for every scale [assumed]
MAX_STEPS = 100
TOLERANCE = 1e-9  # relative change of the sum of squares at which a sample counts as fitted
MIN_LOG_AMPLITUDE = -40.0  # only keeps `exp` in range
BOUND_TOLERANCE = 1e-3  # relative


@dataclass(frozen=True, slots=True)
class AdditiveLaw:
    """Laws y = floor + Σ amplitude_k · (s_k / center_k)^-exponent_k, one per sample.

    Args:
        floor: Limit where all scales are infinite, (S).
        amplitude: What each scale adds at the center, (S, K).
        exponent: Exponents, (S, K).
        center: Geometric mean of the sizes, (K).
        is_bound: Whether an exponent lies on a bound of the search, or its amplitude or the floor
            is zero, (S, K).
    """

    floor: Floats
    amplitude: Floats
    exponent: Floats
    center: Floats
    is_bound: Bools

    def at(self, size_CK: Floats) -> Floats:
        """Evaluate every sample's law, (S, C)."""
        log_CK = np.log(size_CK / self.center)
        terms_SCK = self.amplitude[:, None] * np.exp(-self.exponent[:, None] * log_CK)
        return np.asarray(self.floor[:, None] + terms_SCK.sum(axis=2))

    @property
    def unit_amplitude(self) -> Floats:
        """What each scale adds at a size of 1, (S, K)."""
        return np.asarray(self.amplitude * self.center**self.exponent)


def fit_additive_law(size_CK: Floats, y_SC: Floats, weight_C: Floats) -> AdditiveLaw:
    """Fit additive laws by weighted least squares (Levenberg and Marquardt's method).

    The data are fitted from several exponents, and every draw from the fit of the data.

    Args:
        size_CK: Sizes of every cell.
        y_SC: Losses of the data and of every draw.
        weight_C: Inverse variances, up to a factor.

    Example:
        >>> sizes = np.array([(n, d) for n in (1.0, 2, 4, 8) for d in (1.0, 2, 4, 8)])
        >>> losses = 2 + 0.5 * sizes[:, 0] ** -0.5 + 0.8 * sizes[:, 1] ** -0.3
        >>> law = fit_additive_law(sizes, losses[None], np.ones(16))
        >>> law.exponent.round(6).tolist(), law.floor.round(6).tolist()
        ([[0.5, 0.3]], [2.0])
    """
    center_K: Floats = np.exp(np.log(size_CK).mean(axis=0))
    log_CK, root_C = np.log(size_CK / center_K), np.sqrt(weight_C / weight_C.max())
    starts = np.array([_start(log_CK, y_SC[0], root_C, alphas) for alphas in _exponents(log_CK)])
    fits, squares = _optimize(starts, np.tile(y_SC[0], (len(starts), 1)), log_CK, root_C)
    best_P = fits[int(np.argmin(squares))]
    parameter_SP = best_P[None]
    if len(y_SC) > 1:
        drawn, _ = _optimize(np.tile(best_P, (len(y_SC) - 1, 1)), y_SC[1:], log_CK, root_C)
        parameter_SP = np.concatenate([parameter_SP, drawn])
    num = log_CK.shape[1]
    exponent_SK, log_amplitude_SK = parameter_SP[:, 1 + num :], parameter_SP[:, 1 : 1 + num]
    is_bound_SK = exponent_SK < MIN_EXPONENT * (1 + BOUND_TOLERANCE)
    is_bound_SK |= exponent_SK > MAX_EXPONENT * (1 - BOUND_TOLERANCE)
    # An amplitude of a millionth of the loss is that of a scale on which the loss does not fall.
    is_bound_SK |= np.exp(log_amplitude_SK) < 1e-6 * np.abs(y_SC[:, :1])
    is_bound_SK |= parameter_SP[:, :1] <= 0
    return AdditiveLaw(
        parameter_SP[:, 0], np.exp(log_amplitude_SK), exponent_SK, center_K, is_bound_SK
    )


def _exponents(log_CK: Floats) -> list[tuple[float, ...]]:
    """Return the exponents that the search starts from; few for more than three scales."""
    num = log_CK.shape[1]
    return list(product(STARTS, repeat=num)) if num <= 3 else [(s,) * num for s in STARTS]


def _start(log_CK: Floats, y_C: Floats, root_C: Floats, exponents: tuple[float, ...]) -> Floats:
    """Return parameters with these exponents, the others from linear least squares."""
    basis = np.column_stack([np.ones(len(y_C)), np.exp(-np.array(exponents) * log_CK)])
    linear = np.linalg.lstsq(basis * root_C[:, None], y_C * root_C, rcond=None)[0]
    amplitude_K = np.maximum(linear[1:], 1e-3 * (float(np.ptp(y_C)) + 1e-12))
    floor = max(float((y_C - basis[:, 1:] @ amplitude_K).min()), 1e-3 * float(y_C.min()), 0.0)
    return np.concatenate([[floor], np.log(amplitude_K), exponents])


def _optimize(
    start_SP: Floats, y_SC: Floats, log_CK: Floats, root_C: Floats
) -> tuple[Floats, Floats]:
    """Minimize every sample's weighted sum of squares; return parameters and sums."""
    num = log_CK.shape[1]
    low = np.array([0.0, *[MIN_LOG_AMPLITUDE] * num, *[MIN_EXPONENT] * num])
    high = np.array([np.inf, *[np.inf] * num, *[MAX_EXPONENT] * num])
    best_SP = np.clip(start_SP, low, high)
    rest_SC, slope_SCP = _residuals(best_SP, y_SC, log_CK, root_C)
    squares_S = (rest_SC**2).sum(axis=1)
    damping_S = np.full(len(best_SP), 1e-3)
    active = np.arange(len(best_SP))  # samples whose fit still changes
    for _ in range(MAX_STEPS):
        step = _damped_step(best_SP[active], rest_SC, slope_SCP, damping_S[active], low, high)
        new = np.clip(best_SP[active] + step, low, high)
        new_rest, new_slope = _residuals(new, y_SC[active], log_CK, root_C)
        with np.errstate(over="ignore", invalid="ignore"):  # such a step is not taken
            new_squares = (new_rest**2).sum(axis=1)
        gain = squares_S[active] - new_squares
        is_better = gain > 0  # false if it is NaN
        is_done = is_better & (gain <= TOLERANCE * squares_S[active] + 1e-28)
        is_done |= damping_S[active] > 1e10
        best_SP[active[is_better]] = new[is_better]
        squares_S[active[is_better]] = new_squares[is_better]
        damping_S[active] *= np.where(is_better, 0.1, 10.0)
        damping_S[active] = np.maximum(damping_S[active], 1e-12)
        rest_SC = np.where(is_better[:, None], new_rest, rest_SC)[~is_done]
        slope_SCP = np.where(is_better[:, None, None], new_slope, slope_SCP)[~is_done]
        active = active[~is_done]
        if not len(active):
            break
    return best_SP, squares_S


def _residuals(
    parameter_SP: Floats, y_SC: Floats, log_CK: Floats, root_C: Floats
) -> tuple[Floats, Floats]:
    """Return weighted residuals, and the derivatives of the law."""
    num = log_CK.shape[1]
    log_amplitude_SK, exponent_SK = parameter_SP[:, 1 : 1 + num], parameter_SP[:, 1 + num :]
    with np.errstate(over="ignore", invalid="ignore"):
        term_SCK = np.exp(log_amplitude_SK[:, None] - exponent_SK[:, None] * log_CK)
        slope_SCP = np.concatenate(
            [np.ones((*term_SCK.shape[:2], 1)), term_SCK, -log_CK * term_SCK], axis=2
        )
        rest_SC = (y_SC - parameter_SP[:, :1] - term_SCK.sum(axis=2)) * root_C
    return rest_SC, slope_SCP * root_C[:, None]


def _damped_step(
    parameter_SP: Floats,
    rest_SC: Floats,
    slope_SCP: Floats,
    damping_S: Floats,
    low_P: Floats,
    high_P: Floats,
) -> Floats:
    """Solve every sample's damped linear problem; parameters pushed beyond a bound stay."""
    push_SP = np.matmul(rest_SC[:, None], slope_SCP)[:, 0]
    is_free_SP = ~(
        ((parameter_SP <= low_P) & (push_SP < 0)) | ((parameter_SP >= high_P) & (push_SP > 0))
    )
    slope_SCP = slope_SCP * is_free_SP[:, None]
    square_SPP = np.matmul(slope_SCP.transpose(0, 2, 1), slope_SCP)
    diagonal_SP = np.einsum("spp->sp", square_SPP)
    scale_SP = np.where(diagonal_SP > 0, diagonal_SP, 1.0) * damping_S[:, None] + 1e-14
    square_SPP = square_SPP + np.eye(len(low_P)) * (scale_SP + ~is_free_SP)[:, None]
    step_SP: Floats = np.linalg.solve(square_SPP, (push_SP * is_free_SP)[..., None])[..., 0]
    return step_SP
