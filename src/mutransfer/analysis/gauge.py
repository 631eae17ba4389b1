"""Gauges: the same trials with their rates in other units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mutransfer.analysis.results import Results, as_floats
from mutransfer.analysis.types.estimates import Bools

# Shape legend: N trials.


def scale_rates(
    results: Results,
    power: float,
    chosen_N: Bools,
    *,
    scale: str = "width",
    hyperparameter: str = "lr",
) -> Results:
    """Multiply the rates of some trials by a power of the width over the smallest width.

    That relabels trials and trains none: a parametrization whose rates all have another power of
    the width is the same family of trainings. Drift, regret and verdict depend on these units,
    since a rate that is carried from width to width is carried in them. E, κ, R(∞) and the best
    loss of a width do not.

    Args:
        results: The trials.
        power: The power.
        chosen_N: The trials whose rates are multiplied.
        scale: The column of sizes.
        hyperparameter: The tuned column.

    Example:
        >>> columns = {"width": [32, 64], "lr": [0.5, 0.25], "loss": [3.0, 2.5]}
        >>> results = Results.from_columns(columns)
        >>> scale_rates(results, 1.0, np.array([True, True])).axes["lr"]
        (0.5, 0.5)
    """
    width_N, lr_N = (as_floats(results.axes[name]) for name in (scale, hyperparameter))
    scaled_N = np.where(chosen_N, lr_N * (width_N / np.nanmin(width_N)) ** power, lr_N)
    return replace(results, axes={**results.axes, hyperparameter: tuple(scaled_N.tolist())})
