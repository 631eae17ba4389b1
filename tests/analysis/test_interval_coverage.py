"""Intervals cover what they promise; a plain bootstrap over two or three seeds does not."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from planted_surfaces import LN2, WIDTHS, best_loss, quadratic, surface

from mutransfer.analysis import Estimate, Results, analyze
from mutransfer.analysis.curves.fit import fit_curve
from mutransfer.analysis.curves.grid import loss_grids
from mutransfer.analysis.curves.noise import estimate_noise
from mutransfer.analysis.format import AxisNames

RATES = {1.0: np.arange(-10.0, -2.0), 0.5: np.arange(-10.0, -2.0, 0.5)}


@dataclass
class Tally:
    """Count of the intervals that cover the truth."""

    covered: list[bool] = field(default_factory=list)
    missing: int = 0

    def add(self, estimate: Estimate, truth: float) -> None:
        if estimate.low is None or estimate.high is None:
            self.missing += 1
        else:
            self.covered.append(estimate.low - 1e-12 <= truth <= estimate.high + 1e-12)

    @property
    def share(self) -> float:
        return float(np.mean(self.covered))


def planted(index: int, seeds: int, step: float, drift: float, sd: float) -> tuple[Results, float]:
    """Return a noisy surface, and its optimum at random between two rates of the grid."""
    rng = np.random.default_rng([index, seeds, int(1 / step)])
    best = -6.0 + rng.uniform(-0.5, 0.5)
    results = surface(
        quadratic(log2_best=best, drift=drift),
        log2_lr=RATES[step],
        seeds=seeds,
        sd_within=sd,
        sd_seed=0.03,
        rng=rng,
    )
    return results, best


def tallies(num: int, seeds: int, step: float, drift: float, sd: float = 0.01) -> dict[str, Tally]:
    """Analyze many surfaces and count the intervals that cover the truth."""
    tally = {name: Tally() for name in ("rate", "loss", "drift", "regret")}
    steps = np.log2(WIDTHS[-1] / WIDTHS[0])
    regret = 0.5 * 0.3 * (drift * steps * LN2) ** 2
    for index in range(num):
        results, best = planted(index, seeds, step, drift, sd)
        group = analyze(results, draws=1000, seed=index)["all"]
        for k, optimum in enumerate(group.optimum):
            tally["rate"].add(optimum.log2_lr, best + drift * k)
            tally["loss"].add(optimum.loss, best_loss(optimum.width))
        tally["drift"].add(group.drift, drift)
        upper = None if group.regret.high is None else 0.0
        tally["regret"].add(Estimate(None, upper, group.regret.high), regret)
    return tally


CASES = [(2, 1.0, 0.0), (3, 1.0, -0.4), (2, 0.5, -0.4), (3, 0.5, 0.0)]


@pytest.mark.parametrize(("seeds", "step", "drift"), CASES)
def test_ninety_percent_intervals_cover(seeds: int, step: float, drift: float) -> None:
    """Two variance components are planted; 85 % leaves room for 100 surfaces."""
    tally = tallies(100, seeds, step, drift)
    assert {name: t.share for name, t in tally.items() if t.share < 0.85} == {}
    assert tally["rate"].share < 0.96  # nor are they needlessly wide
    assert all(t.missing == 0 for t in tally.values())


def test_two_seeds_at_one_width_still_cover() -> None:
    """With two degrees of freedom, only three in four would cover without the chi² scaling."""
    tally = Tally()
    for index in range(300):
        rng = np.random.default_rng(index)
        best = -6.0 + rng.uniform(-0.5, 0.5)
        results = surface(
            quadratic(log2_best=best),
            widths=WIDTHS[:1],
            seeds=2,
            sd_within=0.002,
            sd_seed=0.01,
            rng=rng,
        )
        (optimum,) = analyze(results, draws=1000)["all"].optimum
        tally.add(optimum.log2_lr, best)
        tally.add(optimum.loss, best_loss(optimum.width))
    assert tally.missing < 10
    assert tally.share > 0.85


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "step", "drift"), CASES)
@pytest.mark.parametrize("sd", [0.003, 0.01, 0.02])
def test_ninety_percent_intervals_cover_closely(
    seeds: int, step: float, drift: float, sd: float
) -> None:
    """500 surfaces of four widths determine a coverage to about one percent."""
    tally = tallies(500, seeds, step, drift, sd)
    assert {n: t.share for n, t in tally.items() if t.share < 0.87} == {}
    assert 0.87 < tally["rate"].share < 0.95
    assert 0.87 < tally["loss"].share < 0.95


def seed_bootstrap(results: Results, seeds: int) -> list[tuple[float, float]]:
    """Return percentile intervals, one per width, from resampling whole seeds: the control."""
    (grids,) = loss_grids(results, AxisNames("width", "lr"), ()).values()
    rng, intervals = np.random.default_rng(0), []
    for grid in grids:
        quadratic = fit_curve(grid, AxisNames("width", "lr")).quadratic
        assert quadratic is not None
        chosen_DS = rng.integers(0, seeds, (1000, seeds))
        mean_DR = grid.losses[:, chosen_DS].mean(axis=2).T
        x_D = quadratic.vertex(mean_DR[:, quadratic.window] @ quadratic.solve.T) / LN2
        intervals.append((float(np.quantile(x_D, 0.05)), float(np.quantile(x_D, 0.95))))
    return intervals


@pytest.mark.parametrize(("seeds", "most"), [(2, 0.65), (3, 0.75)])
def test_a_percentile_bootstrap_over_seeds_does_not_cover(seeds: int, most: float) -> None:
    """Negative control: the usual bootstrap on the same surfaces covers too seldom."""
    covered = []
    for index in range(200):
        results, best = planted(index, seeds, 1.0, 0.0, 0.01)
        covered += [low <= best <= high for low, high in seed_bootstrap(results, seeds)]
    assert np.mean(covered) < most


def false_positive_rate(num: int, seeds: int, step: float) -> float:
    """Return how often the analysis reports a regret above zero without any drift."""
    positives = 0
    for index in range(num):
        results, _ = planted(index, seeds, step, drift=0.0, sd=0.02)
        group = analyze(results, draws=1000, threshold=1e-9, seed=index)["all"]
        positives += group.verdict == "does not transfer"
    return positives / num


def test_without_drift_a_positive_lower_bound_is_rare() -> None:
    """At a threshold near zero, the hardest, the rate is the 5 % of the bound, plus sampling."""
    assert false_positive_rate(120, 2, 1.0) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "step"), [(2, 1.0), (3, 1.0), (3, 0.5)])
def test_without_drift_the_false_positive_rate_is_five_percent(seeds: int, step: float) -> None:
    """7 % leaves room for three standard errors of 1,000 surfaces."""
    assert false_positive_rate(1000, seeds, step) < 0.07


def test_at_the_default_threshold_both_verdicts_are_right() -> None:
    """Without drift the rate transfers; with half an octave per doubling it never does."""
    verdicts = {0.0: set(), -0.5: set()}
    for drift, distinct in verdicts.items():
        for index in range(25):
            results, _ = planted(index, 2, 1.0, drift, 0.01)
            distinct.add(analyze(results, draws=1000)["all"].verdict)
    assert verdicts == {0.0: {"transfers"}, -0.5: {"does not transfer"}}


def test_too_much_noise_is_undetermined_and_says_what_to_add() -> None:
    """Noise as large as the curve allows both verdicts."""
    results, _ = planted(0, 2, 1.0, drift=0.0, sd=0.2)
    group = analyze(results)["all"]
    assert group.verdict == "undetermined"
    assert "add seeds" in group.reason


def test_planted_variances_are_estimated_without_bias() -> None:
    """Means of 300 estimates against the planted 0.01² and 0.03² + 0.01²/3."""
    within, between = [], []
    for index in range(300):
        results, _ = planted(index, 3, 1.0, 0.0, 0.01)
        axes = AxisNames("width", "lr")
        (grids,) = loss_grids(results, axes, ()).values()
        noise = estimate_noise([fit_curve(grid, axes) for grid in grids])
        assert noise is not None
        assert (noise.df_within, noise.df_between) == (16, 8)
        within.append(noise.within)
        between.append(noise.between)
    assert np.mean(within) == pytest.approx(0.01**2, rel=0.1)
    assert np.mean(between) == pytest.approx(0.03**2 + 0.01**2 / 3, rel=0.1)


def test_seeds_that_ran_only_the_rates_near_the_optimum_are_used() -> None:
    """A refined sweep has more seeds at some rates than at others; its intervals cover too."""
    tally = Tally()
    for index in range(50):
        results, best = planted(index, 3, 0.5, drift=0.0, sd=0.01)
        axes = results.axes
        rows = [
            row
            for row, (lr, seed) in enumerate(zip(axes["lr"], axes["seed"], strict=True))
            if seed == 0 or abs(np.log2(lr) + 6.0) <= 1.0
        ]
        columns = {**axes, "loss": results.loss.tolist()}
        part = Results.from_columns({n: [v[k] for k in rows] for n, v in columns.items()})
        for optimum in analyze(part, draws=1000)["all"].optimum:
            tally.add(optimum.log2_lr, best)
    assert tally.missing == 0
    assert tally.share > 0.85
