"""Noise of samples, pooled over widths, and draws of the fitted surfaces with the same noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mutransfer.analysis.tuning.polynomial import Polynomials
from mutransfer.analysis.tuning.surface import Candidate, Surface, cubic_shift
from mutransfer.analysis.types.estimates import Floats

# Shape legend: M points in the region, S seeds, D draws, K coefficients, H hyperparameters.

LEAST_WEIGHT = 0.02  # of a candidate that is drawn [assumed]
# What terms of higher order move the optimum by, as a share of what cubic ones do, at most.
# [assumed]
HIGHER_ORDERS = 0.8
MIN_FREEDOM = 4  # with fewer degrees of freedom intervals are too long to be of use [assumed]


@dataclass(frozen=True, slots=True)
class SampleNoise:
    """Two variance components, pooled over widths, with their degrees of freedom.

    Args:
        within: Variance of single runs about the surface of their width and seed: the misfit of
            the quadratic, and the differences between repeated seeds.
        df_within: Degrees of freedom of `within`.
        between: Variance between the seeds of a width, the same for all points; 0 with one seed.
        df_between: Degrees of freedom of `between`.
    """

    within: float
    df_within: int
    between: float
    df_between: int


@dataclass(frozen=True, slots=True, eq=False)
class SurfaceDraws:
    """Draws of one width's fit.

    Args:
        polynomials: The refitted polynomials.
        minimum: Their lowest points, in units of the range.
        moved: The same, moved at random as far as terms of higher order may move them.
        loss: The losses there, with the shift that the seeds have in common.
    """

    polynomials: Polynomials
    minimum: Floats
    moved: Floats
    loss: Floats


def estimate_noise(surfaces: Sequence[Surface]) -> SampleNoise | None:
    """Estimate the noise from all widths, or return None with too few degrees of freedom.

    Without repeated seeds it is estimated from what the polynomials leave, which contains the
    curvature that is not quadratic. A common shift of a seed then moves all losses of a width
    alike; it changes the best loss, not the best point.
    """
    rest = between = 0.0
    df_within = df_between = 0
    for fit in surfaces:
        rest += float((fit.residuals**2).sum())
        df_within += len(fit.region) - fit.terms.count
        loss_MS = fit.table.losses[fit.region]
        has_all_S = np.isfinite(loss_MS).all(axis=0)
        loss_MS = loss_MS[:, has_all_S]
        num_points, num_seeds = loss_MS.shape
        if num_seeds < 2:
            continue
        seed_S = loss_MS.mean(axis=0)
        rest_MS = loss_MS - loss_MS.mean(axis=1, keepdims=True) - seed_S + loss_MS.mean()
        rest += float((rest_MS**2).sum())
        df_within += (num_points - 1) * (num_seeds - 1)
        between += float(((seed_S - seed_S.mean()) ** 2).sum())
        df_between += num_seeds - 1
    if df_within < MIN_FREEDOM:
        return None
    common = between / df_between if df_between else 0.0
    return SampleNoise(rest / df_within, df_within, common, df_between)


def draw_surfaces(
    candidates: Sequence[Candidate], num_draws: int, rng: np.random.Generator
) -> list[SurfaceDraws | None]:
    """Draw every width's polynomial: a candidate by its weight, then its coefficients.

    The noise is drawn as uncertain as its degrees of freedom imply. Widths without a fit have no
    draws. Without an estimate of the noise there are none at all.
    """
    noises = [estimate_noise([fit for fit in c.surfaces if fit]) for c in candidates]
    usable = [
        (candidate, noise)
        for candidate, noise in zip(candidates, noises, strict=True)
        if noise is not None and candidate.weight >= LEAST_WEIGHT
    ]
    if not usable:
        return [None for _ in candidates[0].surfaces] if candidates else []
    weights = np.array([candidate.weight for candidate, _ in usable])
    chosen_D = np.sort(rng.choice(len(usable), num_draws, p=weights / weights.sum()))
    parts = [
        _draw_candidate(candidate, noise, int((chosen_D == k).sum()), rng)
        for k, (candidate, noise) in enumerate(usable)
    ]
    draws = []
    for index, drawn in enumerate(zip(*parts, strict=True)):
        surface = candidates[0].surfaces[index]
        joined = _joined([part for part in drawn if part is not None])
        shift_H = cubic_shift(candidates, index)
        if joined is not None and surface is not None and shift_H is not None:
            joined = _moved(joined, shift_H, surface.limits, rng)
        draws.append(joined)
    return draws


def _draw_candidate(
    candidate: Candidate, noise: SampleNoise, num_draws: int, rng: np.random.Generator
) -> list[SurfaceDraws | None]:
    """Draw the coefficients of one candidate at every width."""
    within_D = np.sqrt(noise.within * noise.df_within / rng.chisquare(noise.df_within, num_draws))
    between_D = np.zeros(num_draws)
    if noise.df_between:
        chi2_D = rng.chisquare(noise.df_between, num_draws)
        between_D = np.sqrt(noise.between * noise.df_between / chi2_D)
    draws: list[SurfaceDraws | None] = []
    for fit in candidate.surfaces:
        if fit is None:
            draws.append(None)
            continue
        normal_DK = rng.standard_normal((num_draws, fit.terms.count))
        coefficients_DK = fit.coefficients + within_D[:, None] * normal_DK @ fit.root.T
        polynomials = fit.terms.polynomials(coefficients_DK)
        minimum_DH = fit.minima(polynomials)
        shift_D = between_D / np.sqrt(fit.num_seeds) * rng.standard_normal(num_draws)
        loss_D = polynomials(minimum_DH) + shift_D
        draws.append(SurfaceDraws(polynomials, minimum_DH, minimum_DH, loss_D))
    return draws


def _joined(parts: Sequence[SurfaceDraws]) -> SurfaceDraws | None:
    """Join the draws of several candidates."""
    if not parts:
        return None
    minimum_DH = np.concatenate([part.minimum for part in parts])
    return SurfaceDraws(
        Polynomials.joined([part.polynomials for part in parts]),
        minimum_DH,
        minimum_DH,
        np.concatenate([part.loss for part in parts]),
    )


def _moved(
    draws: SurfaceDraws, shift_H: Floats, limits: tuple[Floats, Floats], rng: np.random.Generator
) -> SurfaceDraws:
    """Move the best points by a share of what cubic terms change, beyond what noise changes."""
    noise_H = draws.minimum.std(axis=0)
    size_H = HIGHER_ORDERS * np.sqrt(np.maximum(shift_H**2 - noise_H**2, 0.0))
    moves_DH = size_H * rng.uniform(-1, 1, draws.minimum.shape)
    low_H, high_H = limits
    return replace(draws, moved=np.clip(draws.minimum + moves_DH, low_H, high_H))
