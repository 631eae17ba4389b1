"""Additive law of the best loss over several scales, with intervals of its exponents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mutransfer.analysis.format import AxisNames
from mutransfer.analysis.intervals import WIDTHS_FOR_VALUE, estimate
from mutransfer.analysis.laws.additive import AdditiveLaw, fit_additive_law
from mutransfer.analysis.laws.plane import sample_variance, scatter_variance, with_scatter
from mutransfer.analysis.scales.dependence import dependence_reason, scale_sets
from mutransfer.analysis.scales.exponents import MIN_FREEDOM, CellOptima, by_scale, too_few_cells
from mutransfer.analysis.scales.lines import lines_along
from mutransfer.analysis.types.estimates import Estimate, Floats
from mutransfer.analysis.types.scales import LossExponents

# Shape legend: C cells, K scales of the law, S samples (the data first, then the draws).


@dataclass(frozen=True, slots=True)
class LossFit:
    """The fitted law of the best loss.

    Args:
        exponents: The report of the law.
        law: The law of the data and of the draws, or None.
        terms: Indices of the scales that have a term of their own in it.
        no_interval: Why it has no interval, or None.
        is_of_best: Why it is a lower bound of the loss, or None: it has no term for some scale.
    """

    exponents: LossExponents
    law: AdditiveLaw | None = None
    terms: tuple[int, ...] = ()
    no_interval: str | None = None
    is_of_best: str | None = None

    def at(self, target_K: Floats, rng: np.random.Generator) -> Estimate:
        """Estimate the best loss at one size of every scale, with the scatter between cells."""
        if self.law is None:
            return Estimate(undetermined=self.exponents.loss_inf.undetermined)
        loss_S = self.law.at(target_K[None, list(self.terms)])[:, 0]
        is_bound_S = np.asarray(self.law.is_bound.any(axis=1))
        noise_S = (self.exponents.scatter or 0.0) * rng.standard_normal(len(loss_S))
        noise_S[0] = 0.0
        loss = estimate(loss_S + noise_S, self.no_interval, is_bound_S)
        if self.is_of_best is None or loss.value is None:
            return loss
        # At any other size of the scale without a term the loss is higher.
        return Estimate(None, loss.low, None, self.is_of_best)


def fit_loss_law(optima: CellOptima, axes: AxisNames, rng: np.random.Generator) -> LossFit:
    """Fit the law of the best loss over the scales along which it falls.

    Along some scales, such as the batch size, the loss has a minimum instead of a power law. The
    law is then that of the best cells over all values of these scales, and has no term for them.
    """
    scales, cells = falling_scales(optima.values, optima.loss[0], axes.scales)
    names = [axes.scales[k] for k in scales]
    value_CK = optima.values[cells][:, scales]
    optima = replace(
        optima,
        values=value_CK,
        log2_lr=optima.log2_lr[:, cells],
        loss=optima.loss[:, cells],
        sets=tuple(scale_sets(value_CK)) if len(cells) else (),
    )
    basis = optima.basis
    reason = too_few_cells(len(cells), 1 + 2 * len(basis), names)
    if not reason and not basis:
        reason = "the best loss falls with no scale"
        if optima.sets:
            reason = dependence_reason(value_CK, optima.sets[0], names)
    if reason:
        none = Estimate(undetermined=reason)
        every = dict.fromkeys(axes.scales, none)
        return LossFit(LossExponents(none, every, every, (), None, len(cells)))
    law, spread = _fitted_law(optima, rng)
    needed = 1 + 2 * len(basis) + MIN_FREEDOM
    return LossFit(
        _loss_report(optima, law, spread, names, axes),
        law,
        tuple(scales[k] for k in basis),
        too_few_cells(len(cells), needed, names, "an interval"),
        next((_of_best(name, names) for name in axes.scales if name not in names), None),
    )


def _of_best(name: str, names: Sequence[str]) -> str:
    """Return why the law has no term for a scale."""
    return (
        f"the best loss does not fall with {name}, so the law is that of the best {name} for each "
        f"{' and '.join(names)}"
    )


def falling_scales(
    value_CK: Floats, loss_C: Floats, scales: Sequence[str]
) -> tuple[list[int], NDArray[np.intp]]:
    """Return the scales along which the loss falls, and the best cells over the others.

    The loss does not fall along a scale if, on more than half of its lines, the largest size does
    not have the lowest loss.

    Example:
        >>> cells = np.array([(n, b) for n in (1.0, 2.0) for b in (8.0, 16.0, 32.0)])
        >>> loss = cells[:, 0] ** -0.5 + 0.1 * (np.log2(cells[:, 1]) - 4) ** 2
        >>> falling_scales(cells, loss, ("width", "batch"))
        ([0], array([1, 4]))
    """
    kept, cells = list(range(len(scales))), np.arange(len(loss_C))
    while kept:
        names = [scales[k] for k in kept]
        value = value_CK[cells][:, kept]
        shares = [_rising_share(value, loss_C[cells], names, k) for k in range(len(kept))]
        worst = int(np.argmax(shares))
        if shares[worst] <= 0.5:
            break
        kept.pop(worst)
        rest = value_CK[cells][:, kept]
        # Sorted by loss, the first cell of each combination of the other sizes is the best.
        ascending = np.argsort(loss_C[cells], kind="stable")
        _, first = np.unique(rest[ascending], axis=0, return_index=True)
        cells = np.sort(cells[ascending[first]])
    return kept, cells


def _rising_share(value_CK: Floats, loss_C: Floats, names: Sequence[str], scale: int) -> float:
    """Return the share of the lines along a scale whose largest size has not the lowest loss."""
    lines = lines_along(value_CK, names, scale)
    rising = [
        line.cells[int(np.argmin(loss_C[list(line.cells)]))] != line.cells[-1] for line in lines
    ]
    return float(np.mean(rising)) if rising else 0.0


def _fitted_law(optima: CellOptima, rng: np.random.Generator) -> tuple[AdditiveLaw, float | None]:
    """Fit the law to the data and to the draws with scatter; return it and the scatter."""
    value_CK = optima.values[:, optima.basis]
    noise_C = sample_variance(optima.loss)
    law = fit_additive_law(value_CK, optima.loss[:1], _weights(noise_C))
    tangent_CP = _tangent(law, value_CK)
    rest_C = optima.loss[0] - law.at(value_CK)[0]
    scatter = scatter_variance(tangent_CP, rest_C, noise_C)
    freedom = len(tangent_CP) - int(tangent_CP.shape[1])
    loss_SC = with_scatter(optima.loss, noise_C, scatter, freedom, rng)
    law = fit_additive_law(value_CK, loss_SC, _weights(noise_C + scatter))
    return law, float(np.sqrt(scatter)) if freedom else None


def _weights(variance_C: Floats) -> Floats:
    """Return inverse variances; equal ones for exact data."""
    if not variance_C.max() > 0:
        return np.ones(len(variance_C))
    return np.asarray(1 / np.maximum(variance_C, 1e-12 * variance_C.max()))


def _tangent(law: AdditiveLaw, value_CK: Floats) -> Floats:
    """Return the derivatives of the law of the data with respect to its parameters."""
    log_CK = np.log(value_CK / law.center)
    term_CK = law.amplitude[0] * np.exp(-law.exponent[0] * log_CK)
    return np.column_stack([np.ones(len(log_CK)), term_CK, -log_CK * term_CK])


def _loss_report(
    optima: CellOptima,
    law: AdditiveLaw,
    spread: float | None,
    names: Sequence[str],
    axes: AxisNames,
) -> LossExponents:
    """Build the report of a law; `names` are the scales that it has terms for."""
    num_cells, num_parameters = len(optima.values), 1 + 2 * len(optima.basis)
    no_interval = too_few_cells(num_cells, num_parameters + MIN_FREEDOM, names, "an interval")
    lacking = [_too_few_values(optima.values[:, k], names[k]) for k in optima.basis]
    amplitudes, exponents = (
        [
            Estimate(undetermined=reason)
            if reason
            else estimate(samples_SK[:, k], no_interval, law.is_bound[:, k])
            for k, reason in enumerate(lacking)
        ]
        for samples_SK in (law.unit_amplitude, law.exponent)
    )
    reason = next(filter(None, lacking), None)
    floor = Estimate(undetermined=reason)
    if reason is None:
        floor = estimate(law.floor, no_interval, np.asarray(law.is_bound.any(axis=1)))
    by_name, paths = by_scale(optima, exponents, names)
    amplitude_by_name, _ = by_scale(optima, amplitudes, names)
    others = {
        name: Estimate(undetermined=_of_best(name, names))
        for name in axes.scales
        if name not in names
    }
    return LossExponents(
        loss_inf=floor,
        amplitudes={name: (amplitude_by_name | others)[name] for name in axes.scales},
        exponents={name: (by_name | others)[name] for name in axes.scales},
        paths=paths,
        scatter=spread,
        num_cells=num_cells,
    )


def _too_few_values(size_C: Floats, name: str) -> str | None:
    """Return why a scale has no exponent of the loss, and what to add, or None."""
    num = len(np.unique(size_C))
    if num >= WIDTHS_FOR_VALUE:
        return None
    return (
        f"an exponent of the loss needs {WIDTHS_FOR_VALUE} values of {name}, and {num} have an "
        f"optimum: add {WIDTHS_FOR_VALUE - num}"
    )
