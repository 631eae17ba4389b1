"""Scaling of a group over widths: the power laws, κ and other numbers derived from them."""

from __future__ import annotations

import numpy as np

from mutransfer.analysis.curves.group import FittedGroup
from mutransfer.analysis.format import AxisNames
from mutransfer.analysis.intervals import estimate, widen_by_skew
from mutransfer.analysis.laws.power_law import fit_floor_law, fit_power_law
from mutransfer.analysis.transfer.fast_transfer import fast_transfer
from mutransfer.analysis.transfer.optima import Optima
from mutransfer.analysis.transfer.predictability import joint_fit, loss_errors
from mutransfer.analysis.transfer.rate_sensitivity import lr_sensitivity
from mutransfer.analysis.types.estimates import LN2, Estimate
from mutransfer.analysis.types.scaling import Band, Laws, Scaling

# Shape legend: W widths with an optimum, S samples (the data first, then the draws).

NUM_BANDS = 9  # widths at which figures draw the laws


def scaling(group: FittedGroup, optima: Optima, axes: AxisNames) -> Scaling:
    """Estimate the laws over widths and the numbers derived from them."""
    kappa = _kappa(optima)
    joint = joint_fit(group, optima)
    error, errors = loss_errors(group, optima, joint)
    return Scaling(
        laws=_laws(optima, axes),
        kappa=kappa,
        kappa_joint=optima.point_estimate(None if joint is None else joint.kappa),
        kappa_sensitivity=_kappa_sensitivity(group, optima, kappa, axes),
        E=error,
        errors=errors,
        fast=fast_transfer(optima),
        lr_sensitivity=lr_sensitivity(group, axes),
        skew=optima.skew,
        bands=_bands(optima),
    )


def _kappa(optima: Optima) -> Estimate:
    """Estimate kappa: the exponent of the relative cost of a wrong rate."""
    is_bound_S = None if optima.loss_law is None else optima.loss_law.is_bound
    return optima.law_estimate(optima.kappa, is_bound_S, optima.skew_reason)


def _laws(optima: Optima, axes: AxisNames) -> Laws:
    """Estimate the three laws; amplitudes are those at n = 1."""
    rate, curvature, loss = optima.rate_law, optima.curvature_law, optima.loss_law
    no_loss, no_line = optima.law_estimate(None), optima.line_estimate(None, axes)
    loss_inf = amplitude = alpha = no_loss
    if loss is not None:
        amplitude_S = loss.amplitude * loss.center**loss.exponent
        loss_inf = optima.law_estimate(loss.floor, loss.is_bound)
        amplitude = optima.law_estimate(amplitude_S, loss.is_bound)
        alpha = optima.law_estimate(loss.exponent, loss.is_bound)
    if rate is None or curvature is None:
        return Laws(loss_inf, amplitude, alpha, no_line, no_line, no_line, no_line, no_line)
    reason = optima.skew_reason
    log2_lr = optima.line_estimate(rate.log_at(1.0) / LN2, axes)
    return Laws(
        loss_inf=loss_inf,
        amplitude=amplitude,
        alpha=alpha,
        log2_lr=widen_by_skew(log2_lr, optima.skew),
        beta=optima.drift.negated,
        curvature=optima.line_estimate(np.exp(curvature.log_at(1.0)), axes, reason),
        gamma_log=optima.line_estimate(curvature.slope, axes, reason),
        gamma=optima.line_estimate(curvature.slope - 2 * rate.slope, axes, reason),
    )


def _kappa_sensitivity(
    group: FittedGroup, optima: Optima, kappa: Estimate, axes: AxisNames
) -> Estimate:
    """Return kappa with its range when one width is left out."""
    if kappa.value is None:
        return Estimate(undetermined=kappa.undetermined)
    if len(optima.n) < 5:
        text = f"an optimum at fewer than five values of {axes.scale}: add some"
        return Estimate(undetermined=text)
    curvatures = [c.quadratic.curvature for c in group.curves if c.quadratic is not None]
    log_curvature_W = np.log(curvatures)
    values = []
    for k in range(len(optima.n)):
        n_W = np.delete(optima.n, k)
        law = fit_floor_law(n_W, np.delete(optima.loss[:1], k, axis=1))
        gamma = fit_power_law(n_W, np.delete(log_curvature_W, k)[None]).slope
        values.append(np.nan if law.is_bound[0] else float(law.exponent[0] + gamma[0]))
    if not np.all(np.isfinite(values)):
        text = "without one of the widths the fit has no value: add larger widths, or seeds"
        return Estimate(kappa.value, undetermined=text)
    return Estimate(kappa.value, min(values), max(values))


def _bands(optima: Optima) -> tuple[Band, ...]:
    """Evaluate the laws from the smallest to the largest width."""
    if optima.rate_law is None:
        return ()
    bands = []
    for n in np.geomspace(optima.n[0], optima.n[-1], NUM_BANDS):
        rate = estimate(optima.rate_law.log_at(n) / LN2, optima.no_draws)
        loss = Estimate(undetermined=optima.no_value)
        if optima.loss_law is not None:
            loss = estimate(optima.loss_law.at(n), optima.no_loss_interval)
        bands.append(Band(float(n), rate, loss))
    return tuple(bands)
