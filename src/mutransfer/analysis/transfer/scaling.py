"""This file is how a group scales: laws, κ, E, fast transfer, sensitivity to the rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.curves.group import Fitted, refusals, samples
from mutransfer.analysis.curves.skew import skew
from mutransfer.analysis.format import Words
from mutransfer.analysis.intervals import (
    ON_BOUND,
    lacking_interval,
    lacking_value,
    sampled,
    widened,
)
from mutransfer.analysis.laws.joint import Joint, Points, expected_square, joint_fit
from mutransfer.analysis.laws.power_law import FloorLaw, PowerLaw, floor_law, power_law
from mutransfer.analysis.transfer.rate_sensitivity import lr_sensitivity
from mutransfer.analysis.types.estimates import LN2, Bools, Estimate, Floats
from mutransfer.analysis.types.scaling import (
    Band,
    FastTransfer,
    FitErrors,
    Laws,
    Scaling,
    Speed,
    is_skewed,
)

# Shape legend: W widths with an optimum, S samples (the data first, then the draws), P points.

BANDS = 9  # points that the laws are drawn with


@dataclass(frozen=True, slots=True)
class Optima:
    """The optima of one group, of the data and of every draw, and the laws through them.

    Args:
        n: Widths that have an optimum, rising.
        x: ln of the best rate.
        loss: Loss there.
        rate_law: Power law of the best rate; None with fewer than two widths.
        curvature_law: Power law of the curvature in ln(rate); NaN where a draw has none.
        loss_law: Power law with a floor of the best loss; None with fewer than four widths.
        lacking: Why a law with three parameters has no value, or None.
        no_interval: Why it has no interval, or None.
        no_draws: Why even a straight line has no interval, or None.
        skew: How far the parabolas' best rates err, in octaves.
    """

    n: Floats
    x: Floats
    loss: Floats
    rate_law: PowerLaw | None
    curvature_law: PowerLaw | None
    loss_law: FloorLaw | None
    lacking: str | None
    no_interval: str | None
    no_draws: str | None
    skew: Estimate

    @property
    def bent(self) -> str | None:
        """Say why curvatures have no interval, if the curves are skewed."""
        if not is_skewed(self.skew) or self.skew.value is None:
            return None
        return (
            f"the curves are skewed, which moves best rates by {self.skew.value:+.2f} octaves and "
            "curvatures with them: add rates between, and a smaller window"
        )


def optima(group: Fitted, words: Words) -> Optima:
    """Gather the optima and fit the laws through them."""
    chosen = [k for k, one in enumerate(group.located) if one.fit is not None]
    reasons = [one.undetermined for one in group.located if one.fit is None]
    no_draws = next(iter(reasons), None) if len(chosen) < 2 else None
    no_draws = no_draws or refusals(group, chosen, words) or next(iter(reasons), None)
    n_W = np.array([group.located[k].cells.width for k in chosen])
    each = [samples(group, k) for k in chosen]
    x_SW, loss_SW, curvature_SW = (
        np.array(columns).T if columns else np.empty((1, 0))
        for columns in (
            [one.x for one in each],
            [one.loss for one in each],
            [one.curvature for one in each],
        )
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        log_curvature_SW = np.where(curvature_SW > 0, np.log(curvature_SW), np.nan)
    several = len(chosen) > 1
    lacking = lacking_value(len(chosen), next(iter(reasons), None), words)
    return Optima(
        n=n_W,
        x=x_SW,
        loss=loss_SW,
        rate_law=power_law(n_W, x_SW) if several else None,
        curvature_law=power_law(n_W, log_curvature_SW) if several else None,
        loss_law=None if lacking else floor_law(n_W, loss_SW),
        lacking=lacking,
        no_interval=lacking or lacking_interval(n_W, no_draws, words),
        no_draws=no_draws,
        skew=skew(group, words),
    )


def scaling(group: Fitted, found: Optima, words: Words) -> Scaling:
    """Estimate everything that takes several widths."""
    alpha_S, bound_S = _alpha(found)
    gamma_S = _missing(found) if found.curvature_law is None else found.curvature_law.slope
    kappa = _law(alpha_S + gamma_S, found, bound_S, found.bent)
    log_fit, linear_fit = _joint(group, found, linear=False), _joint(group, found, linear=True)
    error, errors = _errors(group, found, log_fit, linear_fit)
    return Scaling(
        laws=_laws(found, words),
        kappa=kappa,
        kappa_joint=_alone(None if log_fit is None else log_fit.kappa, found),
        kappa_sensitivity=_kappa_sensitivity(group, found, kappa, words),
        E=error,
        errors=errors,
        fast=_fast(found),
        lr_sensitivity=lr_sensitivity(group, words),
        skew=found.skew,
        bands=_bands(found),
    )


def _missing(found: Optima) -> Floats:
    """Give samples of a number that there is none of."""
    return np.full(len(found.x), np.nan)


def _alpha(found: Optima) -> tuple[Floats, Bools]:
    """Give the samples of alpha, and which of them are bounds."""
    if found.loss_law is None:
        return _missing(found), np.zeros(len(found.x), dtype=np.bool_)
    return found.loss_law.exponent, found.loss_law.bound


def _law(
    samples_S: Floats, found: Optima, bound_S: Bools | None = None, bent: str | None = None
) -> Estimate:
    """Report a number of a law with a floor."""
    if found.lacking:
        return Estimate(undetermined=found.lacking)
    return sampled(samples_S, found.no_interval or bent, bound_S)


def _line(samples_S: Floats, found: Optima, words: Words, bent: str | None = None) -> Estimate:
    """Report a number of a straight line: two widths give a value."""
    if len(found.n) < 2:
        reason = found.no_draws or f"one {words.scale}: add a larger one"
        return Estimate(undetermined=reason)
    return sampled(samples_S, found.no_draws or bent)


def _alone(value: float | None, found: Optima) -> Estimate:
    """Report a number without an interval."""
    if value is None or not np.isfinite(value):
        return Estimate(undetermined=found.lacking or ON_BOUND)
    return Estimate(float(value))


def _laws(found: Optima, words: Words) -> Laws:
    """Report the three laws; amplitudes are those at n = 1."""
    nothing = _missing(found)
    rate, curvature, loss = found.rate_law, found.curvature_law, found.loss_law
    alpha_S, bound_S = _alpha(found)
    slope_S = nothing if rate is None else rate.slope
    gamma_S = nothing if curvature is None else curvature.slope
    return Laws(
        loss_inf=_law(nothing if loss is None else loss.floor, found, bound_S),
        amplitude=_law(
            nothing if loss is None else loss.amplitude * loss.center**loss.exponent, found, bound_S
        ),
        alpha=_law(alpha_S, found, bound_S),
        log2_lr=widened(
            _line(nothing if rate is None else rate.log_at(1.0) / LN2, found, words), found.skew
        ),
        beta=_line(-slope_S, found, words),
        curvature=_line(
            nothing if curvature is None else np.exp(curvature.log_at(1.0)),
            found,
            words,
            found.bent,
        ),
        gamma_log=_line(gamma_S, found, words, found.bent),
        gamma=_line(gamma_S - 2 * slope_S, found, words, found.bent),
    )


def _kappa_sensitivity(group: Fitted, found: Optima, kappa: Estimate, words: Words) -> Estimate:
    """Give the range of kappa when one width is left out."""
    if len(found.n) < 5 or kappa.value is None:
        need = f"an optimum at fewer than five values of {words.scale}: add some"
        return Estimate(undetermined=kappa.undetermined if kappa.value is None else need)
    log_h_W = np.log([2 * one.fit.coefficients[2] for one in group.located if one.fit is not None])
    values = []
    for k in range(len(found.n)):
        n_W = np.delete(found.n, k)
        law = floor_law(n_W, np.delete(found.loss[:1], k, axis=1))
        slope = power_law(n_W, np.delete(log_h_W, k)[None]).slope
        values.append(np.nan if law.bound[0] else float(law.exponent[0] + slope[0]))
    if not np.all(np.isfinite(values)):
        return Estimate(kappa.value, undetermined="without one of the widths there is no value")
    return Estimate(kappa.value, min(values), max(values))


def _joint(group: Fitted, found: Optima, *, linear: bool) -> Joint | None:
    """Fit all losses near the optima together."""
    if found.loss_law is None or found.rate_law is None or found.curvature_law is None:
        return None
    points = points_of(group)
    return joint_fit(points, found.loss_law, found.rate_law, found.curvature_law, linear=linear)


def points_of(group: Fitted) -> Points:
    """Gather the mean losses that the optima were fitted to."""
    fitted = [one for one in group.located if one.fit is not None]
    windows = [one.fit.window for one in fitted if one.fit is not None]
    return Points(
        n=np.concatenate(
            [np.full(len(w), one.cells.width) for one, w in zip(fitted, windows, strict=True)]
        ),
        x=np.concatenate([one.cells.x[w] for one, w in zip(fitted, windows, strict=True)]),
        loss=np.concatenate([one.cells.mean[w] for one, w in zip(fitted, windows, strict=True)]),
    )


def _noise(group: Fitted) -> Floats:
    """Give the noise of every draw at these points: the draws minus the curves they came from."""
    parts = []
    for one, drawn in zip(group.located, group.drawn, strict=True):
        if one.fit is not None:
            curve_K = one.fit.loss(one.fit.coefficients, one.cells.x[one.fit.window])
            parts.append(drawn.mean[:, one.fit.window] - curve_K)
    return np.concatenate(parts, axis=1)


def _errors(
    group: Fitted, found: Optima, joint: Joint | None, linear: Joint | None
) -> tuple[Estimate, FitErrors]:
    """Estimate E and its other norms."""
    if joint is None or found.rate_law is None:
        lacking = _alone(None, found)
        return lacking, FitErrors(lacking, lacking, lacking, lacking, lacking, lacking)
    points = points_of(group)
    residual_P = joint.residuals(points)
    squares_S = np.array([float((residual_P**2).mean())])
    floor = Estimate(undetermined=found.no_draws)
    if found.no_draws is None:
        noise_DP = _noise(group)
        left, draws_D = expected_square(residual_P, noise_DP, joint.tangent(points))
        floor, squares_S = Estimate(left), np.concatenate([squares_S, draws_D])
    log_n_W = np.log(found.n)
    line = np.polynomial.Polynomial.fit(log_n_W, found.x[0], 1)
    linear_square = None if linear is None else float((linear.residuals(points) ** 2).mean())
    error = _law(squares_S, found)
    return error, FitErrors(
        noise_floor=floor,
        rmse=_law(np.sqrt(squares_S), found),
        relative=_alone(float((np.abs(residual_P) / np.abs(points.loss)).mean()), found),
        lr=_alone(float(((found.x[0] - line(log_n_W)) ** 2).mean()), found),
        held_out=_held_out(group, found),
        linear=_alone(linear_square, found),
    )


def _held_out(group: Fitted, found: Optima) -> Estimate:
    """Fit without the largest width, and score there."""
    if len(found.n) < 5:
        return Estimate(undetermined="a joint fit without the largest takes five: add one")
    points, largest = points_of(group), found.n[-1]
    fit = joint_fit(
        points.without(largest),
        floor_law(found.n[:-1], found.loss[:1, :-1]),
        power_law(found.n[:-1], found.x[:1, :-1]),
        power_law(found.n[:-1], _log_curvature(group)[None, :-1]),
        linear=False,
    )
    if fit is None:
        return _alone(None, found)
    return _alone(float((fit.residuals(points.at(largest)) ** 2).mean()), found)


def _log_curvature(group: Fitted) -> Floats:
    """Give ln of the data's curvature at every optimum."""
    fits = [one.fit for one in group.located if one.fit is not None]
    return np.log([2 * fit.coefficients[2] for fit in fits])


def _fast(found: Optima) -> FastTransfer:
    """Compare how fast the best rate and the loss converge."""
    if found.lacking or found.loss_law is None or found.rate_law is None:
        lacking = Estimate(undetermined=found.lacking)
        return FastTransfer("undetermined", lacking, lacking)
    drift = sampled(found.rate_law.slope, found.no_interval)
    if drift.low is not None and drift.high is not None and drift.low <= 0 <= drift.high:
        hidden = Estimate(
            undetermined="the best rate moves no more than noise, so its approach to a limit has "
            "no exponent: add seeds, or widths"
        )
        return FastTransfer("undetermined", hidden, hidden)
    law = floor_law(found.n, found.x, falling=False)
    delta = sampled(law.exponent, found.no_interval, law.bound)
    margin_S = law.exponent - found.loss_law.exponent / 2
    margin = sampled(margin_S, found.no_interval, law.bound | found.loss_law.bound)
    # A delta on its lower bound is at most that: enough to say that it is too small.
    decided = sampled(margin_S, found.no_interval, found.loss_law.bound)
    speed: Speed = "undetermined"
    if margin.low is not None and margin.low > 0:
        speed = "fast"
    elif decided.high is not None and decided.high < 0:
        speed = "not fast"
    return FastTransfer(speed, delta, margin)


def _bands(found: Optima) -> tuple[Band, ...]:
    """Evaluate the laws from the smallest to the largest width."""
    if found.rate_law is None:
        return ()
    bands = []
    for n in np.geomspace(found.n[0], found.n[-1], BANDS):
        rate = sampled(found.rate_law.log_at(n) / LN2, found.no_draws)
        loss = Estimate(undetermined=found.lacking)
        if found.loss_law is not None:
            loss = sampled(found.loss_law.at(n), found.no_draws)
        bands.append(Band(float(n), rate, loss))
    return tuple(bands)
