"""Local quadratic fits of the loss over several hyperparameters: the region, and the minimum.

A quadratic holds near the optimum only. The region of the fit consists of the points at which the
fit itself predicts the lowest losses. Choosing them by their observed losses instead would favor
points with lucky noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mutransfer.analysis.tuning.polynomial import Polynomials, Terms
from mutransfer.analysis.tuning.samples import SampleTable
from mutransfer.analysis.types.estimates import Bools, Floats

# Shape legend: P points, M points in the region, H hyperparameters, K coefficients, S seeds.

SHARES = (1.0, 0.7, 0.5, 0.35, 0.25)  # of the points, for the region of a fit [assumed]
INNER = 0.25  # of the points, the best ones, decide on terms and region [assumed]
SPARE = 4  # points beyond the coefficients, from which a misfit is estimated [assumed]
ITERATIONS = 3  # of choosing a region and fitting to it; later ones change little [measured]
SLACK = 0.25  # how far beyond the region a minimum may lie, as a share of its extent [assumed]
OUTLIER = 8.0  # robust standard deviations, as for a single curve
OUTLIER_SHARE = 0.1  # of a region; more are no outliers [assumed]


@dataclass(frozen=True, eq=False)
class Surface:
    """The fit of one width.

    Args:
        table: The width's samples.
        terms: The terms of the polynomial.
        center: Middle of the range tried, in positions.
        half: Half of the range tried.
        region: Indices of the points of the fit.
        outliers: Indices of points that lie far above it, which are left out.
        coefficients: Coefficients in units of the range: -1 is its low end, 1 its high end.
    """

    table: SampleTable
    terms: Terms
    center: Floats
    half: Floats
    region: NDArray[np.intp]
    outliers: NDArray[np.intp]
    coefficients: Floats

    @cached_property
    def z(self) -> Floats:
        """Every point in units of the range."""
        return self.unit(self.table.points)

    @property
    def num_seeds(self) -> int:
        """Number of seeds of this width."""
        return max(int(self.table.losses.shape[1]), 1)

    def unit(self, positions: Floats) -> Floats:
        """Convert positions to units of the range."""
        return np.asarray((positions - self.center) / self.half)

    @cached_property
    def polynomials(self) -> Polynomials:
        """The fit, as the only one of a batch."""
        return self.terms.polynomials(self.coefficients[None])

    @cached_property
    def design(self) -> Floats:
        """The terms at the points of the region, times the root of their number of runs."""
        return np.asarray(
            self.terms.at(self.z[self.region]) * np.sqrt(self.table.count[self.region])[:, None]
        )

    @cached_property
    def root(self) -> Floats:
        """A square root of the covariance of the coefficients, in units of the noise."""
        upper_KK = np.linalg.qr(self.design, mode="r")
        return np.asarray(np.linalg.pinv(upper_KK))

    @cached_property
    def residuals(self) -> Floats:
        """Mean losses minus the fit at the points of the region, in units of one run."""
        count_M = np.sqrt(self.table.count[self.region])
        return np.asarray(self.table.mean[self.region] * count_M - self.design @ self.coefficients)

    @cached_property
    def limits(self) -> tuple[Floats, Floats]:
        """The box in which a minimum may lie: the region and a little more, but only what ran."""
        low_H, high_H = self.z[self.region].min(axis=0), self.z[self.region].max(axis=0)
        slack_H = SLACK * (high_H - low_H)
        return np.maximum(low_H - slack_H, -1.0), np.minimum(high_H + slack_H, 1.0)

    @cached_property
    def best_sample(self) -> int:
        """Index of the point with the lowest mean loss."""
        return int(np.nanargmin(self.table.mean))

    @cached_property
    def minimum(self) -> Floats:
        """The best point of the fit, in units of the range."""
        return np.asarray(self.minima(self.polynomials)[0])

    def minima(self, polynomials: Polynomials) -> Floats:
        """Return the lowest points of other fits to the same points."""
        start_H = np.clip(self.z[self.best_sample], *self.limits)
        return polynomials.minimum(*self.limits, start_H)


def possible_terms(num_points: int, num_hyperparameters: int) -> list[Terms]:
    """Return the polynomials that so many points can determine, the simplest first.

    Example:
        >>> [terms.count for terms in possible_terms(12, 2)], possible_terms(8, 2)
        ([6, 8], [])
    """
    quadratic = Terms(num_hyperparameters, has_products=True, has_cubes=False)
    cubic = Terms(num_hyperparameters, has_products=True, has_cubes=True)
    diagonal = Terms(num_hyperparameters, has_products=False, has_cubes=False)
    possible = [t for t in (quadratic, cubic) if num_points >= t.count + SPARE]
    return possible or [t for t in (diagonal,) if num_points >= t.count + SPARE]


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One choice of terms and region, fitted to all widths of a group.

    Args:
        surfaces: One per width; None where there are too few points.
        weight: Its probability among the candidates.
    """

    surfaces: tuple[Surface | None, ...]
    weight: float


def fit_surfaces(tables: Sequence[SampleTable]) -> list[Candidate]:
    """Fit polynomials to every width of a group, and weigh them; none with too few points.

    A candidate predicts the best points, each from the others. Its weight is the likelihood of
    its errors with a variance of its own. So the draws contain that the choice is uncertain, and
    where it does not matter all candidates agree.

    Returns:
        The candidates, the one with the largest weight first.
    """
    fits = [_fits_by_choice(table) for table in tables]
    common = set.intersection(*(set(f) for f in fits if f)) if any(fits) else set()
    choices = sorted(common, key=lambda choice: (choice[0], -choice[1]))
    if not choices:
        return []
    error_C = np.array([sum(_prediction_error(f[c]) for f in fits if f) for c in choices])
    num = sum(len(_best_points(table)) for table, f in zip(tables, fits, strict=True) if f)
    size = max(float(np.nanmax(np.abs(table.mean))) for table in tables if table.usable.any())
    relative_C = np.maximum(error_C / num, (1e-9 * size) ** 2)  # rounding errors are no evidence
    weight_C = (relative_C / relative_C.min()) ** (-num / 2)
    weight_C /= weight_C.sum()
    order = np.argsort(-weight_C, kind="stable").tolist()
    return [
        Candidate(tuple(f[choices[k]] if f else None for f in fits), float(weight_C[k]))
        for k in order
    ]


def cubic_shift(candidates: Sequence[Candidate], index: int) -> Floats | None:
    """Return how far cubic terms move the best point of a width, or None without such a fit.

    It is the difference between the best candidates with and without them. What terms of still
    higher order would change is of the same order or less.
    """
    best: dict[bool, Surface] = {}
    for candidate in candidates:
        surface = candidate.surfaces[index]
        if surface is not None:
            best.setdefault(surface.terms.has_cubes, surface)
    if len(best) < 2:
        return None
    return np.asarray(best[True].minimum - best[False].minimum)


def _best_points(table: SampleTable) -> NDArray[np.intp]:
    """Return the points with the lowest losses, which a fit must predict."""
    usable = np.flatnonzero(table.usable)
    order = usable[np.argsort(table.mean[usable], kind="stable")]
    return order[: max(math.ceil(INNER * len(usable)), table.points.shape[1] + 2)]


def _fits_by_choice(table: SampleTable) -> dict[tuple[bool, float], Surface]:
    """Fit every polynomial to every share of a width's points; none where there are too few."""
    usable = np.flatnonzero(table.usable)
    points_UH = table.points[usable]
    if not len(usable) or (np.ptp(points_UH, axis=0) == 0).any():
        return {}
    low_H, high_H = points_UH.min(axis=0), points_UH.max(axis=0)
    center_H, half_H = (low_H + high_H) / 2, (high_H - low_H) / 2
    order = usable[np.argsort(table.mean[usable], kind="stable")]
    none = np.array([], np.intp)
    fits = {}
    for terms in possible_terms(len(usable), len(center_H)):
        first = order[: max(terms.count + SPARE, math.ceil(len(order) / 2))]
        fit = _fit(Surface(table, terms, center_H, half_H, first, none, np.zeros(0)))
        for share in SHARES:
            num = max(terms.count + SPARE, math.ceil(share * len(usable)))
            fits[terms.has_cubes, share] = _fit_share(fit, usable, num)
    return fits


def _fit_share(fit: Surface, usable: NDArray[np.intp], num: int) -> Surface:
    """Fit a quadratic to the `num` points at which it predicts the lowest losses."""
    for _ in range(ITERATIONS):
        allowed = np.setdiff1d(usable, fit.outliers)
        predicted = fit.polynomials.at_points(fit.z[allowed])[0]
        region = np.sort(allowed[np.argsort(predicted, kind="stable")[:num]])
        fit = _fit(Surface(fit.table, fit.terms, fit.center, fit.half, region, fit.outliers,
                           fit.coefficients))  # fmt: skip
        fit = _without_outliers(fit)
    return fit


def _fit(surface: Surface) -> Surface:
    """Fit the coefficients to the points of the region by least squares."""
    weight_M = np.sqrt(surface.table.count[surface.region])
    target_M = surface.table.mean[surface.region] * weight_M
    coefficients_K = np.asarray(np.linalg.lstsq(surface.design, target_M, rcond=None)[0], float)
    return Surface(surface.table, surface.terms, surface.center, surface.half, surface.region,
                   surface.outliers, coefficients_K)  # fmt: skip


def _without_outliers(fit: Surface) -> Surface:
    """Leave out points far above the fit, such as runs that diverged with a finite loss."""
    median = float(np.median(fit.residuals))
    spread = float(np.median(np.abs(fit.residuals - median))) / 0.6745
    is_outlier_M = fit.residuals - median > OUTLIER * spread
    num, least = int(is_outlier_M.sum()), fit.terms.count + SPARE
    if not num or num > OUTLIER_SHARE * len(fit.region) or len(fit.region) - num < least:
        return fit
    outliers = np.union1d(fit.outliers, fit.region[is_outlier_M]).astype(np.intp)
    region = fit.region[~is_outlier_M]
    return _fit(Surface(fit.table, fit.terms, fit.center, fit.half, region, outliers,
                        fit.coefficients))  # fmt: skip


def _prediction_error(fit: Surface) -> float:
    """Return the squared error of predicting the best points, each without its own loss."""
    points = _best_points(fit.table)
    solved_MK = fit.design @ fit.root
    leverage_M = np.minimum((solved_MK**2).sum(axis=1), 0.99)
    left_out_M = fit.residuals / (1 - leverage_M)
    is_inside_M: Bools = np.isin(fit.region, points)
    outside = np.setdiff1d(points, fit.region)
    rest = fit.table.mean[outside] - fit.polynomials.at_points(fit.z[outside])[0]
    return float((left_out_M[is_inside_M] ** 2).sum() + (fit.table.count[outside] * rest**2).sum())
