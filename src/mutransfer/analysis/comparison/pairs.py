"""Pairs of groups: draws of both together, with the noise that seeds and trials in common share."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mutransfer.analysis.curves.fit import CurveFit
from mutransfer.analysis.curves.group import FittedGroup
from mutransfer.analysis.curves.noise import CurveDraws, complete_block, draw_curve
from mutransfer.analysis.types.estimates import Floats

# Shape legend: D draws, S seeds of a width in either group; 2 is the two groups.


@dataclass(frozen=True, slots=True)
class Pair:
    """Two groups at the widths at which both have an optimum, drawn together.

    Args:
        groups: The groups, with new draws; without any if the noise of one could not be estimated.
        is_paired: Whether both ran the same seeds, so that what seeds share cancels.
    """

    groups: tuple[FittedGroup, FittedGroup]
    is_paired: bool


def draw_pair(a: FittedGroup, b: FittedGroup, rng: np.random.Generator, num_draws: int) -> Pair:
    """Draw two groups from the noise around their curves, at the widths at which both have one.

    A seed shifts the losses of a width, in both groups and by amounts that may correlate. Where
    the two share their trials, as at a base width, they share the draws too.
    """
    a, b = _with_optima_of(b, a), _with_optima_of(a, b)
    scatter_22, freedom = _scatter_of_seeds(a, b)
    if a.noise is None or b.noise is None:
        reason = a.no_interval or b.no_interval
        a, b = (replace(g, no_interval=reason, no_loss_interval=reason) for g in (a, b))
        return Pair((a, b), freedom > 0)
    within_aD, seed_aD = a.noise.draw_deviations(rng, num_draws)
    within_bD, seed_bD = b.noise.draw_deviations(rng, num_draws)
    if freedom:
        share_aD = within_aD**2 * a.noise.inverse_rates
        share_bD = within_bD**2 * b.noise.inverse_rates
        root_D22 = _roots(scatter_22, freedom, np.stack([share_aD, share_bD], axis=-1), rng)
    else:
        root_D22 = np.stack([seed_aD, seed_bD], axis=-1)[..., None] * np.eye(2)
    drawn = [
        _draw_curves(curves, root_D22, (within_aD, within_bD), rng)
        for curves in zip(a.curves, b.curves, strict=True)
    ]
    own_a, own_b = zip(*drawn, strict=True) if drawn else ((), ())
    return Pair((replace(a, draws=own_a), replace(b, draws=own_b)), freedom > 0)


def _draw_curves(
    curves: tuple[CurveFit, CurveFit],
    root_D22: Floats,
    within: tuple[Floats, Floats],
    rng: np.random.Generator,
) -> tuple[CurveDraws, CurveDraws]:
    """Draw one width of both groups."""
    seeds = sorted({*curves[0].grid.seeds, *curves[1].grid.seeds})
    normal_DS2 = rng.standard_normal((len(root_D22), len(seeds), 2))
    shift_2DS = np.einsum("dgh,dsh->gds", root_D22, normal_DS2)
    drawn = [
        draw_curve(curve, rng, within_D, shift_DS[:, [seeds.index(s) for s in curve.grid.seeds]])
        for curve, within_D, shift_DS in zip(curves, within, shift_2DS, strict=True)
    ]
    return drawn[0], drawn[0 if has_same_trials(*curves) else 1]


def has_same_trials(a: CurveFit, b: CurveFit) -> bool:
    """Whether two curves have equal losses, as those of two groups do at a shared base width."""
    return np.array_equal(a.grid.losses, b.grid.losses, equal_nan=True)


def _with_optima_of(partner: FittedGroup, group: FittedGroup) -> FittedGroup:
    """Return a group with the widths at which both it and its partner have an optimum."""
    widths = {curve.grid.width for curve in partner.curves if curve.quadratic is not None}
    curves = (c for c in group.curves if c.quadratic is not None and c.grid.width in widths)
    return replace(group, curves=tuple(curves), draws=())


def _num_paired_seeds(a: CurveFit, b: CurveFit) -> int:
    """Return the number of seeds if both curves have the same seeds without gaps, else 0."""
    seeds = complete_block(a).seeds
    is_paired = seeds == complete_block(b).seeds == a.grid.seeds == b.grid.seeds
    return len(seeds) if is_paired else 0


def _scatter_of_seeds(a: FittedGroup, b: FittedGroup) -> tuple[Floats, int]:
    """Return the sums of squares and products of the seeds' mean losses, and their freedom."""
    scatter_22, freedom = np.zeros((2, 2)), 0
    for pair in zip(a.curves, b.curves, strict=True):
        # Where the trials are shared, they say nothing about the difference of other trials.
        if _num_paired_seeds(*pair) < 2 or has_same_trials(*pair):
            continue
        mean_2S = np.stack([complete_block(curve).losses.mean(axis=0) for curve in pair])
        rest_2S = mean_2S - mean_2S.mean(axis=1, keepdims=True)
        scatter_22 += rest_2S @ rest_2S.T
        freedom += rest_2S.shape[1] - 1
    return scatter_22, freedom


def _roots(scatter_22: Floats, freedom: int, share_D2: Floats, rng: np.random.Generator) -> Floats:
    """Draw square roots of the covariance between the shifts of a seed in both groups.

    The covariance of the seeds' means is drawn from the inverse Wishart distribution with
    freedom + 1, by Bartlett's decomposition. Each weighted difference of the two shifts then has
    the distribution that `Noise.draw_deviations` gives to one: its sum of squares over
    chi²(freedom). The part of single runs is subtracted, down to a covariance of zero.
    """
    num_draws = len(share_D2)
    bartlett_D22 = np.zeros((num_draws, 2, 2))
    bartlett_D22[:, 0, 0] = np.sqrt(rng.chisquare(freedom + 1, num_draws))
    bartlett_D22[:, 1, 0] = rng.standard_normal(num_draws)
    bartlett_D22[:, 1, 1] = np.sqrt(rng.chisquare(freedom, num_draws))
    value_2, vector_22 = np.linalg.eigh(scatter_22)
    scale_22 = vector_22 * np.sqrt(np.maximum(value_2, 0.0))
    half_D22 = scale_22 @ np.linalg.inv(bartlett_D22).transpose(0, 2, 1)
    covariance_D22 = half_D22 @ half_D22.transpose(0, 2, 1) - share_D2[..., None] * np.eye(2)
    value_D2, vector_D22 = np.linalg.eigh(covariance_D22)
    return np.asarray(vector_D22 * np.sqrt(np.maximum(value_D2, 0.0))[:, None, :])
