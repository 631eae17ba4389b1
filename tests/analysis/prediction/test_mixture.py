"""Mixtures of normal distributions, against scipy."""

import numpy as np
import pytest
from scipy import optimize, stats

from mutransfer.analysis.laws.mixture import Mixture

MIXTURE = Mixture(
    np.array([-3.0, 0.0, 2.0]), np.array([0.2, 1.0, 0.5]), np.log([0.2, 0.5, 0.3]) + 7
)


@pytest.mark.parametrize("share", [0.001, 0.05, 0.5, 0.95])
def test_quantiles_are_the_roots_of_scipys_distribution(share: float) -> None:
    def excess(x: float) -> float:
        return float(MIXTURE.weight @ stats.norm.cdf(x, MIXTURE.mean, MIXTURE.sd)) - share

    assert MIXTURE.quantile(share) == pytest.approx(optimize.brentq(excess, -10, 10), abs=1e-9)


def test_draws_have_the_quantiles() -> None:
    draws = MIXTURE.draw(np.random.default_rng(0), 200_000)
    for share in (0.1, 0.5, 0.9):
        assert np.mean(draws < MIXTURE.quantile(share)) == pytest.approx(share, abs=0.005)


def test_a_part_has_the_weights_of_its_components() -> None:
    assert MIXTURE.weight == pytest.approx([0.2, 0.5, 0.3])
    assert MIXTURE.part(np.array([True, False, True])).weight == pytest.approx([0.4, 0.6])
    refuted = Mixture(MIXTURE.mean, MIXTURE.sd, np.array([-2000.0, 0.0, -2000.0 + np.log(3)]))
    assert refuted.weight == pytest.approx([0.0, 1.0, 0.0])
    assert refuted.part(np.array([True, False, True])).weight == pytest.approx([0.25, 0.75])
