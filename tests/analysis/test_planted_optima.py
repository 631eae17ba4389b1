"""Planted optima, drifts and regrets are recovered exactly where there is no noise."""

import math
from dataclasses import replace

import numpy as np
import pytest
from planted_surfaces import LN2, WIDTHS, best_loss, columns, quadratic, surface, together
from scipy.interpolate import PchipInterpolator

from mutransfer.analysis import Results, analyze
from mutransfer.analysis.curves.interpolation import monotone_cubic


@pytest.mark.parametrize("drift", [0.0, -0.5, 0.3])
@pytest.mark.parametrize("step", [1.0, 0.5])
def test_a_planted_parabola_is_recovered_exactly(drift: float, step: float) -> None:
    """Optimum, loss, curvature and drift of a parabola are those of the parabola."""
    rates = np.arange(-12.0, -1.0, step)
    group = analyze(surface(quadratic(drift=drift), log2_lr=rates))["all"]
    for k, (optimum, curve) in enumerate(zip(group.optimum, group.curves, strict=True)):
        assert optimum.log2_lr.value == pytest.approx(-6.2 + drift * k, abs=1e-9)
        assert optimum.loss.value == pytest.approx(best_loss(optimum.width), abs=1e-12)
        assert curve.fit is not None
        assert curve.fit.curvature == pytest.approx(0.3, abs=1e-9)
    assert group.drift.value == pytest.approx(drift, abs=1e-9)
    assert group.sensitivity.low == pytest.approx(drift, abs=1e-9)
    assert group.sensitivity.high == pytest.approx(drift, abs=1e-9)


def test_regret_inside_the_window_is_the_parabolas() -> None:
    """The optimum drifts by 0.25 octaves at each of three doublings: ½·h·(0.75 ln 2)²."""
    group = analyze(surface(quadratic(drift=-0.25)))["all"]
    closed_form = 0.5 * 0.3 * (0.75 * LN2) ** 2
    assert group.regret.value == pytest.approx(closed_form, abs=1e-9)
    assert group.regret_share.value == pytest.approx(closed_form / best_loss(512.0), abs=1e-9)


def test_regret_outside_the_window_is_that_of_the_shape_preserving_cubic() -> None:
    """The other implementation is scipy's interpolant through the grid."""
    loss, rates = quadratic(drift=-1.0), np.arange(-12.0, -1.0)
    group = analyze(surface(loss, log2_lr=rates))["all"]
    carried_loss = PchipInterpolator(rates, [loss(512.0, k) for k in rates])(-6.2)
    assert group.regret.value == pytest.approx(float(carried_loss) - best_loss(512.0), abs=1e-9)
    assert group.regret.value == pytest.approx(0.5 * 0.3 * (3 * LN2) ** 2, rel=0.01)


def test_every_draw_is_interpolated_at_its_own_rate() -> None:
    """The batched interpolation equals that of scipy, which takes one curve at a time."""
    rng = np.random.default_rng(0)
    x_F, mean_DF, x_D = (
        np.sort(rng.normal(size=7)),
        rng.normal(size=(50, 7)),
        rng.uniform(-1, 1, 50),
    )
    one_by_one = [float(PchipInterpolator(x_F, y)(x)) for y, x in zip(mean_DF, x_D, strict=True)]
    assert monotone_cubic(x_F, mean_DF, x_D) == pytest.approx(one_by_one, abs=1e-12)


def test_the_upper_bound_covers_every_convex_curve_between_two_rates() -> None:
    """With hardly any noise, the bound is the straight line between the two rates."""
    loss, rates = quadratic(drift=-1.0), np.arange(-12.0, -1.0)
    noise = {"seeds": 2, "sd_within": 1e-6, "rng": np.random.default_rng(0)}
    group = analyze(surface(loss, log2_lr=rates, **noise))["all"]
    line = np.interp(-6.2, rates, [loss(512.0, k) for k in rates])
    assert group.regret.high == pytest.approx(line - best_loss(512.0), abs=1e-4)
    assert group.regret.high > 0.5 * 0.3 * (3 * LN2) ** 2


def test_grid_optima_and_grid_regret_are_those_of_the_tried_rates() -> None:
    """Grid argmins -6, -7, -7, -8; regret between grid points from the same parabola."""
    loss = quadratic(drift=-0.5)
    group = analyze(surface(loss))["all"]
    assert [optimum.grid_log2_lr for optimum in group.optimum] == [-6, -7, -7, -8]
    assert group.grid_regret.value == pytest.approx(loss(512.0, -6) - loss(512.0, -8), abs=1e-12)
    assert group.paper_criterion is False


def test_an_exact_tie_goes_to_the_larger_rate() -> None:
    """This is the convention of the published code."""
    tied = surface(quadratic(log2_best=-5.5))
    group = analyze(tied)["all"]
    assert [optimum.grid_log2_lr for optimum in group.optimum] == [-5, -5, -5, -5]
    assert group.paper_criterion is True


def noisy(drift: float, stretch: float = 0.0, factor: float = 1.0) -> Results:
    """Return a noisy surface whose rates are multiplied by factor * (width/64)**stretch."""
    table = columns(
        quadratic(drift=drift),
        seeds=3,
        sd_within=0.01,
        sd_seed=0.03,
        rng=np.random.default_rng(4),
    )
    points = zip(table["lr"], table["width"], strict=True)
    table["lr"] = [lr * factor * (width / 64.0) ** stretch for lr, width in points]
    return Results.from_columns(table)


def test_a_constant_factor_on_all_rates_changes_only_the_rates() -> None:
    """The unit of the rate is a convention."""
    original, scaled = analyze(noisy(-0.3))["all"], analyze(noisy(-0.3, factor=8.0))["all"]
    assert scaled.regret.value == pytest.approx(original.regret.value, rel=1e-9)
    assert scaled.regret.high == pytest.approx(original.regret.high, rel=1e-9)
    assert scaled.drift.low == pytest.approx(original.drift.low, rel=1e-9)
    assert scaled.verdict == original.verdict
    for a, b in zip(original.optimum, scaled.optimum, strict=True):
        assert a.log2_lr.value is not None
        assert b.log2_lr.value == pytest.approx(a.log2_lr.value + 3.0, abs=1e-9)


def test_a_gauge_shifts_drift_and_optimum_by_its_exponent_and_keeps_the_losses() -> None:
    """η → η·n^s is another rule for the same runs: its drift, and so its regret, differ."""
    original, shifted = analyze(noisy(0.0))["all"], analyze(noisy(0.0, stretch=1.0))["all"]
    assert original.drift.value is not None
    assert shifted.drift.value == pytest.approx(original.drift.value + 1.0, abs=1e-9)
    assert shifted.drift.high == pytest.approx(original.drift.high + 1.0, abs=1e-9)
    for a, b in zip(original.optimum, shifted.optimum, strict=True):
        assert b.loss.value == pytest.approx(a.loss.value, rel=1e-12)
        assert b.loss.low == pytest.approx(a.loss.low, rel=1e-12)
    assert (original.verdict, shifted.verdict) == ("transfers", "does not transfer")


def test_groups_at_their_own_optimum_are_compared_exactly() -> None:
    """Without noise the difference at the largest common width is the planted offset."""
    table = columns(quadratic(drift=-1.0), group="sp")
    table["loss"] = [loss + 0.07 for loss in table["loss"]]
    wide = columns(quadratic(), widths=(*WIDTHS, 1024.0), group="mup")
    (comparison,) = analyze(together(wide, table)).comparisons
    assert (comparison.group, comparison.reference, comparison.width) == ("sp", "mup", 512.0)
    assert comparison.difference.value == pytest.approx(0.07, abs=1e-9)
    assert comparison.difference.undetermined.startswith("one seed: how much it shifts a whole")


def test_shared_seed_effects_cancel_in_a_comparison() -> None:
    """Pairing narrows the interval; groups with different seeds cannot be paired."""
    rng = np.random.default_rng(0)
    shift = {(w, s): rng.normal(0.0, 0.1) for w in WIDTHS for s in range(3)}

    def group(name: str, first_seed: int) -> dict[str, list]:
        table = columns(quadratic(), seeds=3, sd_within=0.005, rng=rng, group=name)
        points = list(zip(table["width"], table["seed"], strict=True))
        table["loss"] = [x + shift[p] for x, p in zip(table["loss"], points, strict=True)]
        table["seed"] = [seed + first_seed for seed in table["seed"]]
        return table

    def width(first_seed: int) -> float:
        (comparison,) = analyze(together(group("a", 0), group("b", first_seed))).comparisons
        assert comparison.paired is (first_seed == 0)
        assert comparison.difference.high is not None
        assert comparison.difference.low is not None
        return comparison.difference.high - comparison.difference.low

    assert width(0) < width(3) / 5


def test_groups_with_the_same_trials_differ_by_exactly_zero() -> None:
    """Two parametrizations share their trials at the base width."""
    rng = np.random.default_rng(0)
    sp = columns(quadratic(), seeds=2, sd_within=0.01, rng=rng, group="sp")
    mup = {**sp, "parametrization": ["mup"] * len(sp["loss"])}
    (comparison,) = analyze(together(sp, mup)).comparisons
    assert (comparison.difference.value, comparison.difference.low, comparison.difference.high) == (
        0,
        0,
        0,
    )


def test_draws_are_reproducible_and_do_not_depend_on_the_other_groups() -> None:
    """A group has the same intervals alone and with another group."""
    rng = np.random.default_rng(0)
    mup = columns(quadratic(), seeds=2, sd_within=0.01, rng=rng, group="mup")
    sp = columns(quadratic(drift=-1.0), seeds=2, sd_within=0.01, rng=rng, group="sp")
    single, both = Results.from_columns(mup), together(sp, mup)
    alone, with_sp = analyze(single)["mup"], analyze(both)["mup"]
    assert alone.R_inf.value is None  # the only number that needs another group
    assert replace(alone, R_inf=with_sp.R_inf) == with_sp
    assert analyze(single, seed=1)["mup"].drift != alone.drift


def test_the_report_converts_to_json() -> None:
    """The data are plain, and NaN is null."""
    results = surface(quadratic(), seeds=2, sd_within=0.01)
    results.diverged[-1] = True
    results.loss[-1] = math.nan
    data = analyze(results).to_json()
    assert data["schema"] == 1
    assert data["threshold"] == 0.01
    assert data["groups"]["all"]["verdict"] == "transfers"
    assert data["groups"]["all"]["curves"][-1]["loss"][-1] is None
    assert data["groups"]["all"]["curves"][-1]["num_diverged"][-1] == 1
