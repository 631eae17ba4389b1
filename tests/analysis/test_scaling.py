"""Planted regret of pairs, R(∞), fast transfer, rate sensitivity, skew and compute."""

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from planted_surfaces import LN2, columns, together
from test_interval_coverage import quadratic

from mutransfer.analysis import Results, analyze
from mutransfer.errors import ResultsError

WIDTHS = tuple(2.0 ** np.arange(7, 12))
HALVES = tuple(np.arange(-10.0, -2.0, 0.5))


def planted(loss, group: str | None = None, seed: int = 0, **more) -> dict[str, list]:
    """Return trials of five widths with half octaves, three seeds and both kinds of noise."""
    settings = {"seeds": 3, "sd_within": 0.003, "sd_seed": 0.005} | more
    rng = np.random.default_rng(seed)
    return columns(loss, WIDTHS, HALVES, rng=rng, group=group, **settings)


def law(floor: float, amplitude: float = 13.0, alpha: float = 0.5, best=lambda n: -6.2):
    def loss(width: float, log2_lr: float) -> float:
        distance = (log2_lr - best(width)) * LN2
        return floor + amplitude * width**-alpha + 0.5 * 0.3 * distance**2

    return loss


def test_every_pair_has_its_regret() -> None:
    """Half the curvature times the squared distance of the optima, pair by pair; no noise."""
    drift = -0.4
    results = Results.from_columns(
        columns(quadratic(drift=drift), WIDTHS, HALVES, seeds=2, sd_within=1e-9, sd_seed=1e-9)
    )
    group = analyze(results)["all"]
    assert len(group.regret_matrix) == 10
    for pair in group.regret_matrix:
        octaves = drift * math.log2(pair.target / pair.proxy)
        assert pair.regret.value == pytest.approx(0.5 * 0.3 * (octaves * LN2) ** 2, abs=2e-3)
        best = next(o for o in group.optimum if o.width == pair.target).loss.value
        assert pair.share.value == pytest.approx(pair.regret.value / best)
    largest = next(p for p in group.regret_matrix if (p.proxy, p.target) == (WIDTHS[0], WIDTHS[-1]))
    assert (largest.regret, largest.share, largest.grid) == (
        group.regret,
        group.regret_share,
        group.grid_regret,
    )


def test_r_inf_is_measured_from_the_lower_envelope_or_from_a_group() -> None:
    """The planted limits are 2.0 and 2.3; the envelope coincides with the lower one."""
    good, poor = planted(law(2.0), "good"), planted(law(2.3), "poor", seed=1)
    report = analyze(together(good, poor))
    assert report.reference == "the lower envelope of 'good', 'poor'"
    gap = report["poor"].R_inf
    assert gap.low < 0.3 < gap.high
    assert abs(report["good"].R_inf.value) < 1e-9
    named = analyze(together(good, poor), reference="poor")
    assert (named["poor"].R_inf.value, named["poor"].R_inf.low) == (0.0, 0.0)
    assert named["good"].R_inf.value == pytest.approx(-gap.value)
    assert named.reference == "poor"


def test_crossing_groups_have_an_envelope_below_both() -> None:
    """One group is better at small widths and the other at large ones."""
    steep = planted(law(2.0, amplitude=40.0, alpha=0.6), "steep")
    flat = planted(law(2.3, amplitude=6.0, alpha=0.5), "flat", seed=1)
    report = analyze(together(steep, flat))
    alone = {name: report[name].laws.loss_inf.value for name in report}
    floor = {name: alone[name] - report[name].R_inf.value for name in report}
    assert floor["steep"] == pytest.approx(floor["flat"])
    assert floor["steep"] not in (pytest.approx(alone["steep"]), pytest.approx(alone["flat"]))


def test_groups_without_a_common_width_have_no_envelope() -> None:
    """Every group has all its optima, so none of them is what is missing."""
    rng = np.random.default_rng(0)
    others = tuple(1.5 * width for width in WIDTHS)
    noise = {"seeds": 3, "sd_within": 0.003, "sd_seed": 0.005}
    apart = columns(law(2.0), others, HALVES, rng=rng, group="apart", **noise)
    report = analyze(together(planted(law(2.0), "common"), apart))
    assert all(o.log2_lr.value is not None for g in report.values() for o in g.optimum)
    for group in report.values():
        assert group.R_inf.undetermined == (
            "the reference needs 4 values of width at which every group has an optimum, and there "
            "are 0: run the same ones in every group"
        )


def test_an_optimum_on_the_edge_calls_for_rates_and_not_for_widths() -> None:
    """Five widths were run, and the best rate of the two largest lies below the grid."""
    falling = columns(law(2.0, best=lambda n: -6.2 - 1.5 * math.log2(n / 128)), WIDTHS, HALVES)
    reason = str(analyze(Results.from_columns(falling))["all"].laws.alpha.undetermined)
    assert reason.startswith("minimum on the edge of the grid at width 1024: add rates below 2^-10")
    assert reason.endswith(
        "; a law needs an optimum at 4 values of width, and 3 of the 5 that were run have one"
    )


def test_r_inf_needs_two_groups_and_a_reference_that_exists() -> None:
    alone = analyze(Results.from_columns(planted(law(2.0))))
    assert alone["all"].R_inf.undetermined == "one group: add another to compare with"
    with pytest.raises(ResultsError, match="the reference 'mpu' is not a group"):
        analyze(Results.from_columns(planted(law(2.0), "mup")), reference="mpu")


# No drift; convergence with an exponent above alpha / 2 = 0.25; a power law without a limit.
SPEEDS = [
    ("undetermined", None, lambda n: -6.2),
    ("fast", 0.7, lambda n: -6.2 + 45.0 * n**-0.7),
    ("fast", 0.4, lambda n: -6.2 + 20.0 * n**-0.4),  # slower than the loss, whose alpha is 0.5
    ("not fast", None, lambda n: -6.2 - 0.4 * math.log2(n / 128)),
]


@pytest.mark.parametrize(("speed", "delta", "best"), SPEEDS)
def test_transfer_is_fast_if_the_rate_converges_faster_than_the_loss(
    speed: str, delta: float | None, best: Callable[[float], float]
) -> None:
    """Transfer is fast if the exponent of the rate exceeds alpha / 2 (arXiv:2512.22768)."""
    quiet = {"sd_within": 2e-4, "sd_seed": 2e-4}
    group = analyze(Results.from_columns(planted(law(2.2, best=best), **quiet)))["all"]
    fast = group.scaling.fast
    assert fast.speed == speed
    if speed == "fast":
        assert fast.delta.low < delta < fast.delta.high
    if speed == "not fast":  # no limit: an exponent on its bound is undetermined
        assert fast.delta.value is None
        assert "bound" in fast.delta.undetermined


def test_rate_sensitivity_is_the_mean_excess_over_the_rates_that_all_widths_tried() -> None:
    """The mean of a parabola over [a, b] has a closed form."""
    results = Results.from_columns(
        columns(law(2.0), WIDTHS[:2], np.arange(-10.2, -2.19, 0.05), seeds=1)
    )
    for sensitivity in analyze(results)["all"].scaling.lr_sensitivity:
        a, b = -4.0 * LN2, 4.0 * LN2
        closed = 0.5 * 0.3 * (b**3 - a**3) / (3 * (b - a))
        assert sensitivity.estimate.value == pytest.approx(closed, rel=1e-3)


def test_rate_sensitivity_ignores_rates_that_only_some_widths_tried() -> None:
    """The wider grid of one width would make it look more sensitive."""
    table = columns(law(2.0), WIDTHS[:1], np.arange(-14.0, 2.0, 0.5))
    other = columns(law(2.0), WIDTHS[1:2], np.arange(-9.0, -3.0, 0.5))
    both = Results.from_columns({name: table[name] + other[name] for name in table})
    small, large = analyze(both)["all"].scaling.lr_sensitivity
    assert small.estimate.value == pytest.approx(large.estimate.value, rel=1e-6)


def test_a_diverged_rate_without_untrained_loss_leaves_the_sensitivity_undetermined() -> None:
    table = planted(law(2.0))
    table["loss"] = [
        math.nan if (n, lr) == (WIDTHS[0], 2.0**-2.5) else loss
        for n, lr, loss in zip(table["width"], table["lr"], table["loss"], strict=True)
    ]
    first, *rest = analyze(Results.from_columns(table))["all"].scaling.lr_sensitivity
    assert first.estimate.value is None
    assert "2^-2.5 diverged at width 128, and the untrained loss" in first.estimate.undetermined
    assert all(other.estimate.value is not None for other in rest)


def skewed(width: float, log2_lr: float) -> float:
    """Return a loss that is steeper towards large rates and has its minimum at 2^-6.2."""
    distance = (log2_lr + 6.2) * LN2
    return 2.2 + 13.0 * width**-0.5 + 0.3 * (math.exp(distance) - 1 - distance)


def test_skew_is_reported_and_widens_the_intervals_of_best_rates() -> None:
    """The vertex of the parabola is biased; its interval with the skew covers the truth."""
    parabolic = analyze(Results.from_columns(planted(law(2.2))))["all"]
    group = analyze(Results.from_columns(planted(skewed)))["all"]
    assert not parabolic.scaling.is_skewed
    assert group.scaling.is_skewed
    assert group.scaling.skew.low < 0.17 < group.scaling.skew.high
    assert all(o.log2_lr.low < -6.2 < o.log2_lr.high for o in group.optimum)
    assert all(o.log2_lr.value < -6.3 for o in group.optimum)
    for estimate in (group.kappa, group.laws.gamma_log, group.optimum[0].curvature):
        assert estimate.value is not None
        assert estimate.low is None
        assert "skewed" in estimate.undetermined
    assert group.drift.low is not None
    assert group.verdict == "transfers"


def test_a_regret_that_only_interpolation_leaves_unbounded_names_the_carried_rate() -> None:
    """A rate between the optima diverged: the parabola spans the gap, interpolation does not."""
    table = planted(skewed)
    points = zip(table["width"], table["lr"], table["seed"], strict=True)
    gap = [(n, round(math.log2(lr), 1), seed) == (WIDTHS[-1], -6.5, 0) for n, lr, seed in points]
    table["loss"] = np.where(gap, math.nan, table["loss"]).tolist()
    group = analyze(Results.from_columns(table))["all"]
    assert group.scaling.is_skewed
    assert group.regret.high is None
    reason = r"the carried rate 2\^-6\.\d+ \(0\.01\d+\) is at or next to 2\^-6\.5 \(0\.01105\)"
    assert re.match(reason, group.regret.undetermined)


def test_skew_needs_five_rates_near_the_best_one() -> None:
    """A window of octave rates holds three; the next on either side make five."""
    rates = tuple(range(-10, -2))
    octaves = columns(law(2.2), WIDTHS, rates, seeds=3, sd_within=0.003)
    skew = analyze(Results.from_columns(octaves))["all"].scaling.skew
    assert skew.low < 0 < skew.high
    four = columns(law(2.2), WIDTHS, (-7.5, -6.5, -5.5, -4.5), seeds=3, sd_within=0.003)
    skew = analyze(Results.from_columns(four))["all"].scaling.skew
    assert skew.value is None
    assert "fewer than 5 rates near every best one" in skew.undetermined


def test_compute_saved_counts_the_sweep_and_one_run_at_the_target() -> None:
    """Two widths, 1 and 16 units a run, 16 rates x 3 seeds: 1 - (48 + 16) / 768."""
    table = columns(law(2.2), (128.0, 512.0), HALVES, seeds=3)
    table["flops"] = [(n / 128.0) ** 2 * 1e15 for n in table["width"]]
    assert analyze(Results.from_columns(table))["all"].saved.value == pytest.approx(1 - 64 / 768)
    table["params"], table["tokens"] = [n**2 for n in table["width"]], [1e6] * len(table["lr"])
    del table["flops"]
    assert analyze(Results.from_columns(table))["all"].saved.value == pytest.approx(1 - 64 / 768)
    del table["tokens"]
    assert "add a column flops" in analyze(Results.from_columns(table))["all"].saved.undetermined


def test_e_is_at_its_noise_floor_if_the_laws_hold_and_above_it_otherwise() -> None:
    """No power law describes best rates that scatter from width to width."""
    jumps = dict(zip(WIDTHS, (0.3, -0.4, 0.5, -0.3, 0.4), strict=True))
    exact = analyze(Results.from_columns(planted(law(2.2))))["all"]
    scattered = analyze(Results.from_columns(planted(law(2.2, best=lambda n: -6.2 + jumps[n]))))[
        "all"
    ]
    assert exact.E.value < 3 * exact.scaling.errors.noise_floor.value
    assert scattered.E.low > 5 * scattered.scaling.errors.noise_floor.value
    assert scattered.scaling.errors.rmse.value == pytest.approx(math.sqrt(scattered.E.value))
    assert scattered.scaling.errors.held_out.value > scattered.E.value


def test_exponents_on_a_bound_are_undetermined_everywhere() -> None:
    """Losses that are linear in ln n put every exponent and every limit on a bound."""

    def linear_in_log_width(width: float, log2_lr: float) -> float:
        return 3.0 - 0.2 * math.log(width / 128) + 0.15 * ((log2_lr + 6.2) * LN2) ** 2

    group = analyze(Results.from_columns(planted(linear_in_log_width)))["all"]
    scaling, laws = group.scaling, group.laws
    both = together(planted(linear_in_log_width, "a"), planted(linear_in_log_width, "b"))
    assert analyze(both)["a"].R_inf.undetermined.startswith(
        "the reference has no law: in every group the fit ends on a bound"
    )
    numbers = (laws.alpha, laws.loss_inf, laws.amplitude, scaling.kappa, scaling.kappa_joint)
    for estimate in numbers:
        assert estimate.value is None
        assert "bound" in estimate.undetermined
    assert scaling.fast.speed == "undetermined"


@pytest.mark.parametrize("seed", range(3))
def test_groups_are_drawn_independently(seed: int) -> None:
    """R(∞) of two groups with the same losses is uncertain: their noise must not cancel."""
    results = together(planted(law(2.2), "a", seed=seed), planted(law(2.2), "b", seed=seed + 9))
    report = analyze(results, reference="a")
    gap, own = report["b"].R_inf, report["b"].laws.loss_inf
    assert gap.high - gap.low > 1.1 * (own.high - own.low)
