"""Importance: the share of the variance of the loss that each hyperparameter explains.

The variance is that over the range tried, every value of it equally likely, as in the functional
analysis of variance of Hutter, Hoos and Leyton-Brown (ICML 2014). There the model is a forest.
Here it is a polynomial fitted to all samples, whose variances have a closed form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.intervals import LOWER, UPPER
from mutransfer.analysis.tuning.noise import MIN_FREEDOM
from mutransfer.analysis.tuning.polynomial import Terms
from mutransfer.analysis.tuning.samples import SampleTable
from mutransfer.analysis.tuning.surface import SPARE, possible_terms
from mutransfer.analysis.types.estimates import Estimate, Floats

# Shape legend: P points, H hyperparameters, K coefficients, C components, E effects, D draws.


@dataclass(frozen=True, slots=True)
class Importances:
    """Shares of the variance of the loss.

    Args:
        main: One per hyperparameter: what it explains alone.
        pairs: Two positions -> what only both together explain.
        explained: Share of the variance of the samples that the polynomial explains.
    """

    main: tuple[Estimate, ...]
    pairs: dict[tuple[int, int], Estimate]
    explained: float | None


def importances(table: SampleTable, num_draws: int, rng: np.random.Generator) -> Importances:
    """Estimate the importance of every hyperparameter and of every pair at one width."""
    usable = table.usable
    num_hyperparameters = table.points.shape[1]
    possible = possible_terms(int(usable.sum()), num_hyperparameters)
    points_PH = table.points[usable]
    if not possible or (np.ptp(points_PH, axis=0) == 0).any():
        text = "too few samples to fit a surface to the range tried: add samples"
        return Importances((Estimate(undetermined=text),) * num_hyperparameters, {}, None)
    terms = possible[-1]
    low_H, high_H = points_PH.min(axis=0), points_PH.max(axis=0)
    z_PH = (2 * points_PH - low_H - high_H) / (high_H - low_H)
    weight_P = np.sqrt(table.count[usable])
    target_P = table.mean[usable] * weight_P
    design_PK = terms.at(z_PH) * weight_P[:, None]
    root_KK = np.linalg.pinv(np.linalg.qr(design_PK, mode="r"))
    coefficients_K = np.linalg.lstsq(design_PK, target_P, rcond=None)[0]
    rest_P = target_P - design_PK @ coefficients_K
    df = len(target_P) - terms.count
    variance = float((rest_P**2).sum()) / df
    total = float(((target_P - target_P.mean()) ** 2).sum()) / (len(target_P) - 1)
    effects_CK, effect_C = _components(terms)
    noise_C = ((effects_CK @ root_KK) ** 2).sum(axis=1)
    value_E = _shares((effects_CK @ coefficients_K)[None] ** 2 - variance * noise_C, effect_C)[0]
    chi2_D = rng.chisquare(df, num_draws)
    variance_D = variance * df / chi2_D
    normal_DK = rng.standard_normal((num_draws, terms.count)) * np.sqrt(variance_D)[:, None]
    drawn_DC = (coefficients_K + normal_DK @ root_KK.T) @ effects_CK.T
    # Squares of noisy numbers are too large: once in the fit, and once more in a draw around it.
    share_DE = _shares(drawn_DC**2 - 2 * variance_D[:, None] * noise_C, effect_C)
    has_interval = df >= max(MIN_FREEDOM, SPARE)
    estimates = [_estimate(value, share_DE[:, e], has_interval) for e, value in enumerate(value_E)]
    pairs = dict(zip(terms.pairs, estimates[num_hyperparameters:], strict=True))
    explained = max(1 - variance / total, 0.0) if total > 0 else None
    return Importances(tuple(estimates[:num_hyperparameters]), pairs, explained)


def _components(terms: Terms) -> tuple[Floats, Floats]:
    """Return orthonormal components as combinations of coefficients, and the effect of each.

    In Legendre polynomials P of a uniform z in [-1, 1], whose variances are 1/(2n + 1),
    z² = ⅔P₂ + ⅓ and z³ = ⅖P₃ + ⅗P₁; the variance of a product of two is 1/9.
    """
    count = terms.num_hyperparameters
    rows, effects = [], []
    for h in range(count):
        linear, square, cube = np.zeros((3, terms.count))
        linear[1 + h] = 3**-0.5
        square[1 + count + h] = 2 / 3 * 5**-0.5
        components = [linear, square]
        if terms.has_cubes:
            linear[1 + 2 * count + h] = 3 / 5 * 3**-0.5
            cube[1 + 2 * count + h] = 2 / 5 * 7**-0.5
            components.append(cube)
        rows += components
        effects += [h] * len(components)
    first = terms.count - len(terms.pairs)
    for k in range(len(terms.pairs)):
        product = np.zeros(terms.count)
        product[first + k] = 1 / 3
        rows.append(product)
        effects.append(count + k)
    return np.array(rows), np.array(effects)


def _shares(variance_DC: Floats, effect_C: Floats) -> Floats:
    """Return the share of each effect in the sum; NaN where nothing has an effect."""
    num = int(effect_C.max()) + 1
    variance_DE = np.stack([variance_DC[:, effect_C == e].sum(axis=1) for e in range(num)], axis=1)
    variance_DE = np.maximum(variance_DE, 0.0)
    total_D = variance_DE.sum(axis=1, keepdims=True)
    return np.where(total_D > 0, variance_DE / np.where(total_D > 0, total_D, 1.0), np.nan)


def _estimate(value: float, draws_D: Floats, has_interval: bool) -> Estimate:
    """Return a share with the interval of its draws."""
    finite_D = draws_D[np.isfinite(draws_D)]
    if not np.isfinite(value) or len(finite_D) < 0.9 * len(draws_D):
        return Estimate(undetermined="the loss depends on none of them beyond the noise")
    if not has_interval:
        return Estimate(value, undetermined="too few samples for an interval: add samples")
    low, high = np.quantile(finite_D, [LOWER, UPPER])
    return Estimate(value, min(float(low), value), max(float(high), value))
