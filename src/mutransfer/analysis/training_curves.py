"""Instability of single training runs, measured on their training curves.

A training curve holds the training loss of a run at its stored steps. Most of its roughness is the
noise of the batch, which runs with the same seed share step by step: they see the same batches in
the same order. `paired_roughness` removes it by comparing a run with those at neighboring rates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mutransfer.analysis.types.estimates import Bools, Floats

# Shape legend: K runs with the same stored steps, P points of their curves.

MEASURES = ("largest_rise", "roughness", "paired_roughness", "curve_stride")
# The first losses fall and scatter at any rate, and rates still rise to their peak: the studies
# warm up for a fifth of the steps. [assumed]
SKIPPED_SHARE = 0.25
MIN_POINTS = 10  # of a curve, to measure it [assumed]
SECOND_DIFFERENCE = np.sqrt(6.0)  # RMS of the second difference of white noise of sd 1: 1, -2, 1

Point = tuple[tuple[str, object], ...]


def curve_measures(
    curves: Sequence[Floats],
    has_diverged: Sequence[bool],
    settings: Sequence[Mapping[str, object]],
    hyperparameter: str,
) -> dict[str, Floats]:
    """Measure the instability of every run on its training curve.

    The first quarter of the steps, and the warmup if it is longer, is left out.

    Args:
        curves: One row (step, loss) per stored step; none where it was not recorded.
        has_diverged: Whether each run diverged; such runs are not measured.
        settings: The settings of each run, with its place on every axis.
        hyperparameter: The name of the setting that is tuned, usually 'lr'.

    Returns:
        One array per measure, NaN for a run that diverged, or has too short a curve:
        `largest_rise`, the largest rise of the loss above its running minimum;
        `roughness`, the RMS of the second difference over √6, which is σ for white noise of sd σ;
        `paired_roughness`, the same of the curve minus the curves of the same seed at the two
        neighboring rates, interpolated in ln(rate): σ for runs whose own noise has sd σ;
        `curve_stride`, the number of steps between stored losses.

    Example:
        >>> steps = np.arange(1, 41)
        >>> curve = np.stack([steps, np.where(steps == 30, 4.5, 3.0)], axis=1)
        >>> measures = curve_measures([curve], [False], [{"lr": 0.25}], "lr")
        >>> measures["largest_rise"], measures["paired_roughness"]  # there is no other rate
        (array([1.5]), array([nan]))
    """
    measures = {name: np.full(len(curves), np.nan) for name in MEASURES}
    for rows, steps, is_measured_P in _equal_steps(curves, has_diverged, settings):
        loss_KP = np.array([curves[row][is_measured_P, 1] for row in rows])
        bend_KP = np.diff(loss_KP, 2, axis=1) / SECOND_DIFFERENCE
        rise_KP = loss_KP - np.minimum.accumulate(loss_KP, axis=1)
        measures["largest_rise"][rows] = rise_KP.max(axis=1)
        measures["roughness"][rows] = _rms(bend_KP)
        own = [settings[row] for row in rows]
        measures["paired_roughness"][rows] = _paired_roughness(bend_KP, own, hyperparameter)
        measures["curve_stride"][rows] = steps[1] - steps[0]
    return measures


def _equal_steps(
    curves: Sequence[Floats],
    has_diverged: Sequence[bool],
    settings: Sequence[Mapping[str, object]],
) -> Iterator[tuple[list[int], Floats, Bools]]:
    """Yield the runs that share their stored steps, these steps, and which of them are measured."""
    blocks: dict[tuple[bytes, object], list[int]] = defaultdict(list)
    runs = zip(curves, has_diverged, settings, strict=True)
    for row, (curve, is_diverged, own) in enumerate(runs):
        if len(curve) >= MIN_POINTS and not is_diverged:
            blocks[curve[:, 0].tobytes(), own.get("warmup")].append(row)
    for (_, warmup), rows in blocks.items():
        steps = curves[rows[0]][:, 0]
        strides = np.diff(steps)
        # The last step is stored too, whatever the stride is.
        is_even_P = np.append(True, strides == strides[0])
        start = max(SKIPPED_SHARE * steps[-1], warmup if isinstance(warmup, int) else 0)
        is_measured_P = is_even_P & (steps > start)
        if is_even_P[:-1].all() and is_measured_P.sum() >= MIN_POINTS:
            yield rows, steps, is_measured_P


def _paired_roughness(
    bend_KP: Floats, settings: Sequence[Mapping[str, object]], hyperparameter: str
) -> Floats:
    """Return the roughness of every run minus its neighbors in rate; NaN without a neighbor."""
    rates = [own.get(hyperparameter) for own in settings]
    x_K = np.log([v if isinstance(v, int | float) and v > 0 else np.nan for v in rates])
    point_K = _numbered(settings, hyperparameter)
    order = np.lexsort((x_K, point_K))
    x_K, bend_KP = x_K[order], bend_KP[order]
    gap_K = np.where(np.diff(point_K[order]) == 0, np.diff(x_K), np.nan)
    below_K, above_K = np.append(np.nan, gap_K), np.append(gap_K, np.nan)
    # A neighbor at one side only has the whole weight; of two, the nearer one has more.
    weight_below_K = np.where(np.isnan(above_K), 1.0, above_K / (below_K + above_K))
    weight_below_K = np.where(below_K > 0, weight_below_K, 0.0)
    weight_above_K = np.where(above_K > 0, 1.0 - weight_below_K, 0.0)
    rest_KP = bend_KP.copy()
    rest_KP[1:] -= weight_below_K[1:, None] * bend_KP[:-1]
    rest_KP[:-1] -= weight_above_K[:-1, None] * bend_KP[1:]
    # The noise of the neighbors is part of the difference.
    scale_K = np.sqrt(1.0 + weight_below_K**2 + weight_above_K**2)
    has_neighbor_K = weight_below_K + weight_above_K > 0
    rough_K = np.empty(len(order))
    rough_K[order] = np.where(has_neighbor_K, _rms(rest_KP) / scale_K, np.nan)
    return rough_K


def _numbered(settings: Sequence[Mapping[str, object]], hyperparameter: str) -> NDArray[np.intp]:
    """Return equal numbers for runs that differ in nothing but the hyperparameter."""
    numbers: dict[Point, int] = {}
    points = (
        tuple(sorted((k, repr(v)) for k, v in own.items() if k != hyperparameter))
        for own in settings
    )
    return np.array([numbers.setdefault(point, len(numbers)) for point in points], np.intp)


def _rms(values_KP: Floats) -> Floats:
    """Return the root of the mean square of every row."""
    return np.asarray(np.sqrt(np.mean(values_KP**2, axis=1)))
