"""Laws over one or several scales, and the average over them.

A law is a trend, a departure from it that is smooth in the scales, and scatter from cell to cell:
`universal kriging`, with every unknown averaged over instead of chosen. The trends:

- constant: the value stays, such as the best rate;
- power: its logarithm moves along a straight line, a plane over several scales;
- saturating: it moves along a·(s/s_max)^-δ and settles, for several δ.

A weight is the probability of the observed values under a law. It is the product of predictive
probabilities, each of one cell given the cells before it, in any order: a law that predicts left
out cells well has a large weight. A law with a free slope spreads its probability over slopes, so
the constant law wins where the data show no slope: this is the shrinkage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from mutransfer.analysis.prediction.mixture import Mixture, normal_cdf
from mutransfer.analysis.types.estimates import LN2, Bools, Floats
from mutransfer.analysis.types.scaling import LawName

# Shape legend: C cells, E bounds, K scales, T targets,
# H components (trend, departure, scatter, share of noise).

# Name, exponent δ, prior probability: half for a power, which public sweeps favor, a quarter each
# for a rate that stays and for one that settles, as under µP. [measured: benchmarks/prediction.md]
TRENDS: tuple[tuple[LawName, float, float], ...] = (
    ("constant", 0.0, 0.25),
    ("power", 0.0, 0.5),
    ("saturating", 0.25, 0.25 / 3),
    ("saturating", 0.5, 0.25 / 3),
    ("saturating", 1.0, 0.25 / 3),
)
# Published slopes are -0.7 to 0.3 octaves per octave: standard deviation of the prior, for the
# mean slope over the cells. [assumed]
SLOPE_SD = 1.0
LEVEL_SD = 10.0  # of the level, about the mean of the optima: no information [assumed]
# Smooth departures from a trend: standard deviation, and distance over which they change, both in
# octaves, with the prior probability. [measured: benchmarks/prediction.md]
DEPARTURES = ((0.0, 1.0, 0.7), (0.2, 2.0, 0.1), (0.2, 4.0, 0.1), (0.5, 2.0, 0.05), (0.5, 4.0, 0.05))
SCATTERS = np.geomspace(0.005, 0.64, 8)  # octaves; equal probabilities
MAX_CELLS = 160  # the cost grows with the third power
# A single bound must not rule a law out: a curve may be wrong. [assumed]
MIN_PROBABILITY = 1e-3


@dataclass(frozen=True, slots=True)
class Bounds:
    """Cells of which only a bound is certain, such as a minimum on the edge of the grid.

    Args:
        log2_s: log2 of the scales, (E, K).
        limit: The bound, (E,).
        is_upper: Whether the value lies below the bound, instead of above it, (E,).
    """

    log2_s: Floats
    limit: Floats
    is_upper: Bools


@dataclass(frozen=True, slots=True)
class ScaleCells:
    """Values at combinations of scales, which laws are fitted to. Values and scales are log2.

    Args:
        log2_s: The scales, (C, K).
        value: The values, such as log2 of the best rates, (C,).
        variance: Variance of their noise, (C,).
        noise_shares: The shares of this variance to average over: 1 where repeated seeds measured
            it; several where it is what parabolas leave of the curves.
        bounds: Further cells with a bound instead of a value, or None.
    """

    log2_s: Floats
    value: Floats
    variance: Floats
    noise_shares: Sequence[float] = (1.0,)
    bounds: Bounds | None = None

    def __len__(self) -> int:
        return len(self.value)

    def with_bounds(self, bounds: Bounds) -> ScaleCells:
        """Return the cells with further ones of which only a bound is certain."""
        return replace(self, bounds=bounds if len(bounds.limit) else None)

    def select(self, is_kept_C: Bools) -> ScaleCells:
        """Return some of the cells, without bounds."""
        return ScaleCells(
            self.log2_s[is_kept_C],
            self.value[is_kept_C],
            self.variance[is_kept_C],
            self.noise_shares,
        )


@dataclass(frozen=True, slots=True)
class AveragedLaw:
    """The distribution of a value at one target.

    Args:
        mixture: The distribution, one component for every combination of unknowns.
        trends: The trend of every component.
    """

    mixture: Mixture
    trends: tuple[LawName, ...]

    def of_trend(self, name: LawName) -> Mixture:
        """Return the distribution under one trend alone."""
        return self.mixture.part(self._has_trend(name))

    def weight(self, name: LawName) -> float:
        """Return the probability of a trend, given the values."""
        return float(self.mixture.weight[self._has_trend(name)].sum())

    def _has_trend(self, name: LawName) -> Bools:
        return np.array([trend == name for trend in self.trends])


def average_laws(cells: ScaleCells, targets: Floats) -> list[AveragedLaw]:
    """Average over the laws of a value at targets.

    Args:
        cells: The cells, one or more.
        targets: log2 of the targets' scales, (T, K).

    Source:
        Kriging with a trend: Rasmussen and Williams (2006), section 2.7. Averaging over models by
        their marginal likelihood: https://doi.org/10.1214/ss/1009212519.

    Example:
        >>> octaves = np.arange(5.0)[:, None]
        >>> cells = ScaleCells(octaves, -6 - 0.5 * octaves[:, 0], np.full(5, 1e-4))
        >>> [law] = average_laws(cells, np.array([[8.0]]))
        >>> round(law.mixture.quantile(0.5), 2), law.weight("power") > 0.9
        (-10.0, True)
    """
    bounds = cells.bounds
    cells, num_targets = _nearest(cells, targets.mean(axis=0)), len(targets)
    if bounds is not None:
        targets = np.concatenate([targets, bounds.log2_s])
    center = float(cells.value.mean())
    covariances, log_prior_H, trends, scatter_H = _components(cells, targets)
    mean_HT, variance_HT, log_likelihood_H = _condition(covariances, cells.value - center)
    # A target scatters about the law as the cells do.
    sd_HT = np.sqrt(np.maximum(variance_HT, 0.0) + scatter_H[:, None] ** 2)
    mean_HT += center
    log_weight_H = log_likelihood_H + log_prior_H
    if bounds is not None:
        beyond = slice(num_targets, None)
        log_weight_H += _log_probability(bounds, mean_HT[:, beyond], sd_HT[:, beyond])
    weight_H = np.exp(log_weight_H - log_weight_H.max())
    weight_H /= weight_H.sum()
    return [
        AveragedLaw(Mixture(mean_HT[:, t], sd_HT[:, t], weight_H), trends)
        for t in range(num_targets)
    ]


def _components(
    cells: ScaleCells, targets: Floats
) -> tuple[Floats, Floats, tuple[LawName, ...], Floats]:
    """Return covariance, log prior, trend and scatter of every combination of unknowns."""
    points, num_cells = np.concatenate([cells.log2_s, targets]), len(cells)
    departures = [(_departure_covariance(points, sd, length), p) for sd, length, p in DEPARTURES]
    diagonal = np.arange(num_cells)
    covariances, log_priors, trends, scatters = [], [], [], []
    for name, delta, trend_prior in TRENDS:
        trend = _trend_covariance(points, num_cells, name, delta)
        for (departure, departure_prior), scatter, share in product(
            departures, SCATTERS, cells.noise_shares
        ):
            covariance = trend + departure
            covariance[diagonal, diagonal] += share * cells.variance + scatter**2
            covariances.append(covariance)
            log_priors.append(np.log(trend_prior * departure_prior))
            trends.append(name)
            scatters.append(scatter)
    return np.array(covariances), np.array(log_priors), tuple(trends), np.array(scatters)


def _log_probability(bounds: Bounds, mean_HE: Floats, sd_HE: Floats) -> Floats:
    """Return the log-probability of the bounds under every component."""
    z_HE = (bounds.limit - mean_HE) / sd_HE
    z_HE = np.where(bounds.is_upper, z_HE, -z_HE)
    inside_HE = normal_cdf(z_HE.ravel()).reshape(z_HE.shape)
    return np.asarray(np.log(np.maximum(inside_HE, MIN_PROBABILITY)).sum(axis=1))


def _nearest(cells: ScaleCells, target_K: Floats) -> ScaleCells:
    """Return at most `MAX_CELLS` cells: most of those near a target, and a few far from it."""
    if len(cells) <= MAX_CELLS:
        return cells
    order = np.argsort(((cells.log2_s - target_K) ** 2).sum(axis=1), kind="stable")
    ranks = np.unique(np.geomspace(1, len(order), 4 * MAX_CELLS).astype(np.intp) - 1)
    is_kept_C = np.zeros(len(order), dtype=np.bool_)
    is_kept_C[order[ranks[np.linspace(0, len(ranks) - 1, MAX_CELLS).astype(np.intp)]]] = True
    return cells.select(is_kept_C)


def _departure_covariance(points: Floats, sd: float, length: float) -> Floats:
    """Return the covariance of a smooth departure from a trend."""
    distance = (points[:, None] - points[None]) / length
    return np.asarray(sd**2 * np.exp(-0.5 * (distance**2).sum(axis=-1)))


def _trend_covariance(points: Floats, num_cells: int, name: LawName, delta: float) -> Floats:
    """Return the covariance of a trend whose level and slopes have their prior distributions."""
    covariance = np.full((len(points), len(points)), LEVEL_SD**2)
    if name == "constant":
        return covariance
    basis = points - points[:num_cells].max(axis=0)  # octaves above the largest cell
    if delta:
        basis = -np.expm1(-delta * LN2 * basis) / (delta * LN2)
    # The prior is that of the mean slope over the cells: it means the same for every delta.
    span_K, rise_K = (np.ptp(x[:num_cells], axis=0) for x in (points, basis))
    basis = basis * np.where(rise_K > 0, span_K / np.where(rise_K > 0, rise_K, 1.0), 1.0)
    return np.asarray(covariance + SLOPE_SD**2 * basis @ basis.T)


def _condition(covariances: Floats, rest_C: Floats) -> tuple[Floats, Floats, Floats]:
    """Condition the last variables on the first: means, variances, log-likelihood of the first."""
    num_cells = len(rest_C)
    lower = np.linalg.cholesky(covariances[:, :num_cells, :num_cells])
    rest = np.broadcast_to(rest_C[:, None], (len(lower), num_cells, 1))
    cross = covariances[:, :num_cells, num_cells:]
    whitened = np.linalg.solve(lower, np.concatenate([rest, cross], axis=-1))
    rest_HC, cross_HCT = whitened[..., 0], whitened[..., 1:]
    log_determinant_H = np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
    log_likelihood_H = -0.5 * (rest_HC**2).sum(axis=1) - log_determinant_H
    own_HT = np.diagonal(covariances, axis1=1, axis2=2)[:, num_cells:]
    mean_HT = np.einsum("hc,hct->ht", rest_HC, cross_HCT)
    return mean_HT, own_HT - (cross_HCT**2).sum(axis=1), log_likelihood_H
