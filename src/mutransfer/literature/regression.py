"""Linear regression whose errors contain the error of each number and the scatter between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mutransfer.analysis import Estimate
from mutransfer.analysis.intervals import t_quantile

Floats = NDArray[np.float64]

# Shape legend: N numbers, K coefficients.

NO_SCATTER = "as many effects as numbers, so that nothing shows the scatter between them"


@dataclass(frozen=True, slots=True)
class Regression:
    """Coefficients of a regression, with their standard errors.

    Args:
        values: The coefficients.
        errors: Their standard errors; None with as many coefficients as numbers.
        degrees: Degrees of freedom of the scatter.
    """

    values: Floats
    errors: Floats | None
    degrees: int

    def estimate(self, index: int) -> Estimate:
        """Return a coefficient with its 90 % interval, from Student's t."""
        value = float(self.values[index])
        if self.errors is None:
            return Estimate(value, undetermined=NO_SCATTER)
        half_width = t_quantile(self.degrees) * float(self.errors[index])
        return Estimate(value, value - half_width, value + half_width)


def regress(design_NK: Floats, number_N: Floats, variance_N: Floats) -> Regression:
    """Fit a linear model by ordinary least squares.

    The residuals scatter by the error of each number, whose variance is given, and by what the
    model does not describe. The variance of the latter is what the mean square of the residuals
    has beyond the former, if anything. With variances of zero these are the standard errors of
    ordinary least squares.

    Args:
        design_NK: One row per number, one column per coefficient, of full rank.
        number_N: The numbers.
        variance_N: The variance of each number's own error; zero where it is unknown, so that the
            scatter contains it.

    Source:
        The moment estimator of random-effects meta-regression: DerSimonian and Laird, 1986.

    Example:
        >>> fit = regress(np.array([[1.0, 0], [1, 0], [1, 1], [1, 1]]), np.array([0, 2, 3, 5.0]),
        ...     np.zeros(4))
        >>> fit.values.round(6).tolist(), fit.errors.round(6).tolist()
        ([1.0, 3.0], [1.0, 1.414214])
    """
    inverse_KK = np.linalg.inv(design_NK.T @ design_NK)
    solve_KN = inverse_KK @ design_NK.T
    value_K = solve_KN @ number_N
    degrees = len(number_N) - len(value_K)
    if degrees < 1:
        return Regression(value_K, None, 0)
    square = float(((number_N - design_NK @ value_K) ** 2).sum())
    leverage_N = (design_NK * solve_KN.T).sum(axis=1)
    scatter = max(0.0, (square - float((variance_N * (1 - leverage_N)).sum())) / degrees)
    error_K = np.sqrt((solve_KN**2) @ variance_N + scatter * np.diag(inverse_KK))
    return Regression(value_K, error_K, degrees)
