"""Noise of loss curves: variance components, and bootstrap draws of curves with the same noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mutransfer.analysis.curves.fit import NUM_COEFFICIENTS, CurveFit
from mutransfer.analysis.types.estimates import Floats

# Shape legend: R rates, K rates in the window, S seeds, D draws.

NoiseSource = Literal["seeds", "means", "curves"]


@dataclass(frozen=True, slots=True)
class Noise:
    """Two variance components, pooled over widths, with their degrees of freedom.

    Args:
        within: Variance of single runs about the curve of their width and seed.
        df_within: Degrees of freedom of `within`.
        between: Variance, between the seeds of a width, of the mean loss over the window.
        df_between: Degrees of freedom of `between`.
        inverse_rates: Mean of 1/(rates in the window), the share of `within` in `between`.
        source: What it was estimated from: repeated seeds, the standard errors of a table of
            means, or with one seed what parabolas leave of the curves.
    """

    within: float
    df_within: int
    between: float
    df_between: int
    inverse_rates: float
    source: NoiseSource = "seeds"

    def draw_deviations(self, rng: np.random.Generator, num_draws: int) -> tuple[Floats, Floats]:
        """Draw the standard deviations of runs and of seeds.

        A mean square with df degrees of freedom is its expectation times chi²(df)/df. With few
        seeds df is small, so the expectation is drawn too, as the mean square times df/chi²(df).
        """
        within_D = self.within * self.df_within / rng.chisquare(self.df_within, num_draws)
        between_D = self.between * self.df_between / rng.chisquare(self.df_between, num_draws)
        seed_D = np.maximum(between_D - within_D * self.inverse_rates, 0.0)
        return np.sqrt(within_D), np.sqrt(seed_D)


@dataclass(frozen=True, slots=True)
class CompleteBlock:
    """Losses of one width without gaps: one row per ln(rate) `x`, one column per seed."""

    losses: Floats
    seeds: tuple[str, ...]
    x: Floats

    def misfit(self) -> float:
        """Return the sum of squares of rate means about a parabola, in units of one run."""
        powers_K3 = np.vander(self.x - self.x.mean(), 3)
        mean_K = self.losses.mean(axis=1)
        rest_K: Floats = mean_K - powers_K3 @ np.linalg.lstsq(powers_K3, mean_K, rcond=None)[0]
        return float(self.losses.shape[1] * (rest_K**2).sum())


def complete_block(curve: CurveFit) -> CompleteBlock:
    """Return the rates of the window with the most seeds, and the seeds that ran all of them."""
    assert curve.quadratic is not None
    grid, window = curve.grid, curve.quadratic.window
    count_K = grid.finite[window].sum(axis=1)
    rates = window[count_K == count_K.max()]
    complete_S = np.asarray(grid.finite[rates].all(axis=0))
    seeds = np.array(grid.seeds)[complete_S].tolist()
    return CompleteBlock(grid.losses[rates][:, complete_S], tuple(seeds), grid.x[rates])


def estimate_noise(curves: Sequence[CurveFit]) -> Noise | None:
    """Estimate the noise from every width that has a fit and two seeds, or return None.

    Within a width the losses are a parabola plus seed effects plus a residual. The residual has
    (seeds - 1)(rates - 1) degrees of freedom about the rate means, and rates - 3 more between
    these and the parabola: a curve that is not a parabola widens the intervals. The seed effects
    have seeds - 1 degrees of freedom.
    """
    rest = between = inverse = 0.0
    df_within = df_between = 0
    for block in (complete_block(curve) for curve in curves if curve.quadratic is not None):
        loss_KS = block.losses
        num_rates, num_seeds = loss_KS.shape
        if num_seeds < 2:
            continue
        seed_S = loss_KS.mean(axis=0)
        rest_KS = loss_KS - loss_KS.mean(axis=1, keepdims=True) - seed_S + loss_KS.mean()
        rest += float((rest_KS**2).sum()) + block.misfit()
        between += float(((seed_S - seed_S.mean()) ** 2).sum())
        inverse += (num_seeds - 1) / num_rates
        df_within += (num_seeds - 1) * (num_rates - 1) + max(num_rates - 3, 0)
        df_between += num_seeds - 1
    if not df_within:
        return None
    return Noise(
        rest / df_within, df_within, between / df_between, df_between, inverse / df_between
    )


def noise_of_means(curves: Sequence[CurveFit]) -> Noise | None:
    """Return the noise that the standard errors of a table of means give, or None.

    A standard error does not say how much of it is common to all rates of a width, as it is where
    these share their seeds. So the whole of it counts twice: as scatter from rate to rate, which
    moves the optimum, and as a common shift, which moves the loss. A table thus gives the interval
    of the raw runs for rates and regret if seeds differ, and a wider one if they are shared. As in
    `estimate_noise`, a curve that is not a parabola widens the intervals.
    """
    square = inverse = 0.0
    df_within = df_between = 0
    for curve in curves:
        quadratic, spread = curve.quadratic, curve.grid.spread
        if quadratic is None or spread is None:
            continue
        variance_K, runs_K = spread.variance[quadratic.window], spread.runs[quadratic.window]
        has_error_K = np.isfinite(variance_K)
        if not has_error_K.any():
            continue
        freedom_K = (runs_K[has_error_K] - 1).astype(np.intp)
        square += float((freedom_K * variance_K[has_error_K]).sum())
        square += float((runs_K * (quadratic.mean - quadratic.fitted) ** 2).sum())
        num_rates, freedom = len(runs_K), int(freedom_K.max())
        df_within += int(freedom_K.sum()) + max(num_rates - NUM_COEFFICIENTS, 0)
        df_between += freedom
        inverse += freedom / num_rates
    if not df_between:
        return None
    variance = square / df_within
    return Noise(variance, df_within, variance, df_between, inverse / df_between, "means")


@dataclass(frozen=True, slots=True)
class CurveDraws:
    """Bootstrap draws of one width's mean curve, and of its optimum; NaN without a fit.

    Args:
        mean: Mean losses at every rate; NaN where diverged.
        coefficients: The refitted quadratics.
        x: Their minima in ln(rate), clipped to the rates that were tried.
        loss: The losses there.
        unstable_share: Share of draws without a minimum, or with one far outside the window.
    """

    mean: Floats
    coefficients: Floats
    x: Floats
    loss: Floats
    unstable_share: float


def draw_curve(
    curve: CurveFit, rng: np.random.Generator, within_D: Floats, shift_DS: Floats
) -> CurveDraws:
    """Draw one width: the fitted curve, plus shifts and residuals, averaged over its seeds.

    A seed shifts all losses of the width by the same amount. Outside the window the curve is the
    mean losses themselves. Seeds that did not run a rate are left out there, in the draws as in
    the data.
    """
    grid, quadratic = curve.grid, curve.quadratic
    finite_RS = grid.finite.astype(np.float64)
    count_R = np.maximum(finite_RS.sum(axis=1), 1.0)
    share_RS = finite_RS / count_R[:, None]
    if grid.spread is not None:  # one column, the mean over the runs behind it
        count_R = grid.spread.runs
        share_RS = finite_RS / np.sqrt(count_R)[:, None]
    curve_R = grid.mean.copy()
    if quadratic is not None:
        curve_R[quadratic.window] = quadratic.fitted
    rest_DR = within_D[:, None] * rng.standard_normal((len(within_D), len(count_R)))
    mean_DR = curve_R + shift_DS @ share_RS.T + rest_DR / np.sqrt(count_R)
    if quadratic is None:
        nan_D = np.full(len(within_D), np.nan)
        return CurveDraws(mean_DR, np.full((len(within_D), 3), np.nan), nan_D, nan_D, 0.0)
    coefficients_D3 = mean_DR[:, quadratic.window] @ quadratic.solve.T
    x_D = quadratic.vertex(coefficients_D3)
    loss_D = quadratic.loss(coefficients_D3, x_D)
    unstable_share = float(quadratic.is_unstable(coefficients_D3).mean())
    return CurveDraws(mean_DR, coefficients_D3, x_D, loss_D, unstable_share)
