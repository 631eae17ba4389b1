"""Minima of polynomials in a box agree with scipy's, one at a time."""

import numpy as np
import pytest
from scipy.optimize import minimize

from mutransfer.analysis.tuning.polynomial import Polynomials, Terms


def random_polynomials(rng: np.random.Generator, count: int, *, cubes: bool) -> Polynomials:
    """Return convex polynomials whose minima lie inside and outside the box."""
    roots = rng.normal(size=(200, count, count))
    hessian = roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(count)
    cube = 0.02 * rng.normal(size=(200, count)) * cubes
    return Polynomials(rng.normal(size=200), rng.normal(size=(200, count)), hessian, cube)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("cubes", [False, True])
def test_the_minimum_in_a_box_is_that_of_scipy(count: int, cubes: bool) -> None:
    """The other implementation takes one polynomial at a time, from several starts."""
    rng = np.random.default_rng(count)
    polynomials = random_polynomials(rng, count, cubes=cubes)
    low, high = -np.ones(count), np.full(count, 0.8)
    z = polynomials.minimum(low, high, np.zeros(count))
    assert (z >= low).all()
    assert (z <= high).all()
    minima = polynomials(z)
    for k in range(0, 200, 10):
        one = polynomials.select(np.array([k]))
        starts = rng.uniform(low, high, (4, count))
        lowest = min(
            minimize(lambda x, f=one: float(f(x[None])[0]), start, bounds=list(zip(low, high))).fun  # noqa: B905
            for start in starts
        )
        assert minima[k] == pytest.approx(lowest, abs=1e-5)
    on_edge = (np.abs(z - low) < 1e-9).any(axis=1) | (np.abs(z - high) < 1e-9).any(axis=1)
    assert 10 < on_edge.sum() < 190  # both cases were tried


def test_a_saddle_is_lowest_on_the_edge_of_the_box() -> None:
    """z₁² − z₂² has no minimum; within the box it is lowest where |z₂| is largest."""
    saddle = Polynomials(
        np.zeros(1), np.array([[0.0, 0.1]]), np.diag([2.0, -2.0])[None], np.zeros((1, 2))
    )
    z = saddle.minimum(-np.ones(2), np.ones(2), np.zeros(2))
    assert z[0] == pytest.approx([0.0, -1.0], abs=1e-9)


def test_coefficients_are_arranged_as_the_terms_are() -> None:
    """A polynomial evaluated through its terms equals the one through its parts."""
    rng = np.random.default_rng(0)
    for products in (False, True):
        for cubes in (False, True):
            terms = Terms(3, products, cubes)
            coefficients, z = rng.normal(size=(4, terms.count)), rng.normal(size=(7, 3))
            expected = coefficients @ terms.at(z).T
            assert terms.polynomials(coefficients).at_points(z) == pytest.approx(expected)
