"""Averages over laws: closed form, invariances, planted kinds of surfaces, bounds."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from mutransfer.analysis.prediction import laws
from mutransfer.analysis.prediction.laws import (
    DEPARTURES,
    LEVEL_SD,
    SCATTERS,
    SLOPE_SD,
    Bounds,
    ScaleCells,
    average_laws,
    average_laws_each,
)

OCTAVES = np.arange(5.0)
TARGET = np.array([[8.0]])


def cells(value_C: np.ndarray, sd: float = 0.02, log2_s: np.ndarray = OCTAVES) -> ScaleCells:
    return ScaleCells(log2_s.reshape(len(value_C), -1), value_C, np.full(len(value_C), sd**2))


def median(value_C: np.ndarray, target: np.ndarray = TARGET, **options) -> float:
    return average_laws(cells(value_C, **options), target)[0].mixture.quantile(0.5)


def test_targets_that_share_a_fit_have_the_laws_of_each_alone() -> None:
    """Cells on a grid with two bounds, which each target uses in its own order."""
    grid = np.array([(n, d) for n in range(4) for d in range(3)], dtype=float)
    value_C = grid @ [-0.5, 0.2] + np.random.default_rng(0).normal(0, 0.05, len(grid))
    sides = np.array([True, False])
    bounds = Bounds(np.array([[5.0, 0.0], [0.0, 5.0]]), np.array([-2.6, 0.9]), sides)
    data = cells(value_C, 0.05, log2_s=grid).with_bounds(bounds)
    targets = np.array([[6.0, 1.0], [1.0, 7.0], [5.0, 5.0]])
    together = average_laws_each(data, targets)
    for law, target_K in zip(together, targets, strict=True):
        [alone] = average_laws(data, target_K[None])
        ours, theirs = law.mixture.estimate(), alone.mixture.estimate()
        assert [ours.value, ours.low, ours.high] == pytest.approx(
            [theirs.value, theirs.low, theirs.high], abs=1e-9
        )
        assert law.weight("power") == pytest.approx(alone.weight("power"), abs=1e-9)
    without = average_laws(cells(value_C, 0.05, log2_s=grid), targets[:1])[0].mixture.estimate()
    assert abs(without.value - together[0].mixture.estimate().value) > 1e-3  # the bounds count


def test_weights_and_means_are_those_of_the_joint_distribution() -> None:
    """Scipy's density of the values, and the regression of the target on them."""
    value_C, sd = np.array([-6.0, -6.3, -6.9, -7.1, -7.8]), 0.1
    [law] = average_laws(cells(value_C, sd), TARGET)
    octaves = np.append(OCTAVES, 8.0)
    log_weights, means = [], []
    for is_power, prior in ((False, 0.25), (True, 0.5)):
        for departure, length, departure_prior in DEPARTURES:
            for scatter in SCATTERS:
                distance = np.subtract.outer(octaves, octaves)
                covariance = LEVEL_SD**2 + departure**2 * np.exp(-0.5 * (distance / length) ** 2)
                slope = np.outer(octaves - 4.0, octaves - 4.0)
                covariance = covariance + is_power * SLOPE_SD**2 * slope
                own = covariance[:5, :5] + np.eye(5) * (sd**2 + scatter**2)
                rest = value_C - value_C.mean()
                density = stats.multivariate_normal(np.zeros(5), own, allow_singular=False)
                log_weights.append(density.logpdf(rest) + np.log(prior * departure_prior))
                means.append(value_C.mean() + covariance[5, :5] @ np.linalg.inv(own) @ rest)
    is_member = np.array([c.trend in ("constant", "power") for c in law.components])
    expected = np.exp(np.array(log_weights) - np.max(log_weights))
    weight_H = law.mixture.weight[is_member]
    assert weight_H / weight_H.sum() == pytest.approx(expected / expected.sum(), abs=1e-9)
    assert law.mixture.mean[is_member] == pytest.approx(np.array(means), abs=1e-6)


def test_units_do_not_matter() -> None:
    """Rates in other units shift the prediction; sizes in other units change nothing."""
    value_C = np.array([-6.0, -6.3, -6.9, -7.1, -7.8])
    expected = median(value_C)
    assert median(value_C + 3.7) == pytest.approx(expected + 3.7, abs=1e-9)
    assert median(value_C, TARGET + 20.0, log2_s=OCTAVES + 20.0) == pytest.approx(expected)
    order = [3, 0, 4, 2, 1]
    assert median(value_C[order], log2_s=OCTAVES[order]) == pytest.approx(expected, abs=1e-9)


KINDS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "no drift": lambda y: 0.0 * y,
    "a power": lambda y: -0.5 * y,
    "settles": lambda y: 2.0 * 2.0 ** (-0.5 * y),
    "settles fast": lambda y: 2.0 * 2.0**-y,
    "a ripple": lambda y: 0.1 * np.sin(2 * np.pi * y / 3),
    "a power with a ripple": lambda y: -0.4 * y + 0.1 * np.sin(2 * np.pi * y / 3),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_cells", [3, 5])
def test_nominal_intervals_hold_the_truth(kind: str, num_cells: int) -> None:
    """On 60 ladders, 85 % at least; a ripple is neither a trend nor scatter."""
    rng, num_held = np.random.default_rng(0), 0
    for _ in range(60):
        octaves, phase = OCTAVES[:num_cells], rng.uniform(0, 3) * kind.endswith("ripple")
        truth = KINDS[kind](np.append(octaves, octaves[-1] + 3) + phase)
        value_C = truth[:-1] + 0.05 * rng.standard_normal(num_cells)
        [law] = average_laws(cells(value_C, 0.05, octaves), np.array([[octaves[-1] + 3]]))
        held = law.mixture.estimate()
        num_held += held.low <= truth[-1] <= held.high
    assert num_held >= 0.85 * 60


def test_a_plane_over_two_scales_is_extrapolated() -> None:
    grid = np.array([(a, b) for a in range(4) for b in range(3)], dtype=float)
    value_C = -6 - 0.7 * grid[:, 0] + 0.3 * grid[:, 1]
    [law] = average_laws(cells(value_C, log2_s=grid), np.array([[6.0, 4.0]]))
    assert law.mixture.quantile(0.5) == pytest.approx(-6 - 0.7 * 6 + 0.3 * 4, abs=0.1)
    assert law.weight("power") > 0.9


def test_an_edge_of_the_grid_counts_as_a_bound() -> None:
    """Two optima at the same rate; a third whose rate lies two octaves below speaks for drift."""
    two = cells(np.array([-6.0, -6.0]), 0.2, np.array([0.0, 1.0]))
    edge = Bounds(np.array([[2.0]]), np.array([-8.0]), np.array([True]))
    other = Bounds(np.array([[2.0]]), np.array([-8.0]), np.array([False]))
    alone, below, above = (
        average_laws(data, np.array([[4.0]]))[0]
        for data in (two, two.with_bounds(edge), two.with_bounds(other))
    )
    assert below.weight("constant") < 0.5 * alone.weight("constant")
    assert below.mixture.quantile(0.5) < alone.mixture.quantile(0.5) - 0.3
    assert above.weight("constant") == pytest.approx(alone.weight("constant"), rel=0.2)


def test_what_parabolas_leave_may_be_their_shape() -> None:
    """Optima on a line, with a noise that one seed overestimates: the data show less scatter."""
    value_C = -6 - 0.5 * OCTAVES
    measured = cells(value_C, 0.4)
    one_seed = ScaleCells(measured.log2_s, value_C, measured.variance, (0.0, 0.25, 1.0))
    long, short = (
        average_laws(data, TARGET)[0].mixture.estimate() for data in (measured, one_seed)
    )
    assert short.high - short.low < 0.8 * (long.high - long.low)


def test_many_cells_are_thinned_far_from_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    log2_s = rng.uniform(0, 6, (300, 2))
    value_C = -6 - 0.5 * log2_s[:, 0] + 0.1 * rng.standard_normal(300)
    target = np.array([[8.0, 6.0]])
    thinned = average_laws(cells(value_C, 0.1, log2_s), target)[0].mixture.estimate()
    assert thinned.value == pytest.approx(-10.0, abs=0.3)
    monkeypatch.setattr(laws, "MAX_CELLS", 300)
    monkeypatch.setattr(laws, "SCATTERS", SCATTERS[::3])
    full = average_laws(cells(value_C, 0.1, log2_s), target)[0].mixture.estimate()
    assert thinned.value == pytest.approx(full.value, abs=0.15)
    assert thinned.high - thinned.low < 2 * (full.high - full.low)
