"""Joint fit of all losses near the optima, and E, its mean squared residual."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.laws.power_law import MAX_EXPONENT, MIN_EXPONENT, FloorLaw, PowerLaw
from mutransfer.analysis.types.estimates import Bools, Floats

# Shape legend: P points, D draws, F free parameters, 7 parameters.

FLOOR, AMPLITUDE, ALPHA, CURVATURE, GAMMA, RATE, BETA = range(7)
# Bounds in this order. Those of all but FLOOR and ALPHA only keep `exp` in range. [assumed]
LOW = np.array([0.0, -60.0, MIN_EXPONENT, -80.0, -12.0, -60.0, -8.0])
HIGH = np.array([np.inf, 60.0, MAX_EXPONENT, 80.0, 12.0, 60.0, 8.0])
# The fit ends when steps are at rounding error, or when no damping lowers the residual.
MAX_STEPS, TOLERANCE, MAX_DAMPING = 300, 1e-13, 1e12


@dataclass(frozen=True, slots=True)
class CurvePoints:
    """Mean losses in the windows of several widths: width, ln(rate) and loss of each point."""

    n: Floats
    x: Floats
    loss: Floats

    def select(self, chosen_P: Bools) -> CurvePoints:
        """Return the chosen points."""
        return CurvePoints(self.n[chosen_P], self.x[chosen_P], self.loss[chosen_P])


@dataclass(frozen=True, slots=True)
class JointFit:
    """L(n, η) = floor + amplitude·n^-alpha + curvature/2 · n^gamma · (ln η - ln B + beta·ln n)².

    With `is_linear` the parabola is in η instead of ln η. n is divided by e^center, η by e^origin.

    Args:
        parameters: floor, ln amplitude, alpha, ln curvature, gamma, ln B, beta.
        center: ln of the unit of widths.
        origin: ln of the unit of rates.
        is_linear: Whether the parabola is in the rate itself instead of its logarithm.
    """

    parameters: Floats
    center: float
    origin: float
    is_linear: bool

    @property
    def kappa(self) -> float | None:
        """The transfer robustness exponent, alpha + gamma in ln(rate); None on a bound."""
        if self._is_on_bound(FLOOR) or self._is_on_bound(ALPHA):
            return None
        return float(self.parameters[ALPHA] + self.parameters[GAMMA])

    def residuals(self, points: CurvePoints) -> Floats:
        """Return the losses minus the fit."""
        value_P, _ = self._surface(self.parameters, points)
        return points.loss - value_P

    def tangent_basis(self, points: CurvePoints) -> Floats:
        """Return an orthonormal basis of the derivatives with respect to the free parameters."""
        _, slopes_P7 = self._surface(self.parameters, points)
        free = [k for k in range(7) if not self._is_on_bound(k)]
        basis_PF: Floats = np.linalg.qr(slopes_P7[:, free])[0]
        return basis_PF

    def optimize(self, points: CurvePoints) -> JointFit | None:
        """Fit by the Levenberg-Marquardt method from these parameters; None if it diverges."""
        best = np.clip(self.parameters, LOW, HIGH)
        value_P, slopes_P7 = self._surface(best, points)
        rest_P, damping = points.loss - value_P, 1e-3
        for _ in range(MAX_STEPS):
            # A parameter on a bound that is pushed beyond it stays there.
            push_7 = slopes_P7.T @ rest_P
            is_free = ~(((best <= LOW) & (push_7 < 0)) | ((best >= HIGH) & (push_7 > 0)))
            new = np.clip(best + _damped_step(slopes_P7 * is_free, rest_P, damping), LOW, HIGH)
            value_P, new_slopes_P7 = self._surface(new, points)
            new_rest_P = points.loss - value_P
            gain = rest_P @ rest_P - new_rest_P @ new_rest_P
            if gain > 0:  # false if it is NaN
                has_converged = np.all(np.abs(new - best) <= TOLERANCE * (np.abs(best) + TOLERANCE))
                best, rest_P, slopes_P7 = new, new_rest_P, new_slopes_P7
                damping = max(damping / 10, 1e-12)
                if has_converged:
                    break
            elif damping > MAX_DAMPING:
                break
            else:
                damping *= 10
        if not (np.all(np.isfinite(best)) and np.all(np.isfinite(rest_P))):
            return None
        return JointFit(best, self.center, self.origin, self.is_linear)

    def _is_on_bound(self, parameter: int) -> bool:
        """Whether a parameter is the floor or alpha, and lies on its bound."""
        value = self.parameters[parameter]
        if parameter == FLOOR:
            return bool(value < 1e-9)
        return parameter == ALPHA and not MIN_EXPONENT * 1.001 < value < MAX_EXPONENT * 0.999

    def _surface(self, p: Floats, points: CurvePoints) -> tuple[Floats, Floats]:
        """Return the losses, and their derivatives with respect to the parameters."""
        t_P, x_P = np.log(points.n) - self.center, points.x - self.origin
        reducible_P = np.exp(p[AMPLITUDE] - p[ALPHA] * t_P)
        stiffness_P = np.exp(p[CURVATURE] + p[GAMMA] * t_P)
        best_P = p[RATE] - p[BETA] * t_P
        if self.is_linear:
            distance_P, derivative_P = np.exp(x_P) - np.exp(best_P), np.exp(best_P)
        else:
            distance_P, derivative_P = x_P - best_P, np.ones_like(x_P)
        excess_P = 0.5 * stiffness_P * distance_P**2
        pull_P = -stiffness_P * distance_P * derivative_P
        columns = [np.ones_like(t_P), reducible_P, -t_P * reducible_P, excess_P, t_P * excess_P]
        slopes_P7 = np.stack([*columns, pull_P, -t_P * pull_P], axis=1)
        return p[FLOOR] + reducible_P + excess_P, slopes_P7


def _damped_step(slopes_P7: Floats, rest_P: Floats, damping: float) -> Floats:
    """Solve the damped linear problem; each parameter is damped in its own unit."""
    scale_7 = np.sqrt(damping * (slopes_P7**2).sum(axis=0))
    system = np.concatenate([slopes_P7, np.diag(scale_7)])
    step_7: Floats = np.linalg.lstsq(system, np.concatenate([rest_P, np.zeros(7)]), rcond=None)[0]
    return step_7


def fit_joint(
    points: CurvePoints, loss: FloorLaw, rate: PowerLaw, curvature: PowerLaw, *, is_linear: bool
) -> JointFit | None:
    """Fit the surface, starting from the laws of the optima (their first draw)."""
    gamma = float(curvature.slope[0])
    if is_linear:  # curvature in η is curvature in ln η over η²; rates are divided by e^origin
        gamma -= 2 * float(rate.slope[0])
    start = np.array(
        [
            max(float(loss.floor[0]), 1e-6),
            np.log(max(float(loss.amplitude[0]), 1e-6)),
            float(loss.exponent[0]),
            float(curvature.level[0]),
            gamma,
            0.0,
            -float(rate.slope[0]),
        ]
    )
    center, origin = float(np.log(loss.center)), float(rate.level[0])
    return JointFit(start, center, origin, is_linear).optimize(points)


def mean_square_draws(
    residual_P: Floats, noise_DP: Floats, tangent_PF: Floats
) -> tuple[Floats, Floats]:
    """Return draws of the mean squared residual that noise alone causes, and of the whole one.

    The fit absorbs the noise along its tangent. What noise does not explain of the residual is the
    error of the laws themselves, which is the same in every draw.
    """
    rest_DP = noise_DP - (noise_DP @ tangent_PF) @ tangent_PF.T
    noise_D: Floats = (rest_DP**2).mean(axis=1)
    square = float((residual_P**2).mean())
    misfit_share = np.sqrt(max(0.0, 1.0 - noise_D.mean() / square)) if square > 0 else 0.0
    draws_D: Floats = ((misfit_share * residual_P + rest_DP) ** 2).mean(axis=1)
    return noise_D, draws_D
