"""Ratio of a measure of instability between two groups, each at its own best rate."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from mutransfer.analysis.intervals import t_quantile
from mutransfer.analysis.types.estimates import Estimate
from mutransfer.analysis.types.report import GroupReport
from mutransfer.analysis.types.stability import CurveMeasure, RateStability

Measure = Literal["largest_rise", "roughness", "paired_roughness"]

NOT_MEASURED = "no seed of both groups has a training curve at this multiple of the best rate"
FEW = "one seed at one width: add seeds or widths to get an interval"


def stability_ratio(
    a: GroupReport,
    b: GroupReport,
    measure: Measure,
    *,
    share_of: Measure | None = None,
    multiple: float = 1.0,
) -> Estimate:
    """Estimate the ratio of a measure of training curves, over all widths and seeds of both.

    A seed has the same batches in both groups, so its two curves are compared with each other: the
    logarithms of their ratios are averaged, and their scatter, from width to width too, gives the
    90 % interval. Trials that the groups share, as at a base width, are left out.

    Args:
        a: The first group.
        b: The second group.
        measure: The measure.
        share_of: Another measure, by which the measure is divided. The curves of a better model
            scatter more from batch to batch, so that its paired roughness is larger too; as a share
            of the plain roughness it is not.
        multiple: The rate, as a multiple of the best one of each group.
    """
    partners = {width.width: width.at(multiple) for width in b.stability}
    ratios: list[float] = []
    for width in a.stability:
        partner = partners.get(width.width)
        own = _by_seed(width.at(multiple), measure, share_of)
        other = {} if partner is None else _by_seed(partner, measure, share_of)
        for seed in {*own} & {*other}:
            if own[seed] != other[seed]:
                ratios.append(math.log(own[seed] / other[seed]))
    if not ratios:
        return Estimate(undetermined=NOT_MEASURED)
    mean = float(np.mean(ratios))
    if len(ratios) < 2:
        return Estimate(math.exp(mean), undetermined=FEW)
    half = t_quantile(len(ratios) - 1) * float(np.std(ratios, ddof=1)) / math.sqrt(len(ratios))
    return Estimate(math.exp(mean), math.exp(mean - half), math.exp(mean + half))


def _by_seed(rate: RateStability, measure: Measure, share_of: Measure | None) -> dict[str, float]:
    """Return a measure, or its share of another one, by seed; only positive ones."""
    own: CurveMeasure | None = getattr(rate, measure)
    whole: CurveMeasure | None = None if share_of is None else getattr(rate, share_of)
    if own is None or (share_of is not None and whole is None):
        return {}
    units = dict.fromkeys(own.by_seed, 1.0) if whole is None else whole.by_seed
    return {
        seed: value / units[seed]
        for seed, value in own.by_seed.items()
        if value > 0 and units.get(seed, 0.0) > 0
    }
