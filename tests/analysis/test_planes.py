"""Laws over several scales against least squares and maximum likelihood of scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import curve_fit, minimize
from scipy.stats import norm

from mutransfer.analysis.laws.additive import fit_additive_law
from mutransfer.analysis.laws.plane import Bounds, fit_plane, scatter_variance

RNG = np.random.default_rng(3)
SIZES_CK = np.array([(n, d) for n in (1.0, 2.0, 4.0, 8.0) for d in (1.0, 2.0, 4.0, 8.0)])
LOG2_CK = np.log2(SIZES_CK)


def values(scatter: float = 0.2) -> np.ndarray:
    return -7 + LOG2_CK @ [-0.5, 0.25] + scatter * np.random.default_rng(1).normal(size=16)


def test_a_plane_without_draws_is_that_of_least_squares() -> None:
    y_C = values()
    plane = fit_plane(LOG2_CK, y_C[None], np.random.default_rng(0))
    design = np.column_stack([np.ones(16), LOG2_CK])
    expected = np.linalg.lstsq(design, y_C, rcond=None)[0]
    assert plane.slope[0] == pytest.approx(expected[1:], abs=1e-12)
    assert plane.at(np.zeros((1, 2)))[0, 0] == pytest.approx(expected[0], abs=1e-12)
    rest_C = y_C - design @ expected
    assert plane.scatter == pytest.approx(np.sqrt(rest_C @ rest_C / 13), rel=1e-9)


def test_noisy_cells_count_less_as_in_weighted_least_squares() -> None:
    """The oracle minimizes the weighted sum of squares numerically."""
    noise_C = np.linspace(0.05, 0.6, 16)
    y_SC = np.concatenate([values()[None], values() + noise_C * RNG.normal(size=(4000, 16))])
    plane = fit_plane(LOG2_CK, y_SC, np.random.default_rng(0))
    weight_C = 1 / (noise_C**2 + plane.scatter**2)

    def squares(p: np.ndarray) -> float:
        return float(weight_C @ (y_SC[0] - p[0] - LOG2_CK @ p[1:]) ** 2)

    expected = minimize(squares, np.zeros(3), method="BFGS", tol=1e-12).x[1:]
    assert plane.slope[0] == pytest.approx(expected, abs=2e-3)  # noise is known to 2 %
    unweighted = np.linalg.lstsq(np.column_stack([np.ones(16), LOG2_CK]), y_SC[0], rcond=None)[0]
    assert np.abs(unweighted[1:] - expected).max() > 0.01


def test_the_scatter_makes_weighted_residuals_as_large_as_expected() -> None:
    """Paule and Mandel's condition: Σ r²/(noise + scatter) equals the degrees of freedom."""
    noise_C, design = np.linspace(0.001, 0.02, 16), np.column_stack([np.ones(16), LOG2_CK])
    scatter = scatter_variance(design, values(), noise_C)
    root_C = 1 / np.sqrt(noise_C + scatter)
    rest_C = root_C * values()
    basis = np.linalg.qr(design * root_C[:, None])[0]
    rest_C -= basis @ (basis.T @ rest_C)
    assert rest_C @ rest_C == pytest.approx(13.0, rel=1e-6)


def test_cells_with_a_bound_enter_as_in_the_tobit_model() -> None:
    """The oracle maximizes the likelihood of values and bounds."""
    y_C, log2_BK = values(), np.array([[4.0, 0.0], [0.0, 4.0]])
    bounds = Bounds(log2_BK, np.array([-9.6, -5.9]), np.array([True, False]))
    plane = fit_plane(LOG2_CK, y_C[None], np.random.default_rng(0), bounds)
    spread = plane.scatter

    def surprise(p: np.ndarray) -> float:
        below, above = p[0] + log2_BK @ p[1:]
        at_bounds = norm.logcdf((-9.6 - below) / spread) + norm.logcdf((above + 5.9) / spread)
        return float(-norm.logpdf(y_C, p[0] + LOG2_CK @ p[1:], spread).sum() - at_bounds)

    expected = minimize(surprise, [-7, 0, 0], method="BFGS", tol=1e-10).x
    assert plane.slope[0] == pytest.approx(expected[1:], abs=1e-4)
    free = fit_plane(LOG2_CK, y_C[None], np.random.default_rng(0))
    assert abs(free.slope[0, 0] - expected[1]) > 0.01  # the bounds say something


def test_a_bound_that_agrees_with_the_plane_by_far_changes_nothing() -> None:
    bounds = Bounds(np.array([[4.0, 0.0]]), np.array([5.0]), np.array([True]))
    fits = [fit_plane(LOG2_CK, values()[None], RNG, given).slope for given in (None, bounds)]
    assert fits[0] == pytest.approx(fits[1], abs=1e-6)


def test_an_additive_law_is_that_of_scipy() -> None:
    def law(sizes, floor, a, b, alpha, beta):
        return floor + a * sizes[0] ** -alpha + b * sizes[1] ** -beta

    y_C = law(SIZES_CK.T, 2.0, 0.5, 0.8, 0.6, 0.4) + 0.003 * RNG.normal(size=16)
    expected = curve_fit(law, SIZES_CK.T, y_C, p0=[1.5, 0.5, 0.5, 0.5, 0.5], ftol=1e-14)[0]
    fitted = fit_additive_law(SIZES_CK, np.stack([y_C, y_C]), np.ones(16))
    for sample in (0, 1):  # the data, from many starts, and a draw, from the fit of the data
        assert fitted.floor[sample] == pytest.approx(expected[0], abs=1e-4)
        assert fitted.unit_amplitude[sample] == pytest.approx(expected[1:3], abs=1e-4)
        assert fitted.exponent[sample] == pytest.approx(expected[3:], abs=1e-4)
    assert not fitted.is_bound.any()


def test_a_loss_that_does_not_fall_lies_on_a_bound() -> None:
    y_C = 2 + 0.5 * SIZES_CK[:, 0] ** -0.5
    assert fit_additive_law(SIZES_CK, y_C[None], np.ones(16)).is_bound.tolist() == [[False, True]]
