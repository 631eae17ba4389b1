"""Predictions of one fitted group at targets, which share the fits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.curves.group import FittedGroup, Settings
from mutransfer.analysis.curves.skew import skew
from mutransfer.analysis.intervals import estimate, skew_shifts
from mutransfer.analysis.prediction.cells import OptimumCells, optimum_cells
from mutransfer.analysis.prediction.cost import TargetCurve, target_curve
from mutransfer.analysis.prediction.laws import AveragedLaw, average_laws, average_laws_each
from mutransfer.analysis.prediction.loss import extrapolated_loss, law_over_scales, least_loss
from mutransfer.analysis.prediction.points import NO_SHARE
from mutransfer.analysis.prediction.rate import (
    LAWS,
    PredictedRate,
    held_out_errors,
    predict_rates,
)
from mutransfer.analysis.prediction.warnings import warnings
from mutransfer.analysis.scales.loss_law import LossFit
from mutransfer.analysis.transfer.floor_check import floor_law_error, floor_law_warning
from mutransfer.analysis.transfer.optima import Optima, fit_optima
from mutransfer.analysis.types.estimates import Estimate, Floats
from mutransfer.analysis.types.scaling import Band, LawName, NearestRate, Prediction, RateLaw

# Shape legend: T targets, K scales, S samples (the data first, then the draws).

NUM_STEPS = 9  # points of the path to the target
NO_LAW = "the law of the loss misses the largest size that was run, see the warning"


def predict_group(
    group: FittedGroup, targets: Sequence[Mapping[str, float]], settings: Settings
) -> list[Prediction]:
    """Predict for one fitted group at targets, which share the fits.

    Args:
        group: The group.
        targets: Each target's value of every scale.
        settings: The settings that the group was fitted with.
    """
    axes, fits = settings.axes, _fit(group, settings)
    missing = next((c.undetermined for c in group.curves if c.quadratic is None), None)
    log2_target_TK = np.log2([list(target.values()) for target in targets])
    cells = fits.cells
    rates = predict_rates(cells.rate, log2_target_TK, fits.skewness, missing or "", axes)
    curvatures: Sequence[AveragedLaw | None] = [None] * len(targets)
    if any(rate.law is not None for rate in rates):
        curvatures = average_laws_each(cells.curvature, log2_target_TK)
    return [
        _at_target(fits, target, rate, curvature)
        for target, rate, curvature in zip(targets, rates, curvatures, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Fits:
    """What predictions of one group share, whatever their target.

    Args:
        group: The group.
        settings: The settings that it was fitted with.
        cells: Its optima.
        skewness: Error of the best rates where curves are not parabolas, in octaves.
        held_out: By how many octaves each law of the smaller cells misses the largest.
        optima: The optima and their laws over one scale; None over several.
        misfit: A warning where the law of the loss fails at the largest size, or None.
        loss: The law of the loss over several scales; None over one.
        rng: Generator of the draws at a target; a copy for each, so that they do not depend on
            which other targets there are.
    """

    group: FittedGroup
    settings: Settings
    cells: OptimumCells
    skewness: Estimate
    held_out: Mapping[LawName, Estimate]
    optima: Optima | None
    misfit: str | None
    loss: LossFit | None
    rng: np.random.Generator

    def loss_at(self, target: Mapping[str, float], rng: np.random.Generator) -> Estimate:
        """Extrapolate the best loss."""
        if self.loss is not None:
            return self.loss.at(np.exp2(np.log2(list(target.values()))), rng)
        assert self.optima is not None
        optima, width = self.optima, target[self.settings.axes.scale]
        loss = extrapolated_loss(
            optima.n, optima.loss, optima.loss_law, width, optima.no_value, optima.no_interval, rng
        )
        return _without_interval(loss, self.misfit)


def _fit(group: FittedGroup, settings: Settings) -> _Fits:
    """Fit the laws of one group."""
    axes, cells = settings.axes, optimum_cells(group)
    # The seed contains the group's name, so that draws do not depend on the other groups.
    rng = np.random.default_rng([settings.seed, *group.name.encode(errors="replace"), 1])
    optima = None if axes.further else fit_optima(group, axes)
    return _Fits(
        group=group,
        settings=settings,
        cells=cells,
        skewness=skew(group, axes),
        held_out=held_out_errors(cells.rate, axes),
        optima=optima,
        misfit=None if optima is None else _misfit(group, optima, settings),
        loss=law_over_scales(group, settings, rng) if axes.further else None,
        rng=rng,
    )


def _at_target(
    fits: _Fits, target: Mapping[str, float], rate: PredictedRate, curvature: AveragedLaw | None
) -> Prediction:
    """Predict at one target."""
    group, cells, axes, rng = fits.group, fits.cells, fits.settings.axes, deepcopy(fits.rng)
    log2_target_K = np.log2(list(target.values()))
    loss = fits.loss_at(target, rng)
    # Shares and the bound of an untrained network are relative to this loss.
    best = loss.value
    if best is None:
        best = least_loss(cells.loss[0], cells.log2_s, log2_target_K)
    curve = None
    if rate.law is not None and curvature is not None:
        shifts, num_draws = skew_shifts(fits.skewness), fits.settings.draws
        curve = target_curve(group, rate.law, curvature, shifts, best, rng, num_draws)
    regret, share = _regret(rate.average, curve, best)
    laws = [
        RateLaw(
            name,
            rate.weights[name],
            rate.by_law[name],
            fits.held_out[name],
            _regret(rate.by_law[name], curve, best)[1],
        )
        for name in LAWS
    ]
    cautions = warnings(group, cells, target, axes)
    path: tuple[Band, ...] = ()
    if fits.optima is not None:
        path = _path(cells, fits.optima, target[axes.scale], fits.misfit)
    return Prediction(
        group=group.name,
        scale=axes.scale,
        hyperparameter=axes.hyperparameter,
        width=target[axes.scale],
        at=dict(target),
        extrapolation=_extrapolation(cells, log2_target_K),
        lr=_power_of_two(rate.average),
        log2_lr=rate.average,
        loss=loss,
        regret=regret,
        regret_share=share,
        law=max(laws, key=lambda law: law.weight).name,
        laws=tuple(laws),
        warnings=(*cautions, *([] if fits.misfit is None else [fits.misfit])),
        nearest=_nearest(group, cells, target, curve, best),
        path=path,
    )


def _nearest(
    group: FittedGroup,
    cells: OptimumCells,
    target: Mapping[str, float],
    curve: TargetCurve | None,
    best_loss: float | None,
) -> NearestRate | None:
    """Return the best rate of the nearest size, and what it costs at the target."""
    if not len(cells.rate):
        return None
    distance_CK = cells.log2_s - np.log2(list(target.values()))
    k = int(np.argmin((distance_CK**2).sum(axis=1)))
    log2_lr = float(cells.rate.value[k])
    grid = [one.grid for one in group.curves if one.quadratic is not None][k]
    sizes = dict(zip(target, grid.sizes, strict=True))
    return NearestRate(sizes, log2_lr, _regret(Estimate(log2_lr), curve, best_loss)[1])


def _misfit(group: FittedGroup, optima: Optima, settings: Settings) -> str | None:
    """Return a warning where the law of the loss fails at the largest size, or None."""
    rng = np.random.default_rng([settings.seed, *group.name.encode(errors="replace"), 2])
    error = floor_law_error(group, optima, rng, settings.draws)
    return floor_law_warning(error, optima, settings.axes)


def _without_interval(loss: Estimate, misfit: str | None) -> Estimate:
    """Return the loss alone where its law does not hold; an interval would be that of the law."""
    if misfit is None or loss.value is None:
        return loss
    return Estimate(loss.value, undetermined=NO_LAW)


def _regret(
    rate: Estimate, curve: TargetCurve | None, best_loss: float | None
) -> tuple[Estimate, Estimate]:
    """Estimate what a rate costs at the target, and as a share of the loss there."""
    if curve is None or rate.value is None:
        missing = Estimate(undetermined=rate.undetermined)
        return missing, missing
    regret = curve.regret(rate.value)
    if best_loss is None or best_loss <= 0:
        return regret, NO_SHARE
    return regret, regret.times(1 / best_loss)


def _extrapolation(cells: OptimumCells, log2_target_K: Floats) -> float:
    """Return the ratio of the target to the largest value with an optimum, of all scales."""
    if not len(cells.rate):
        return math.nan
    return float(2.0 ** np.max(log2_target_K - cells.log2_s.max(axis=0)))


def _power_of_two(log2_lr: Estimate) -> Estimate:
    """Convert log2 of a rate to the rate."""
    value, low, high = (
        None if x is None else 2.0**x if x < 1024 else math.inf
        for x in (log2_lr.value, log2_lr.low, log2_lr.high)
    )
    return Estimate(value, low, high, log2_lr.undetermined)


def _path(
    cells: OptimumCells, optima: Optima, width: float, misfit: str | None
) -> tuple[Band, ...]:
    """Return rate and loss from the largest width with an optimum to the target."""
    if len(cells.rate) < 2:
        return ()
    widths = np.geomspace(float(optima.n[-1]), width, NUM_STEPS)
    bands = []
    for n, law in zip(widths, average_laws(cells.rate, np.log2(widths)[:, None]), strict=True):
        loss = Estimate(undetermined=optima.no_value)
        if optima.loss_law is not None:
            loss = estimate(
                optima.loss_law.at(n), optima.no_loss_interval, optima.loss_law.is_bound
            )
        bands.append(Band(float(n), law.mixture.estimate(), _without_interval(loss, misfit)))
    return tuple(bands)
