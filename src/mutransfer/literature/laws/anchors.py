"""Optima of a sweep as the anchors of published laws, which give ratios of rates only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mutransfer.analysis.analyze import analysis_settings, placed_runs
from mutransfer.analysis.curves.fit import WINDOW
from mutransfer.analysis.loading.names import SIZES
from mutransfer.analysis.results import Results, as_floats
from mutransfer.analysis.scales.cells import fitted_cells
from mutransfer.analysis.types.estimates import LN2
from mutransfer.literature.laws.compare import Anchor


def named_sizes(sizes: Mapping[str, float]) -> dict[str, float]:
    """Return sizes by the names that laws use; others keep theirs.

    Example:
        >>> named_sizes({"N": 1e9, "bs": 512.0, "width": 64.0})
        {'params': 1000000000.0, 'batch': 512.0, 'width': 64.0}
    """
    return {SIZES.get(name, name): size for name, size in sizes.items()}


def sweep_anchors(
    results: Results,
    target: Mapping[str, float],
    *,
    scale: str | Sequence[str] | None = None,
    hyperparameter: str | None = None,
    group_by: str | Sequence[str] | None = None,
    window: float = WINDOW,
) -> dict[str, list[Anchor]]:
    """Return the optima of every group, the nearest to the target last.

    A size that is the same in all runs, such as a batch size that is no scale, belongs to every
    anchor.

    Args:
        results: The trials.
        target: The target's sizes, by the names of the columns.
        scale: As for `analyze`.
        hyperparameter: As for `analyze`.
        group_by: As for `analyze`.
        window: As for `analyze`.
    """
    settings = analysis_settings(results, scale, hyperparameter, group_by, window, 1000, 0)
    placed = placed_runs(results, settings)
    common = common_sizes(placed)
    wanted = named_sizes(target)
    anchors = {}
    for name, cells in fitted_cells(placed, settings).items():
        optima = [
            Anchor(
                {**common, **named_sizes(dict(zip(cells.scales, sizes.tolist(), strict=True)))},
                curve.quadratic.optimum / LN2,
            )
            for sizes, curve in zip(cells.values, cells.group.curves, strict=True)
            if curve.quadratic is not None
        ]
        anchors[name] = sorted(optima, key=lambda anchor: -_distance(anchor.sizes, wanted))
    return anchors


def common_sizes(results: Results) -> dict[str, float]:
    """Return the sizes that are the same in all runs, by the names that laws use.

    A target that does not name such a size is taken to have the same.
    """
    common = {}
    for column, name in SIZES.items():
        values = set(as_floats(results.axes[column])) if column in results.axes else set()
        if len(values) == 1 and 0 < (value := float(values.pop())) < math.inf:
            common[name] = value
    return common


def _distance(sizes: Mapping[str, float], target: Mapping[str, float]) -> float:
    """Return the octaves between two combinations of sizes."""
    names = sizes.keys() & target.keys()
    return math.fsum(abs(math.log2(sizes[name] / target[name])) for name in names)
