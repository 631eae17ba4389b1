"""The best loss at a target, extrapolated by a power law with a floor."""

from __future__ import annotations

import numpy as np

from mutransfer.analysis.curves.group import FittedGroup, Settings
from mutransfer.analysis.intervals import estimate
from mutransfer.analysis.laws.power_law import fit_floor_law
from mutransfer.analysis.prediction.cells import OptimumCells
from mutransfer.analysis.scales.cells import Cells
from mutransfer.analysis.scales.exponents import cell_optima
from mutransfer.analysis.scales.loss_law import LossFit, fit_loss_law
from mutransfer.analysis.transfer.optima import Optima
from mutransfer.analysis.types.estimates import Estimate, Floats

# Shape legend: W widths, S samples (the data first, then the draws), C cells, K scales.


def extrapolated_loss(optima: Optima, width: float, rng: np.random.Generator) -> Estimate:
    """Extrapolate the best loss over one scale, with the scatter between widths."""
    if optima.loss_law is None:
        return Estimate(undetermined=optima.no_value)
    law, loss_SW = optima.loss_law, optima.loss
    line_SW = np.array([law.at(n) for n in optima.n]).T
    scatter_S = _scatter(loss_SW, line_SW, len(optima.n) - 3, rng)
    if len(scatter_S) == 1 or optima.no_interval is not None:
        return estimate(law.at(width), optima.no_interval, law.is_bound)
    loss_SW = loss_SW + scatter_S[:, None] * rng.standard_normal(loss_SW.shape)
    drawn = fit_floor_law(optima.n, loss_SW)
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


def least_loss(cells: OptimumCells, log2_target_K: Floats) -> float | None:
    """Return a low estimate of the best loss at a target: that of a power law without a floor.

    A regret divided by it is no smaller a share than that of the true loss. None where it has no
    positive value.
    """
    loss_C = cells.loss[0]
    if not len(loss_C) or loss_C.min() <= 0:
        return None
    design = np.concatenate([np.ones((len(loss_C), 1)), cells.log2_s], axis=1)
    coefficients = np.linalg.lstsq(design, np.log2(loss_C), rcond=None)[0]
    at_target = float(2.0 ** (coefficients[0] + log2_target_K @ coefficients[1:]))
    return min(at_target, float(loss_C.min()))
