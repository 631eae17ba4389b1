"""The best rate at a target: the average over the laws, and each law alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.format import AxisNames
from mutransfer.analysis.intervals import widen_by_skew
from mutransfer.analysis.prediction.laws import (
    AveragedLaw,
    ScaleCells,
    average_laws,
    average_laws_each,
)
from mutransfer.analysis.types.estimates import Estimate, Floats
from mutransfer.analysis.types.scaling import LawName

# Shape legend: T targets, K scales.

LAWS: tuple[LawName, ...] = ("constant", "power", "saturating")
# One optimum has no trend. Two give an interval that rests on the prior distributions.
MIN_OPTIMA, USUAL_OPTIMA = 2, 3


@dataclass(frozen=True, slots=True)
class PredictedRate:
    """log2 of the best rate at a target.

    Args:
        average: The average over the laws.
        by_law: Each law alone.
        weights: The probability of each law.
        law: The distribution behind the average; None with fewer than two optima.
    """

    average: Estimate
    by_law: Mapping[LawName, Estimate]
    weights: Mapping[LawName, float]
    law: AveragedLaw | None


def predict_rates(
    cells: ScaleCells, log2_target_TK: Floats, skew: Estimate, no_value: str, axes: AxisNames
) -> list[PredictedRate]:
    """Average over the laws of the best rate at each target.

    Args:
        cells: log2 of the best rates.
        log2_target_TK: log2 of the targets' scales.
        skew: Error of the best rates where curves are not parabolas, in octaves.
        no_value: Why there is no optimum, if there is none.
        axes: Names of the scales and of the hyperparameter.
    """
    if len(cells) < MIN_OPTIMA:
        only = Estimate(undetermined=no_value)
        if len(cells):
            reason = axes.too_few("an interval", MIN_OPTIMA, len(cells))
            only = Estimate(float(cells.value[0]), undetermined=reason)
        none = PredictedRate(only, dict.fromkeys(LAWS, only), dict.fromkeys(LAWS, 1 / 3), None)
        return [none] * len(log2_target_TK)
    return [
        PredictedRate(
            widen_by_skew(law.mixture.estimate(), skew),
            {name: widen_by_skew(law.of_trend(name).estimate(), skew) for name in LAWS},
            {name: law.weight(name) for name in LAWS},
            law,
        )
        for law in average_laws_each(cells, log2_target_TK)
    ]


def held_out_errors(cells: ScaleCells, axes: AxisNames) -> dict[LawName, Estimate]:
    """Return by how many octaves each law of the smaller cells misses the largest, RMS of several.

    The largest cells are those with the largest value of the first scale.
    """
    sizes_C = cells.log2_s[:, 0] if len(cells) else np.empty(0)
    is_largest_C = sizes_C == (sizes_C.max() if len(sizes_C) else 0.0)
    if int((~is_largest_C).sum()) < MIN_OPTIMA:
        num = len(np.unique(sizes_C))
        reason = axes.too_few("this error", MIN_OPTIMA + 1, num)
        return dict.fromkeys(LAWS, Estimate(undetermined=reason))
    laws = average_laws(cells.select(~is_largest_C), cells.log2_s[is_largest_C])
    errors: dict[LawName, Estimate] = {}
    for name in LAWS:
        predicted_C = np.array([law.of_trend(name).quantile(0.5) for law in laws])
        square_C = (predicted_C - cells.value[is_largest_C]) ** 2
        errors[name] = Estimate(float(np.sqrt(square_C.mean())))
    return errors
