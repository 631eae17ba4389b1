"""Cells: the combinations of several scales that were run, each with its loss curve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.curves.group import FittedGroup, Settings, fitted_groups
from mutransfer.analysis.results import Results
from mutransfer.analysis.types.estimates import Floats

# Shape legend: C cells, K scales.


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of one group, such as (params, tokens, batch), with their curves.

    Noise is pooled over all cells, and draws are joint, because the curves are one group.

    Args:
        group: The fitted group, one curve per cell.
        scales: Names of the scales.
        values: The value of every scale at every cell, (C, K).
    """

    group: FittedGroup
    scales: tuple[str, ...]
    values: Floats


def fitted_cells(results: Results, settings: Settings) -> Mapping[str, Cells]:
    """Sort results into groups and cells, and fit every cell's curve.

    Args:
        results: The trials.
        settings: The settings; `settings.axes.scales` names the scales. With one scale the cells
            are the widths of `fitted_groups`, with the same draws.

    Returns:
        The cells of every group. They ascend in an order that does not depend on the order of the
        scales.

    Raises:
        ResultsError: As `analyze`.

    Example:
        >>> from mutransfer.analysis.format import AxisNames
        >>> sizes = [(n, d) for n in (64, 128) for d in (1e8, 2e8)]
        >>> trials = [(*s, 2.0**k, 3 + (k + 6) ** 2) for s in sizes for k in range(-9, -2)]
        >>> names = ("width", "tokens", "lr", "loss")
        >>> results = Results.from_columns(dict(zip(names, map(list, zip(*trials)))))
        >>> settings = Settings(AxisNames("width", "lr", ("tokens",)), (), 1.1, 1000, 0)
        >>> fitted_cells(results, settings)["all"].values[:2].tolist()
        [[64.0, 100000000.0], [64.0, 200000000.0]]
    """
    scales = settings.axes.scales
    return {
        name: Cells(group, scales, np.array([curve.grid.sizes for curve in group.curves]))
        for name, group in fitted_groups(results, settings).items()
    }
