"""Without noise planted optima, drifts and regrets are recovered exactly, in closed form."""

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
    """Three widths apart, 0.25 octaves each: ½·h·(0.75 ln 2)²."""
    group = analyze(surface(quadratic(drift=-0.25)))["all"]
    closed_form = 0.5 * 0.3 * (0.75 * LN2) ** 2
    assert group.regret.value == pytest.approx(closed_form, abs=1e-9)
    assert group.regret_share.value == pytest.approx(closed_form / best_loss(512.0), abs=1e-9)


def test_regret_outside_the_window_is_that_of_the_shape_preserving_cubic() -> None:
    """Scipy's own interpolant through the grid is the other implementation."""
    loss, rates = quadratic(drift=-1.0), np.arange(-12.0, -1.0)
    group = analyze(surface(loss, log2_lr=rates))["all"]
    there = PchipInterpolator(rates, [loss(512.0, k) for k in rates])(-6.2)
    assert group.regret.value == pytest.approx(float(there) - best_loss(512.0), abs=1e-9)
    assert group.regret.value == pytest.approx(0.5 * 0.3 * (3 * LN2) ** 2, rel=0.01)


def test_every_draw_is_interpolated_at_its_own_rate() -> None:
    """The batched interpolation equals scipy's, one curve at a time."""
    rng = np.random.default_rng(0)
    x_F, mean_DF, x_D = (
        np.sort(rng.normal(size=7)),
        rng.normal(size=(50, 7)),
        rng.uniform(-1, 1, 50),
    )
    alone = [float(PchipInterpolator(x_F, y)(x)) for y, x in zip(mean_DF, x_D, strict=True)]
    assert monotone_cubic(x_F, mean_DF, x_D) == pytest.approx(alone, abs=1e-12)


def test_the_upper_bound_covers_every_convex_curve_between_two_rates() -> None:
    """Almost without noise it is the straight line between them, which no such curve exceeds."""
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
    """The published code's convention."""
    tied = surface(quadratic(log2_best=-5.5))
    group = analyze(tied)["all"]
    assert [optimum.grid_log2_lr for optimum in group.optimum] == [-5, -5, -5, -5]
    assert group.paper_criterion is True


def noisy(drift: float, stretch: float = 0.0, factor: float = 1.0) -> Results:
    """A noisy surface whose rates are multiplied by factor * (width/64)**stretch."""
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
    """Units of the rate are a convention."""
    one, other = analyze(noisy(-0.3))["all"], analyze(noisy(-0.3, factor=8.0))["all"]
    assert other.regret.value == pytest.approx(one.regret.value, rel=1e-9)
    assert other.regret.high == pytest.approx(one.regret.high, rel=1e-9)
    assert other.drift.low == pytest.approx(one.drift.low, rel=1e-9)
    assert other.verdict == one.verdict
    for a, b in zip(one.optimum, other.optimum, strict=True):
        assert a.log2_lr.value is not None
        assert b.log2_lr.value == pytest.approx(a.log2_lr.value + 3.0, abs=1e-9)


def test_a_gauge_shifts_drift_and_optimum_by_its_exponent_and_keeps_the_losses() -> None:
    """η → η·n^s is another rule for the same runs: its drift, and so its regret, differ."""
    one, other = analyze(noisy(0.0))["all"], analyze(noisy(0.0, stretch=1.0))["all"]
    assert one.drift.value is not None
    assert other.drift.value == pytest.approx(one.drift.value + 1.0, abs=1e-9)
    assert other.drift.high == pytest.approx(one.drift.high + 1.0, abs=1e-9)
    for a, b in zip(one.optimum, other.optimum, strict=True):
        assert b.loss.value == pytest.approx(a.loss.value, rel=1e-12)
        assert b.loss.low == pytest.approx(a.loss.low, rel=1e-12)
    assert (one.verdict, other.verdict) == ("transfers", "does not transfer")


def test_groups_at_their_own_optimum_are_compared_exactly() -> None:
    """Without noise the difference at the largest common width is the planted offset."""
    table = columns(quadratic(drift=-1.0), group="sp")
    table["loss"] = [loss + 0.07 for loss in table["loss"]]
    wide = columns(quadratic(), widths=(*WIDTHS, 1024.0), group="mup")
    (only,) = analyze(together(wide, table)).comparisons
    assert (only.group, only.reference, only.width) == ("sp", "mup", 512.0)
    assert only.difference.value == pytest.approx(0.07, abs=1e-9)
    assert only.difference.undetermined == "one seed: add seeds to get an interval"


def test_shared_seed_effects_cancel_in_a_comparison() -> None:
    """Pairing narrows the interval; with other seeds' names it cannot."""
    rng = np.random.default_rng(0)
    shift = {(w, s): rng.normal(0.0, 0.1) for w in WIDTHS for s in range(3)}

    def group(name: str, first_seed: int) -> dict[str, list]:
        table = columns(quadratic(), seeds=3, sd_within=0.005, rng=rng, group=name)
        points = list(zip(table["width"], table["seed"], strict=True))
        table["loss"] = [x + shift[p] for x, p in zip(table["loss"], points, strict=True)]
        table["seed"] = [seed + first_seed for seed in table["seed"]]
        return table

    def width(first_seed: int) -> float:
        (only,) = analyze(together(group("a", 0), group("b", first_seed))).comparisons
        assert only.paired is (first_seed == 0)
        assert only.difference.high is not None
        assert only.difference.low is not None
        return only.difference.high - only.difference.low

    assert width(0) < width(3) / 5


def test_groups_with_the_same_trials_differ_by_exactly_zero() -> None:
    """At its base width a parametrization may copy another's trials."""
    rng = np.random.default_rng(0)
    one = columns(quadratic(), seeds=2, sd_within=0.01, rng=rng, group="sp")
    other = {**one, "parametrization": ["mup"] * len(one["loss"])}
    (only,) = analyze(together(one, other)).comparisons
    assert (only.difference.value, only.difference.low, only.difference.high) == (0, 0, 0)


def test_draws_are_reproducible_and_do_not_depend_on_the_other_groups() -> None:
    """The same group gives the same interval alone, in company, and again."""
    rng = np.random.default_rng(0)
    one = columns(quadratic(), seeds=2, sd_within=0.01, rng=rng, group="mup")
    other = columns(quadratic(drift=-1.0), seeds=2, sd_within=0.01, rng=rng, group="sp")
    alone, company = Results.from_columns(one), together(other, one)
    mine, theirs = analyze(alone)["mup"], analyze(company)["mup"]
    assert mine.R_inf.value is None  # the only number that needs another group
    assert replace(mine, R_inf=theirs.R_inf) == theirs
    assert analyze(alone, seed=1)["mup"].drift != analyze(alone)["mup"].drift


def test_the_report_converts_to_json() -> None:
    """Plain data, NaN is null."""
    results = surface(quadratic(), seeds=2, sd_within=0.01)
    results.diverged[-1] = True
    results.loss[-1] = math.nan
    data = analyze(results).to_json()
    assert data["schema"] == 1
    assert data["threshold"] == 0.01
    assert data["groups"]["all"]["verdict"] == "transfers"
    assert data["groups"]["all"]["curves"][-1]["loss"][-1] is None
    assert data["groups"]["all"]["curves"][-1]["num_diverged"][-1] == 1
