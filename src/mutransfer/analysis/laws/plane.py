"""Power laws over several scales: planes through log2 of the best rates, for all draws at once.

A cell whose optimum lies beyond the rates that were tried bounds the plane from one side. It enters
as in the Tobit model: its best rate is replaced by its expectation under the fit, given the bound,
until the fit no longer changes (Tobin 1958, https://doi.org/10.2307/1907382).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.types.estimates import Floats

# Shape legend: C cells with an optimum, B cells with a bound, K scales, S samples (the data first,
# then the draws), P parameters (the level, then one slope per scale).

NORMAL_RANGE = 2 * 1.6448536269514722  # between the quantiles 5 and 95 %, in standard deviations
NUM_BISECTIONS, MAX_STEPS = 60, 200
TOLERANCE = 1e-7  # in octaves, where the imputed rates count as settled


@dataclass(frozen=True, slots=True)
class Bounds:
    """Cells whose optimum lies beyond the rates tried.

    Args:
        log2_size: log2 of their sizes, (B, K).
        limit: The rate that their optimum lies below or above, in log2.
        is_upper: Whether the optimum lies below the limit, else above.
    """

    log2_size: Floats
    limit: Floats
    is_upper: Floats


@dataclass(frozen=True, slots=True)
class Plane:
    """Planes y = level + Σ slope_k · (log2 s_k - center_k), one per sample.

    Args:
        level: Value at the center, (S).
        slope: Exponents, (S, K).
        center: Mean of log2 of the sizes, (K).
        scatter: Standard deviation of the cells about the plane beyond that of noise; NaN where the
            plane passes through all of them.
    """

    level: Floats
    slope: Floats
    center: Floats
    scatter: float

    def at(self, log2_size_CK: Floats) -> Floats:
        """Evaluate every sample's plane, (S, C)."""
        return np.asarray(self.level[:, None] + self.slope @ (log2_size_CK - self.center).T)


def fit_plane(
    log2_size_CK: Floats, y_SC: Floats, rng: np.random.Generator, bounds: Bounds | None = None
) -> Plane:
    """Fit planes by least squares, weighted by the noise of the cells and their scatter.

    Args:
        log2_size_CK: log2 of the sizes of every cell, independent columns.
        y_SC: Values of the data and of every draw; their spread is the noise of each cell.
        rng: Generator of the scatter, which is added to the draws.
        bounds: Cells with a bound instead of a value.

    Example:
        >>> sizes = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
        >>> plane = fit_plane(sizes, (sizes @ [-0.5, 0.25])[None], np.random.default_rng(0))
        >>> plane.slope.round(9).tolist()
        [[-0.5, 0.25]]
    """
    center_K = log2_size_CK.mean(axis=0)
    design_CP = _design(log2_size_CK, center_K)
    noise_C = sample_variance(y_SC)
    scatter = scatter_variance(design_CP, y_SC[0], noise_C)
    freedom = len(design_CP) - int(design_CP.shape[1])
    y_SC = with_scatter(y_SC, noise_C, scatter, freedom, rng)
    variance_C = noise_C + scatter
    if not variance_C.max() > 0:  # exact data
        variance_C = np.ones(len(variance_C))
    weight_C = 1 / np.maximum(variance_C, 1e-12 * variance_C.max())
    if bounds is None or not len(bounds.limit) or freedom < 1:
        solve_PC = _weighted_inverse(design_CP, weight_C)
        parameter_SP = y_SC @ solve_PC.T
    else:
        spread = np.sqrt(max(scatter, float(np.median(noise_C)), 1e-12))
        parameter_SP = _tobit(design_CP, y_SC, weight_C, bounds, center_K, spread)
    spread = float(np.sqrt(scatter)) if freedom else np.nan
    return Plane(parameter_SP[:, 0], parameter_SP[:, 1:], center_K, spread)


def sample_variance(y_SC: Floats) -> Floats:
    """Return the variance of each cell's draws from their quantiles; zeros without draws."""
    if len(y_SC) < 2:
        return np.zeros(y_SC.shape[1])
    low_C, high_C = np.quantile(y_SC[1:], [0.05, 0.95], axis=0)
    return np.asarray(((high_C - low_C) / NORMAL_RANGE) ** 2)


def scatter_variance(design_CP: Floats, y_C: Floats, noise_C: Floats) -> float:
    """Return the variance between cells beyond noise, so that weighted residuals are as expected.

    Source:
        Paule and Mandel 1982, https://doi.org/10.6028/jres.087.022.
    """
    freedom = len(design_CP) - int(design_CP.shape[1])
    if freedom < 1:
        return 0.0

    def excess(scatter: float) -> float:
        weight_C = 1 / np.maximum(noise_C + scatter, 1e-300)
        rest_C = y_C - design_CP @ (_weighted_inverse(design_CP, weight_C) @ y_C)
        return float(weight_C @ rest_C**2) - freedom

    rest_C = y_C - design_CP @ np.linalg.lstsq(design_CP, y_C, rcond=None)[0]
    high = float(rest_C @ rest_C) / freedom
    if not noise_C.any():
        return high
    low, floor = 0.0, 1e-12 * max(float(noise_C.max()), high)
    if excess(floor) <= 0:
        return 0.0
    while excess(high) > 0:
        low, high = high, 2 * high
    for _ in range(NUM_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return (low + high) / 2


def with_scatter(
    y_SC: Floats, noise_C: Floats, scatter: float, freedom: int, rng: np.random.Generator
) -> Floats:
    """Add scatter to the draws, so that they vary as the cells do about their law.

    The whole variance of the cells is estimated with the degrees of freedom of the residuals, and
    its expectation is drawn by chi²; what exceeds the noise is added.
    """
    num_draws = len(y_SC) - 1
    if freedom < 1 or not num_draws:
        return y_SC
    inflation_D = freedom / rng.chisquare(freedom, num_draws)
    extra_DC = np.maximum((noise_C + scatter) * inflation_D[:, None] - noise_C, 0.0)
    drawn_DC = np.sqrt(extra_DC) * rng.standard_normal(extra_DC.shape)
    return np.concatenate([y_SC[:1], y_SC[1:] + drawn_DC])


def _design(log2_size_CK: Floats, center_K: Floats) -> Floats:
    """Return the columns of a plane: ones, then centered log2 of the sizes."""
    return np.column_stack([np.ones(len(log2_size_CK)), log2_size_CK - center_K])


def _weighted_inverse(design_CP: Floats, weight_C: Floats) -> Floats:
    """Return the matrix that maps values to the parameters of weighted least squares."""
    root_C = np.sqrt(weight_C / weight_C.max())
    return np.asarray(np.linalg.pinv(design_CP * root_C[:, None]) * root_C)


def _tobit(
    design_CP: Floats,
    y_SC: Floats,
    weight_C: Floats,
    bounds: Bounds,
    center_K: Floats,
    spread: float,
) -> Floats:
    """Fit planes to values and bounds; return the parameters, (S, P)."""
    from scipy.special import log_ndtr  # 0.1 s, and few sweeps have bounds

    bounded_BP = _design(bounds.log2_size, center_K)
    weight = np.concatenate([weight_C, np.full(len(bounded_BP), 1 / spread**2)])
    solve = _weighted_inverse(np.concatenate([design_CP, bounded_BP]), weight)
    own_SP: Floats = y_SC @ solve[:, : len(y_SC[0])].T
    parameter_SP: Floats = y_SC @ _weighted_inverse(design_CP, weight_C).T
    sign_B = np.where(bounds.is_upper, 1.0, -1.0)
    for _ in range(MAX_STEPS):
        mean_SB = parameter_SP @ bounded_BP.T
        z_SB = sign_B * (bounds.limit - mean_SB) / spread
        # The ratio of density and probability, in logarithms, since both vanish far from the limit.
        ratio_SB: Floats = np.exp(-0.5 * z_SB**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(z_SB))
        imputed_SB = mean_SB - sign_B * spread * ratio_SB
        new_SP: Floats = own_SP + imputed_SB @ solve[:, len(y_SC[0]) :].T
        has_settled = float(np.abs(new_SP - parameter_SP).max()) < TOLERANCE
        parameter_SP = new_SP
        if has_settled:
            break
    return np.asarray(parameter_SP)
