"""This file is how noisy the curves are, and draws of curves that are as noisy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.curves.fit import Fit, Located
from mutransfer.analysis.curves.grid import Cells
from mutransfer.analysis.types.estimates import Floats

# Shape legend: R rates, K rates in the window, S seeds, D draws.


@dataclass(frozen=True, slots=True)
class Noise:
    """Two variance components, pooled over widths, with their degrees of freedom.

    Args:
        within: Variance within a width and seed over the rates of the window, in nats².
        df_within: Its degrees of freedom.
        between: Mean square of the seeds' window means within a width, in nats².
        df_between: Its degrees of freedom.
        inverse_rates: Mean of 1/(rates in the window), the share of `within` in `between`.
    """

    within: float
    df_within: int
    between: float
    df_between: int
    inverse_rates: float

    def draws(self, rng: np.random.Generator, num_draws: int) -> tuple[Floats, Floats]:
        """Draw both standard deviations, each as uncertain as its degrees of freedom say.

        A mean square with df degrees of freedom is its expectation times chi²(df)/df, so
        its expectation is drawn as the mean square times df/chi²(df).
        """
        within_D = self.within * self.df_within / rng.chisquare(self.df_within, num_draws)
        between_D = self.between * self.df_between / rng.chisquare(self.df_between, num_draws)
        seed_D = np.maximum(between_D - within_D * self.inverse_rates, 0.0)
        return np.sqrt(within_D), np.sqrt(seed_D)


@dataclass(frozen=True, slots=True)
class Block:
    """Losses of one width without gaps.

    Args:
        losses: One row per rate, one column per seed.
        seeds: Names of the seeds.
        x: ln(rate) of each row.
    """

    losses: Floats
    seeds: tuple[str, ...]
    x: Floats

    def misfit(self) -> float:
        """Sum the squares that a parabola leaves of the rate means, in units of one run."""
        powers_K3 = np.vander(self.x - self.x.mean(), 3)
        mean_K = self.losses.mean(axis=1)
        left_K: Floats = mean_K - powers_K3 @ np.linalg.lstsq(powers_K3, mean_K, rcond=None)[0]
        return float(self.losses.shape[1] * (left_K**2).sum())


def block(cells: Cells, fit: Fit) -> Block:
    """Take the rates of the window that most seeds ran, and the seeds that ran all of those."""
    run_KS = cells.run[fit.window]
    count_K = run_KS.sum(axis=1)
    rates = fit.window[count_K == count_K.max()]
    whole_S = np.asarray(cells.run[rates].all(axis=0))
    names = np.array(cells.seeds)[whole_S].tolist()
    return Block(cells.losses[rates][:, whole_S], tuple(names), cells.x[rates])


def components(located: Sequence[Located]) -> Noise | None:
    """Estimate the noise from every width that has a fit and two seeds; None without.

    Within a width the losses are a parabola plus seed effects plus a rest. The rest is what
    is left over by rate means, with (seeds - 1)(rates - 1) degrees of freedom, and what the
    rate means leave over by the parabola, with rates - 3: a curve that is no parabola widens
    the intervals. The seed effects have seeds - 1 degrees of freedom.
    """
    blocks = [block(one.cells, one.fit) for one in located if one.fit is not None]
    rest = between = inverse = 0.0
    df_within = df_between = 0
    for each in blocks:
        block_KS = each.losses
        num_rates, num_seeds = block_KS.shape
        if num_seeds < 2:
            continue
        seed_S = block_KS.mean(axis=0)
        rest_KS = block_KS - block_KS.mean(axis=1, keepdims=True) - seed_S + block_KS.mean()
        rest += float((rest_KS**2).sum()) + each.misfit()
        between += float(((seed_S - seed_S.mean()) ** 2).sum())
        inverse += (num_seeds - 1) / num_rates
        df_within += (num_seeds - 1) * (num_rates - 1) + max(num_rates - 3, 0)
        df_between += num_seeds - 1
    if not df_within:
        return None
    return Noise(
        rest / df_within, df_within, between / df_between, df_between, inverse / df_between
    )


@dataclass(frozen=True, slots=True)
class Drawn:
    """Draws of one width's mean curve, and of its optimum.

    Args:
        mean: Mean losses at every rate; NaN where diverged.
        coefficients: The refitted quadratics, or None without a fit.
        x: Their minima in ln(rate), clipped to the rates that were tried, or None.
        loss: The losses there, or None.
        bad: Share of draws without a minimum, or with one far outside the window.
    """

    mean: Floats
    coefficients: Floats | None
    x: Floats | None
    loss: Floats | None
    bad: float


def draw(one: Located, rng: np.random.Generator, within_D: Floats, seed_D: Floats) -> Drawn:
    """Draw one width: the fitted curve, plus seed effects and rest, averaged over its seeds.

    Outside the window the curve is the mean losses themselves. Seeds that did not run a
    rate do not enter there, in the draws as in the data.
    """
    cells, fit = one.cells, one.fit
    run_RS = cells.run.astype(np.float64)
    count_R = np.maximum(run_RS.sum(axis=1), 1.0)
    curve_R = cells.mean
    if fit is not None:
        curve_R = curve_R.copy()
        curve_R[fit.window] = fit.loss(fit.coefficients, cells.x[fit.window])
    u_DS = seed_D[:, None] * rng.standard_normal((len(seed_D), run_RS.shape[1]))
    e_DR = within_D[:, None] * rng.standard_normal((len(within_D), len(count_R)))
    mean_DR = curve_R + u_DS @ (run_RS / count_R[:, None]).T + e_DR / np.sqrt(count_R)
    if fit is None:
        return Drawn(mean_DR, None, None, None, 0.0)
    coefficients_D3 = mean_DR[:, fit.window] @ fit.solve.T
    x_D = fit.vertex(coefficients_D3)
    return Drawn(
        mean=mean_DR,
        coefficients=coefficients_D3,
        x=x_D,
        loss=fit.loss(coefficients_D3, x_D),
        bad=float(fit.bad(coefficients_D3, cells.x).mean()),
    )
