"""Predictability of the loss: E, the mean squared residual of one joint fit of all widths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.curves.group import FittedGroup
from mutransfer.analysis.laws.joint import CurvePoints, JointFit, fit_joint, mean_square_draws
from mutransfer.analysis.laws.power_law import fit_floor_law, fit_power_law
from mutransfer.analysis.transfer.optima import Optima
from mutransfer.analysis.types.estimates import Estimate, Floats
from mutransfer.analysis.types.scaling import FitErrors

# Shape legend: W widths with an optimum, S samples (the data first, then D draws), P points.

NO_NOISE_FLOOR = "one seed: noise cannot be distinguished from a misfit of the laws: add seeds"


@dataclass(frozen=True, slots=True)
class MeanSquares:
    """E of the data and of every draw, and the part of it that noise alone causes.

    Args:
        squares: E of the data, then of the draws.
        noise: One mean square per draw; None where the noise could not be estimated.
    """

    squares: Floats
    noise: Floats | None


def joint_fit(group: FittedGroup, optima: Optima, *, is_linear: bool = False) -> JointFit | None:
    """Fit one surface to all losses near the optima; None without the laws to start from."""
    if optima.loss_law is None or optima.rate_law is None or optima.curvature_law is None:
        return None
    laws = (optima.loss_law, optima.rate_law, optima.curvature_law)
    return fit_joint(points_in_windows(group), *laws, is_linear=is_linear)


def points_in_windows(group: FittedGroup) -> CurvePoints:
    """Collect the mean losses that the optima were fitted to."""
    fits = [(c.grid.width, c.quadratic) for c in group.curves if c.quadratic is not None]
    return CurvePoints(
        n=np.concatenate([np.full(len(quadratic.x), width) for width, quadratic in fits]),
        x=np.concatenate([quadratic.x for _, quadratic in fits]),
        loss=np.concatenate([quadratic.mean for _, quadratic in fits]),
    )


def loss_errors(
    group: FittedGroup, optima: Optima, joint: JointFit | None
) -> tuple[Estimate, FitErrors]:
    """Estimate E, and how well the laws describe the losses in other norms."""
    if joint is None or optima.rate_law is None:
        missing = optima.point_estimate(None)
        return missing, FitErrors(missing, missing, missing, missing, missing, missing)
    points, errors = points_in_windows(group), mean_squares(group, optima, joint)
    residual_P, squares_S = joint.residuals(points), errors.squares
    noise_floor = Estimate(undetermined=optima.no_draws or NO_NOISE_FLOOR)
    # The shift of a single seed is estimated from deviations from the law, and explains them all.
    if errors.noise is not None and not group.is_of_one_seed:
        noise_floor = Estimate(float(errors.noise.mean()))
    log_n_W = np.log(optima.n)
    line = np.polynomial.Polynomial.fit(log_n_W, optima.x[0], 1)
    linear = joint_fit(group, optima, is_linear=True)
    linear_square = None if linear is None else float((linear.residuals(points) ** 2).mean())
    relative = float((np.abs(residual_P) / np.abs(points.loss)).mean())
    return optima.law_estimate(squares_S), FitErrors(
        noise_floor=noise_floor,
        rmse=optima.law_estimate(np.sqrt(squares_S)),
        relative=optima.point_estimate(relative),
        lr=optima.point_estimate(float(((optima.x[0] - line(log_n_W)) ** 2).mean())),
        held_out=_held_out_error(group, optima, points),
        linear=optima.point_estimate(linear_square),
    )


def mean_squares(group: FittedGroup, optima: Optima, joint: JointFit) -> MeanSquares:
    """Return E, the mean squared residual of a joint fit, of the data and of every draw."""
    points = points_in_windows(group)
    residual_P = joint.residuals(points)
    square_1 = np.array([float((residual_P**2).mean())])
    if optima.no_draws is not None:
        return MeanSquares(square_1, None)
    tangent_PF = joint.tangent_basis(points)
    noise_D, squares_D = mean_square_draws(residual_P, _noise_draws(group), tangent_PF)
    return MeanSquares(np.concatenate([square_1, squares_D]), noise_D)


def _noise_draws(group: FittedGroup) -> Floats:
    """Return the noise of every draw at these points: the draws minus the fitted curves."""
    parts = [
        draws.mean[:, curve.quadratic.window] - curve.quadratic.fitted
        for curve, draws in zip(group.curves, group.draws, strict=True)
        if curve.quadratic is not None
    ]
    return np.concatenate(parts, axis=1)


def _held_out_error(group: FittedGroup, optima: Optima, points: CurvePoints) -> Estimate:
    """Fit without the largest width and return the mean squared residual there."""
    if len(optima.n) < 5:
        text = f"a fit without the largest needs 5 of them with an optimum, not {len(optima.n)}"
        return Estimate(undetermined=text)
    curvatures = [c.quadratic.curvature for c in group.curves if c.quadratic is not None]
    n_W, largest = optima.n[:-1], optima.n[-1]
    fit = fit_joint(
        points.select(points.n != largest),
        fit_floor_law(n_W, optima.loss[:1, :-1]),
        fit_power_law(n_W, optima.x[:1, :-1]),
        fit_power_law(n_W, np.log(curvatures)[None, :-1]),
        is_linear=False,
    )
    if fit is None:
        return optima.point_estimate(None)
    residual_P = fit.residuals(points.select(points.n == largest))
    return optima.point_estimate(float((residual_P**2).mean()))
