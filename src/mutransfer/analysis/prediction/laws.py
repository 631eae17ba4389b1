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

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from mutransfer.analysis.laws.mixture import Mixture, normal_cdf
from mutransfer.analysis.types.estimates import LN2, Bools, Floats
from mutransfer.analysis.types.scaling import LawName

# Shape legend: C cells, E bounds, K scales, T targets, M points (targets, then bounds),
# H components (trend, departure, scatter, share of noise), N scatters with shares of noise.

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
DEPARTURES = ((0.0, 1.0, 0.7), (0.2, 2.0, 0.1), (0.2, 4.0, 0.1), (0.5, 2.0, 0.05), (1.0, 4.0, 0.05))
SCATTERS = np.geomspace(0.005, 0.64, 8)  # octaves; equal probabilities
MAX_CELLS, MAX_BOUNDS = 160, 24  # the cost grows with the third power
MAX_SOLVED = 16  # equations of a triangular system from which on it is halved: fastest
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

    def select(self, indices: NDArray[np.intp]) -> Bounds:
        """Return some of the bounds, in this order."""
        return Bounds(self.log2_s[indices], self.limit[indices], self.is_upper[indices])


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
class Component:
    """One combination of unknowns: a trend, a departure from it, and scatter.

    Args:
        trend: The trend.
        departure: Standard deviation of the departure.
        scatter: Standard deviation of the scatter from cell to cell.
        log_prior: Logarithm of its prior probability.
    """

    trend: LawName
    departure: float
    scatter: float
    log_prior: float


@dataclass(frozen=True, slots=True)
class AveragedLaw:
    """The distribution of a value at one target.

    Args:
        mixture: The distribution, one component for every combination of unknowns.
        components: These combinations.
    """

    mixture: Mixture
    components: Sequence[Component]

    def of_trend(self, name: LawName) -> Mixture:
        """Return the distribution under one trend alone, without departures from it."""
        members = [c.trend == name and not c.departure for c in self.components]
        return self.mixture.part(np.array(members))

    def weight(self, name: LawName) -> float:
        """Return the probability of a trend, given the values."""
        has_trend_H = np.array([component.trend == name for component in self.components])
        return float(self.mixture.weight[has_trend_H].sum())


def average_laws(cells: ScaleCells, targets: Floats) -> list[AveragedLaw]:
    """Average over the laws of a value at targets.

    Args:
        cells: The cells, one or more.
        targets: log2 of the targets' scales, (T, K), one or more. They share the cells, of which
            those near their mean are used where there are too many: see `average_laws_each`.

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
    near = targets.mean(axis=0)
    cells, num_targets = _nearest(cells, near), len(targets)
    if cells.bounds is not None:
        targets = np.concatenate([targets, cells.bounds.log2_s])
    center = float(cells.value.mean())
    components, covariances = _components(cells, targets)
    posterior = _condition(covariances, cells.value - center)
    scatter_H = np.array([component.scatter for component in components])
    log_prior_H = np.array([component.log_prior for component in components])
    laws = []
    for t in range(num_targets):
        at_target = posterior.select([t])
        if cells.bounds is not None:
            order = _by_distance(cells.bounds.log2_s, targets[t])
            limits = cells.bounds.select(order)
            limits = replace(limits, limit=limits.limit - center)
            at_target = posterior.select([t, *(num_targets + order).tolist()])
            at_target = _truncate(at_target, limits, scatter_H)
        variance_H = np.maximum(at_target.covariance[:, 0, 0], 0.0)
        # A target scatters about the law as the cells do.
        sd_H = np.sqrt(variance_H + scatter_H**2)
        log_weight_H = at_target.log_likelihood + log_prior_H
        laws.append(
            AveragedLaw(Mixture(at_target.mean[:, 0] + center, sd_H, log_weight_H), components)
        )
    return laws


def average_laws_each(cells: ScaleCells, targets: Floats) -> list[AveragedLaw]:
    """Average over the laws as `average_laws` does at each target alone, with one fit if possible.

    The cost is that of the fit, which does not depend on the target unless there are so many cells
    or bounds that only those near it are used.
    """
    num_bounds = 0 if cells.bounds is None else len(cells.bounds.limit)
    if len(cells) <= MAX_CELLS and num_bounds <= MAX_BOUNDS:
        return average_laws(cells, targets)
    return [law for target_K in targets for law in average_laws(cells, target_K[None])]


def _components(cells: ScaleCells, targets: Floats) -> tuple[list[Component], Floats]:
    """Return every combination of unknowns, and the covariance of the values at all points."""
    points, num_cells = np.concatenate([cells.log2_s, targets]), len(cells)
    departures = [
        (sd, prior, _departure_covariance(points, sd, length)) for sd, length, prior in DEPARTURES
    ]
    noises = list(product(SCATTERS.tolist(), cells.noise_shares))
    noise_NC = np.array([share * cells.variance + scatter**2 for scatter, share in noises])
    num = len(TRENDS) * len(departures) * len(noises)
    covariances = np.empty((num, len(points), len(points)))
    diagonal, components = np.arange(num_cells), list[Component]()
    for name, delta, trend_prior in TRENDS:
        trend = _trend_covariance(points, num_cells, name, delta)
        for sd, prior, departure in departures:
            own = slice(len(components), len(components) + len(noises))
            covariances[own] = trend + departure
            covariances[own, diagonal, diagonal] += noise_NC
            log_prior = math.log(trend_prior * prior)
            components += [Component(name, sd, scatter, log_prior) for scatter, _ in noises]
    return components, covariances


def _nearest(cells: ScaleCells, target_K: Floats) -> ScaleCells:
    """Return at most `MAX_CELLS` cells, most of them near a target, and the nearest bounds."""
    bounds = cells.bounds
    if bounds is not None:
        bounds = bounds.select(np.sort(_by_distance(bounds.log2_s, target_K)[:MAX_BOUNDS]))
    if len(cells) > MAX_CELLS:
        order = _by_distance(cells.log2_s, target_K)
        ranks = np.unique(np.geomspace(1, len(order), 4 * MAX_CELLS).astype(np.intp) - 1)
        chosen = ranks[np.linspace(0, len(ranks) - 1, MAX_CELLS).astype(np.intp)]
        is_kept_C = np.zeros(len(order), dtype=np.bool_)
        is_kept_C[order[chosen]] = True
        cells = cells.select(is_kept_C)
    return replace(cells, bounds=bounds)


def _by_distance(log2_s: Floats, target_K: Floats) -> NDArray[np.intp]:
    """Return the indices of points, the nearest to a target first."""
    return np.argsort(((log2_s - target_K) ** 2).sum(axis=1), kind="stable")


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


@dataclass(frozen=True, slots=True)
class _Posterior:
    """Values at M points, given those of the cells, under every component.

    Args:
        mean: Their means, (H, M).
        covariance: Their covariances without scatter, (H, M, M).
        log_likelihood: Log-likelihood of the cells, (H,).
    """

    mean: Floats
    covariance: Floats
    log_likelihood: Floats

    def select(self, points: Sequence[int]) -> _Posterior:
        """Return the values at some of the points, in this order."""
        at = np.array(points)
        covariance = self.covariance[:, at[:, None], at]
        return _Posterior(self.mean[:, at], covariance, self.log_likelihood)


def _condition(covariances: Floats, rest_C: Floats) -> _Posterior:
    """Condition the last variables of normal distributions on the first."""
    num_cells = len(rest_C)
    lower = np.asarray(np.linalg.cholesky(covariances[:, :num_cells, :num_cells]), np.float64)
    rest = np.broadcast_to(rest_C[:, None], (len(lower), num_cells, 1))
    cross = covariances[:, :num_cells, num_cells:]
    whitened = _forward(lower, np.concatenate([rest, cross], axis=-1))
    rest_HC, cross_HCM = whitened[..., 0], whitened[..., 1:]
    log_determinant_H = np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
    explained = cross_HCM.transpose(0, 2, 1) @ cross_HCM
    return _Posterior(
        np.einsum("hc,hcm->hm", rest_HC, cross_HCM),
        covariances[:, num_cells:, num_cells:] - explained,
        -0.5 * (rest_HC**2).sum(axis=1) - log_determinant_H,
    )


def _forward(lower: Floats, right: Floats) -> Floats:
    """Solve lower triangular systems; numpy's `solve` would not use that they are triangular."""
    num = lower.shape[1]
    if num <= MAX_SOLVED:
        return np.asarray(np.linalg.solve(lower, right))
    half = num // 2
    top = _forward(lower[:, :half, :half], right[:, :half])
    rest = right[:, half:] - lower[:, half:, :half] @ top
    return np.concatenate([top, _forward(lower[:, half:, half:], rest)], axis=1)


def _truncate(posterior: _Posterior, bounds: Bounds, scatter_H: Floats) -> _Posterior:
    """Condition on bounds, which the points after the target stand for, one after another.

    Every truncated distribution is replaced by the normal one with its mean and variance.
    """
    mean, covariance = posterior.mean.copy(), posterior.covariance.copy()
    log_likelihood_H = posterior.log_likelihood.copy()
    for e, (limit, is_upper) in enumerate(zip(bounds.limit, bounds.is_upper, strict=True)):
        at, sign = 1 + e, 1.0 if is_upper else -1.0
        variance_H = np.maximum(covariance[:, at, at], 0.0) + scatter_H**2
        sd_H = np.sqrt(variance_H)
        z_H = sign * (limit - mean[:, at]) / sd_H
        inside_H = np.maximum(normal_cdf(z_H), MIN_PROBABILITY)
        log_likelihood_H += np.log(inside_H)
        ratio_H = np.exp(-0.5 * z_H**2) / math.sqrt(2 * math.pi) / inside_H
        shrink_H = np.clip(ratio_H * (ratio_H + z_H), 0.0, 1.0)  # of the variance
        gain_HM = covariance[:, :, at] / variance_H[:, None]
        mean -= sign * gain_HM * (ratio_H * sd_H)[:, None]
        reduction = (shrink_H * variance_H)[:, None, None] * gain_HM[:, :, None]
        covariance -= reduction * gain_HM[:, None, :]
    return _Posterior(mean, covariance, log_likelihood_H)
