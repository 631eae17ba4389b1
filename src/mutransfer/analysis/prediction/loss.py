"""The best loss at a target, extrapolated by a power law with a floor."""

from __future__ import annotations

import numpy as np

from mutransfer.analysis.curves.group import FittedGroup, Settings
from mutransfer.analysis.intervals import estimate
from mutransfer.analysis.laws.power_law import FloorLaw, fit_floor_law
from mutransfer.analysis.scales.cells import Cells
from mutransfer.analysis.scales.exponents import cell_optima
from mutransfer.analysis.scales.loss_law import LossFit, fit_loss_law
from mutransfer.analysis.types.estimates import Estimate, Floats

# Shape legend: W widths, S samples (the data first, then the draws), C cells, K scales.


def extrapolated_loss(
    n_W: Floats,
    loss_SW: Floats,
    law: FloorLaw | None,
    width: float,
    no_value: str | None,
    no_interval: str | None,
    rng: np.random.Generator,
) -> Estimate:
    """Extrapolate the best loss over one scale, with the scatter between widths.

    Args:
        n_W: The widths.
        loss_SW: Their best losses: of the data, then of the draws.
        law: The law with a floor through them; None with too few widths.
        width: The target.
        no_value: Why there is no law, or None.
        no_interval: Why it has no interval, or None.
        rng: Generator of the scatter.
    """
    if law is None:
        return Estimate(undetermined=no_value)
    line_SW = np.array([law.at(n) for n in n_W]).T
    scatter_S = _scatter(loss_SW, line_SW, len(n_W) - 3, rng)
    if len(scatter_S) == 1 or no_interval is not None:
        return estimate(law.at(width), no_interval, law.is_bound)
    loss_SW = loss_SW + scatter_S[:, None] * rng.standard_normal(loss_SW.shape)
    drawn = fit_floor_law(n_W, loss_SW)
    loss_S = drawn.at(width) + scatter_S * rng.standard_normal(len(scatter_S))
    return estimate(loss_S, None, drawn.is_bound | law.is_bound[0])


def law_over_scales(group: FittedGroup, settings: Settings, rng: np.random.Generator) -> LossFit:
    """Fit an additive law of the best loss over several scales."""
    axes = settings.axes
    values = np.array([curve.grid.sizes for curve in group.curves])
    optima = cell_optima(Cells(group, axes.scales, values), settings.draws)
    return fit_loss_law(optima, axes, rng)


def _scatter(
    values_SW: Floats, fitted_SW: Floats, freedom: int, rng: np.random.Generator
) -> Floats:
    """Draw the standard deviation between widths beyond that of noise; zero for the data itself."""
    num_draws = len(values_SW) - 1
    if not num_draws or freedom < 1:
        return np.zeros(num_draws + 1)
    # The mean square about the law estimates noise plus scatter. Its expectation is drawn by chi².
    square = float(((values_SW[0] - fitted_SW[0]) ** 2).sum()) / freedom
    noise = float(values_SW[1:].var(axis=0).mean())
    scatter_D = square * freedom / rng.chisquare(freedom, num_draws) - noise
    return np.concatenate([[0.0], np.sqrt(np.maximum(scatter_D, 0.0))])


def least_loss(loss_C: Floats, log2_s: Floats, log2_target_K: Floats) -> float | None:
    """Return a low estimate of the best loss at a target: that of a power law without a floor.

    A regret divided by it is no smaller a share than that of the true loss. None where it has no
    positive value.
    """
    if not len(loss_C) or loss_C.min() <= 0:
        return None
    design = np.concatenate([np.ones((len(loss_C), 1)), log2_s], axis=1)
    coefficients = np.linalg.lstsq(design, np.log2(loss_C), rcond=None)[0]
    at_target = float(2.0 ** (coefficients[0] + log2_target_K @ coefficients[1:]))
    return min(at_target, float(loss_C.min()))
