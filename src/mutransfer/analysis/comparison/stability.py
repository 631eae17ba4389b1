"""Ratio of a measure of instability between two groups, each at its own best rate."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from mutransfer.analysis.intervals import t_quantile
from mutransfer.analysis.types.estimates import Estimate
from mutransfer.analysis.types.report import GroupReport
from mutransfer.analysis.types.stability import CurveMeasure

Measure = Literal["largest_rise", "roughness", "paired_roughness"]

NOT_MEASURED = "no seed of both groups has a training curve at this multiple of the best rate"
FEW = "one seed at one width: add seeds or widths to get an interval"


def stability_ratio(
    a: GroupReport, b: GroupReport, measure: Measure, *, multiple: float = 1.0
) -> Estimate:
    """Estimate the ratio of a measure of training curves, over all widths and seeds of both.

    A seed has the same batches in both groups, so its two curves are compared with each other: the
    logarithms of their ratios are averaged, and their scatter, from width to width too, gives the
    90 % interval. Trials that the groups share, as at a base width, are left out.

    Args:
        a: The first group.
        b: The second group.
        measure: The measure.
        multiple: The rate, as a multiple of the best one of each group.
    """
    partners = {width.width: width.at(multiple) for width in b.stability}
    ratios: list[float] = []
    for width in a.stability:
        own: CurveMeasure | None = getattr(width.at(multiple), measure)
        other: CurveMeasure | None = getattr(partners.get(width.width), measure, None)
        if own is None or other is None:
            continue
        for seed in {*own.by_seed} & {*other.by_seed}:
            values = own.by_seed[seed], other.by_seed[seed]
            if min(values) > 0 and values[0] != values[1]:
                ratios.append(math.log(values[0] / values[1]))
    if not ratios:
        return Estimate(undetermined=NOT_MEASURED)
    mean = float(np.mean(ratios))
    if len(ratios) < 2:
        return Estimate(math.exp(mean), undetermined=FEW)
    half = t_quantile(len(ratios) - 1) * float(np.std(ratios, ddof=1)) / math.sqrt(len(ratios))
    return Estimate(math.exp(mean), math.exp(mean - half), math.exp(mean + half))
