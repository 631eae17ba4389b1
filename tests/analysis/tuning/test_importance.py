"""Importances are shares of the variance of the loss over the range tried."""

import numpy as np
import pytest
from planted_points import NAMES, grid_points, planted, random_points, tuned

HALF = 4.0  # of the range, in octaves


def closed_form(hessian: np.ndarray, center: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the variances of a quadratic over the box: of each coordinate, and of the pair.

    With x uniform in [-h, h], ½a(x − c)² has the variance ¼a²(4h⁴/45 + 4c²h²/3), and b·x·y that of
    x²·y², h⁴/9; a product with a shifted center adds linear terms to both.
    """
    own = []
    for k in range(2):
        a, other = hessian[k, k], 1 - k
        linear = -a * center[k] - hessian[0, 1] * center[other]
        own.append(linear**2 * HALF**2 / 3 + (a / 2) ** 2 * 4 * HALF**4 / 45)
    return np.array(own), float(hessian[0, 1] ** 2 * HALF**4 / 9)


@pytest.mark.parametrize("product", [0.0, 0.05])
def test_importances_are_those_of_the_closed_form(product: float) -> None:
    """A grid reaches the ends of the range exactly, so that there is nothing to estimate."""
    hessian, center = np.array([[0.1, product], [product, 0.04]]), np.array([0.5, -1.0])
    table = planted([grid_points(7, 2, HALF)], [center], hessian, widths=[64.0])
    width = tuned(table, NAMES[:2])["all"].widths[0]
    own, pair = closed_form(hessian, center)
    total = own.sum() + pair
    assert [value.importance.value for value in width.values] == pytest.approx(own / total)
    assert width.interactions[0].importance.value == pytest.approx(pair / total, abs=1e-12)
    assert width.explained == pytest.approx(1.0)


def test_an_integral_over_many_points_agrees_with_the_closed_form() -> None:
    """The closed form of this test is itself right."""
    rng = np.random.default_rng(0)
    hessian, center = np.array([[0.1, 0.05], [0.05, 0.04]]), np.array([0.5, -1.0])
    points = rng.uniform(-HALF, HALF, (400_000, 2)) - center
    loss = 0.5 * np.einsum("ni,ij,nj->n", points, hessian, points)
    own, pair = closed_form(hessian, center)
    assert loss.var() == pytest.approx(own.sum() + pair, rel=0.01)


def test_noise_adds_no_importance_and_intervals_cover() -> None:
    """The third hyperparameter has no effect; squares of noise would give it one."""
    hessian, center = np.diag([0.1, 0.04, 0.0]), np.array([0.5, -1.0, 0.0])
    own, _ = closed_form(np.diag([0.1, 0.04]), center[:2])
    truth = np.append(own / own.sum(), 0.0)
    covered, null = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        points = random_points(rng, 40, 3, HALF)
        points[:6] = np.repeat([[-HALF] * 3, [HALF] * 3], 3, axis=0)  # the range is that of truth
        points[:6] += rng.uniform(-1e-3, 1e-3, (6, 3))
        table = planted([points], [center], hessian, noise=0.15, rng=rng, widths=[64.0])
        shares = [v.importance for v in tuned(table, NAMES)["all"].widths[0].values]
        null.append(shares[2].value or 0.0)
        covered += [
            share.low - 1e-3 <= true <= share.high + 1e-3
            for share, true in zip(shares, truth, strict=True)
            if share.low is not None and share.high is not None
        ]
    assert np.mean(covered) > 0.85
    assert np.mean(null) < 0.06
