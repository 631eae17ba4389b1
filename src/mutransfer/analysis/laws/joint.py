"""This file is the joint fit of every loss near an optimum, and E, what it leaves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.laws.power_law import HIGHEST, LOWEST, FloorLaw, PowerLaw
from mutransfer.analysis.types.estimates import Floats

# Shape legend: P points, D draws, 7 parameters.

FLOOR, AMPLITUDE, ALPHA, CURVATURE, GAMMA, RATE, BETA = range(7)
LOW = np.array([0.0, -60.0, LOWEST, -80.0, -12.0, -60.0, -8.0])
HIGH = np.array([np.inf, 60.0, HIGHEST, 80.0, 12.0, 60.0, 8.0])
STEPS, TOLERANCE, MOST_DAMPING = 300, 1e-13, 1e12


@dataclass(frozen=True, slots=True)
class Points:
    """Mean losses in the windows of several widths.

    Args:
        n: Width of each point.
        x: ln(rate).
        loss: Mean loss.
    """

    n: Floats
    x: Floats
    loss: Floats

    def at(self, width: float) -> Points:
        """Keep one width."""
        return self._chosen(self.n == width)

    def without(self, width: float) -> Points:
        """Leave one width out."""
        return self._chosen(self.n != width)

    def _chosen(self, keep_P: np.ndarray) -> Points:
        """Keep some points."""
        return Points(self.n[keep_P], self.x[keep_P], self.loss[keep_P])


@dataclass(frozen=True, slots=True)
class Joint:
    """L(n, η) = floor + amplitude·n^-alpha + curvature/2 · n^gamma · (ln η - ln B + beta·ln n)².

    With `linear` the parabola is one in η. Widths are measured from `center`, rates from
    `origin`.

    Args:
        parameters: floor, ln amplitude, alpha, ln curvature, gamma, ln B, beta.
        center: ln of the width that widths are measured from.
        origin: ln of the rate that rates are measured from.
        linear: Whether the parabola is one in the rate itself.
    """

    parameters: Floats
    center: float
    origin: float
    linear: bool

    @property
    def kappa(self) -> float | None:
        """The transfer robustness exponent, alpha + gamma in ln(rate); None on a bound."""
        if self._bound(FLOOR) or self._bound(ALPHA):
            return None
        return float(self.parameters[ALPHA] + self.parameters[GAMMA])

    def residuals(self, points: Points) -> Floats:
        """Give losses minus the fit."""
        value_P, _ = self._surface(self.parameters, points)
        return points.loss - value_P

    def tangent(self, points: Points) -> Floats:
        """Give an orthonormal basis of what small changes of the free parameters do."""
        _, slopes_P7 = self._surface(self.parameters, points)
        free = [k for k in range(7) if not self._bound(k)]
        basis_PF: Floats = np.linalg.qr(slopes_P7[:, free])[0]
        return basis_PF

    def fitted(self, points: Points) -> Joint | None:
        """Fit by Levenberg's and Marquardt's method, from here on; None where that ends nowhere."""
        best = np.clip(self.parameters, LOW, HIGH)
        value_P, slopes_P7 = self._surface(best, points)
        rest_P, damping = points.loss - value_P, 1e-3
        for _ in range(STEPS):
            # What sits on a bound and is pushed beyond it stays there.
            push_7 = slopes_P7.T @ rest_P
            free = ~(((best <= LOW) & (push_7 < 0)) | ((best >= HIGH) & (push_7 > 0)))
            tried = np.clip(best + _step(slopes_P7 * free, rest_P, damping), LOW, HIGH)
            value_P, new_slopes_P7 = self._surface(tried, points)
            new_rest_P = points.loss - value_P
            gain = rest_P @ rest_P - new_rest_P @ new_rest_P
            if gain > 0:  # not so where it is not a number
                done = np.all(np.abs(tried - best) <= TOLERANCE * (np.abs(best) + TOLERANCE))
                best, rest_P, slopes_P7 = tried, new_rest_P, new_slopes_P7
                damping = max(damping / 10, 1e-12)
                if done:
                    break
            elif damping > MOST_DAMPING:
                break
            else:
                damping *= 10
        if not (np.all(np.isfinite(best)) and np.all(np.isfinite(rest_P))):
            return None
        return Joint(best, self.center, self.origin, self.linear)

    def _bound(self, parameter: int) -> bool:
        """Say whether a parameter lies on its bound."""
        value = self.parameters[parameter]
        if parameter == FLOOR:
            return bool(value < 1e-9)
        return parameter == ALPHA and not LOWEST * 1.001 < value < HIGHEST * 0.999

    def _surface(self, p: Floats, points: Points) -> tuple[Floats, Floats]:
        """Give the losses, and their derivatives by the parameters."""
        t_P, x_P = np.log(points.n) - self.center, points.x - self.origin
        reducible_P = np.exp(p[AMPLITUDE] - p[ALPHA] * t_P)
        stiffness_P = np.exp(p[CURVATURE] + p[GAMMA] * t_P)
        best_P = p[RATE] - p[BETA] * t_P
        if self.linear:
            off_P, moved_P = np.exp(x_P) - np.exp(best_P), np.exp(best_P)
        else:
            off_P, moved_P = x_P - best_P, np.ones_like(x_P)
        cost_P, pull_P = 0.5 * stiffness_P * off_P**2, -stiffness_P * off_P * moved_P
        columns = [
            np.ones_like(t_P),
            reducible_P,
            -t_P * reducible_P,
            cost_P,
            t_P * cost_P,
            pull_P,
            -t_P * pull_P,
        ]
        return p[FLOOR] + reducible_P + cost_P, np.stack(columns, axis=1)


def _step(slopes_P7: Floats, rest_P: Floats, damping: float) -> Floats:
    """Solve the damped linear problem; each parameter is damped in its own unit."""
    scale_7 = np.sqrt(damping * (slopes_P7**2).sum(axis=0))
    system = np.concatenate([slopes_P7, np.diag(scale_7)])
    step_7: Floats = np.linalg.lstsq(system, np.concatenate([rest_P, np.zeros(7)]), rcond=None)[0]
    return step_7


def joint_fit(
    points: Points, loss: FloorLaw, rate: PowerLaw, curvature: PowerLaw, *, linear: bool
) -> Joint | None:
    """Fit the surface, starting from the laws of the optima (their first draw)."""
    origin = float(rate.level[0])
    stiffness, gamma = float(curvature.level[0]), float(curvature.slope[0])
    if linear:  # the curvature in the rate, from that in its logarithm; rates are in e^origin
        gamma -= 2 * float(rate.slope[0])
    start = np.array(
        [
            max(float(loss.floor[0]), 1e-6),
            np.log(max(float(loss.amplitude[0]), 1e-6)),
            float(loss.exponent[0]),
            stiffness,
            gamma,
            0.0,
            -float(rate.slope[0]),
        ]
    )
    return Joint(start, float(np.log(loss.center)), origin, linear).fitted(points)


def expected_square(
    residual_P: Floats, noise_DP: Floats, tangent_PF: Floats
) -> tuple[float, Floats]:
    """Draw the mean squared residual of repeated experiments.

    What the fit takes up of the noise is projected out. What the residuals hold beyond noise is
    taken as the laws' own error, the same in every draw.

    Returns:
        The mean square that noise alone leaves, and the draws.
    """
    left_DP = noise_DP - (noise_DP @ tangent_PF) @ tangent_PF.T
    floor = float((left_DP**2).mean())
    square = float((residual_P**2).mean())
    own = np.sqrt(max(0.0, 1.0 - floor / square)) if square > 0 else 0.0
    draws_D: Floats = ((own * residual_P + left_DP) ** 2).mean(axis=1)
    return floor, draws_D
