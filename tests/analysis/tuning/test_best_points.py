"""Best points of planted surfaces: exact without noise, honest where they are undetermined."""

import math

import numpy as np
import pytest
from planted_points import NAMES, grid_points, planted, random_hessian, random_points, tuned
from planted_surfaces import quadratic, surface

from mutransfer.analysis import Results, analyze

BEST = np.array([0.5, -0.8])
VALLEY = np.array([[0.1, 0.06], [0.06, 0.08]])


def exact(count: int = 2, num: int = 30, seed: int = 0) -> tuple[dict, np.ndarray, np.ndarray]:
    """Return columns without noise at two widths, with their best points."""
    rng = np.random.default_rng(seed)
    points = [random_points(rng, num, count) for _ in range(2)]
    best = rng.uniform(-1.5, 1.5, (2, count))
    return planted(points, best, random_hessian(rng, count)), best, points[0]


@pytest.mark.parametrize("count", [2, 3])
def test_a_planted_point_is_recovered_exactly(count: int) -> None:
    """Without noise the optimum, its loss and the regret are those of the quadratic."""
    rng = np.random.default_rng(count)
    points = [random_points(rng, 40, count) for _ in range(2)]
    best, hessian = rng.uniform(-1, 1, (2, count)), random_hessian(rng, count)
    group = tuned(planted(points, best, hessian), NAMES[:count])["all"]
    for width, center in zip(group.widths, best, strict=True):
        values = [math.log2(value.best.value or 0) for value in width.values]
        assert values == pytest.approx(center, abs=1e-5)
        assert width.loss.value == pytest.approx(2.5, abs=1e-9)
    step = best[0] - best[1]
    assert group.regret.value == pytest.approx(0.5 * step @ hessian @ step, rel=1e-4)
    drifts = [drift.value for drift in group.drift.values()]
    assert drifts == pytest.approx((best[1] - best[0]) / 2, abs=1e-5)  # two octaves of width


def test_names_order_and_units_do_not_matter() -> None:
    """Renamed, reordered and rescaled columns have the same best point, renamed and rescaled."""
    table, _, _ = exact()
    own = tuned(table, ["lr", "init_std"])["all"].widths[0]
    other = {
        "width": table["width"],
        "loss": table["loss"],
        "b": table["lr"],
        "a": [1024.0 * value for value in table["init_std"]],
    }
    renamed = tuned(other, ["a", "b"])["all"].widths[0]
    assert renamed["b"].best.value == pytest.approx(own["lr"].best.value, rel=1e-6)
    assert renamed["a"].best.value == pytest.approx(1024 * (own["init_std"].best.value or 0))
    assert renamed.loss.value == pytest.approx(own.loss.value)


def test_one_hyperparameter_has_the_optimum_of_its_curve() -> None:
    """Both analyses fit the same parabola; they differ in the region only."""
    results = surface(quadratic(drift=-0.3), log2_lr=np.arange(-10.0, -2.0, 0.5))
    curves = analyze(results)["all"]
    columns = {name: list(values) for name, values in results.axes.items()}
    points = tuned({**columns, "loss": results.loss.tolist()}, ["lr"])["all"]
    for optimum, width in zip(curves.optimum, points.widths, strict=True):
        assert math.log2(width["lr"].best.value or 0) == pytest.approx(optimum.log2_lr.value)
    assert points.drift["lr"].value == pytest.approx(curves.drift.value)
    assert points.regret.value == pytest.approx(curves.regret.value, rel=1e-4)


def test_a_grid_over_two_axes_works_as_random_points_do() -> None:
    table = planted([grid_points(6, 2)] * 2, [BEST, BEST], VALLEY)
    results = Results.from_columns(table)
    group = analyze(results, hyperparameter=["lr", "init_std"])["all"]
    assert group.verdict == "transfers"
    values = [math.log2(value.best.value or 0) for value in group.widths[0].values]
    assert values == pytest.approx(BEST, abs=1e-6)


def test_an_optimum_beyond_the_range_is_a_bound_that_says_what_to_add() -> None:
    """The best init_std is 2^6, and nothing above 2^4 was tried."""
    rng = np.random.default_rng(1)
    points = [random_points(rng, 40, 2) for _ in range(2)]
    beyond = np.array([0.5, 6.0])
    table = planted(points, [beyond, beyond], np.diag([0.1, 0.05]), noise=0.005, rng=rng)
    group = tuned(table, NAMES[:2])["all"]
    value = group.widths[0]["init_std"]
    assert (value.best.value, value.edge, value.best.high) == (None, "high", None)
    highest = max(2.0 ** points[0][:, 1])
    assert value.best.low == pytest.approx(highest, rel=0.5)
    assert value.best.undetermined == (
        "the minimum lies at the edge of the range of init_std at width 64: above "
        f"{highest:.4g}; add samples there"
    )
    assert group.widths[0]["lr"].best.value == pytest.approx(2**0.5, rel=0.2)
    assert group.verdict == "undetermined"
    assert group.reason == value.best.undetermined


def test_a_hyperparameter_without_effect_is_undetermined_and_the_point_still_transfers() -> None:
    """The regret is bounded although one coordinate of the best point is not."""
    rng = np.random.default_rng(2)
    points = [random_points(rng, 50, 2) for _ in range(2)]
    table = planted(points, [BEST, BEST], np.diag([0.1, 0.0]), noise=0.005, rng=rng)
    group = tuned(table, NAMES[:2])["all"]
    value = group.widths[1]["init_std"]
    assert value.best.value is None
    assert str(value.best.undetermined).startswith("the noise hides where between")
    assert group.widths[1]["lr"].best.value == pytest.approx(2**0.5, rel=0.1)
    assert group.verdict == "transfers"


def test_a_rotated_valley_is_named_as_an_interaction() -> None:
    """The valley of VALLEY falls by 0.06/0.08 octaves of init_std per octave of lr."""
    rng = np.random.default_rng(3)
    points = [random_points(rng, 40, 2) for _ in range(2)]
    table = planted(points, [BEST, BEST], VALLEY, noise=0.002, rng=rng)
    width = tuned(table, NAMES[:2])["all"].widths[0]
    [pair] = width.interactions
    correlation = -0.06 / math.sqrt(0.1 * 0.08)
    assert pair.correlation.value == pytest.approx(correlation, abs=0.05)
    assert pair.text == (
        "lr and init_std trade off: where lr doubles, the best init_std is multiplied by 0.6"
    )
    assert pytest.approx(0.6, abs=0.01) == 2**-0.75


def test_without_a_rotation_there_is_no_interaction() -> None:
    """The control of the test above."""
    rng = np.random.default_rng(3)
    points = [random_points(rng, 40, 2) for _ in range(2)]
    table = planted(points, [BEST, BEST], np.diag([0.1, 0.08]), noise=0.002, rng=rng)
    [pair] = tuned(table, NAMES[:2])["all"].widths[0].interactions
    assert pair.text is None


@pytest.mark.parametrize(("num", "form"), [(10, "quadratic"), (9, "diagonal"), (8, "sample")])
def test_the_form_depends_on_the_number_of_samples(num: int, form: str) -> None:
    """A quadratic in two has six coefficients, without its product five, and four more points."""
    rng = np.random.default_rng(4)
    points = [random_points(rng, num, 2) for _ in range(2)]
    group = tuned(planted(points, [BEST, BEST], np.diag([0.1, 0.08])), NAMES[:2])["all"]
    assert [width.form for width in group.widths] == [form, form]
    if form == "sample":
        width = group.widths[0]
        assert width.best_sample is not None
        best = width.samples[width.best_sample]
        assert [value.recommended for value in width.values] == pytest.approx(best.values)
        assert width.undetermined == (
            "8 samples at width 64 are too few for a surface in 2 hyperparameters, so the best "
            "sample stands: add 1 or more"
        )


def test_diverged_samples_bound_the_range_and_are_no_numbers() -> None:
    """Beyond lr = 2 everything diverges: the optimum is that of the rest, if it lies inside."""
    rng = np.random.default_rng(5)
    points = [random_points(rng, 60, 2) for _ in range(2)]
    table = planted(points, [BEST, BEST], VALLEY, noise=0.001, rng=rng)
    table["loss"] = [
        math.nan if lr > 4 else loss for lr, loss in zip(table["lr"], table["loss"], strict=True)
    ]
    width = tuned(table, NAMES[:2])["all"].widths[0]
    assert width.num_diverged == sum(2.0**x > 4 for x in points[0][:, 0]) > 5
    assert math.log2(width["lr"].best.value or 0) == pytest.approx(0.5, abs=0.1)
    table["loss"] = [
        math.nan if lr > 0.5 else loss for lr, loss in zip(table["lr"], table["loss"], strict=True)
    ]
    value = tuned(table, NAMES[:2])["all"].widths[0]["lr"]
    assert value.edge == "high"
    assert "that did not diverge: add samples between" in str(value.best.undetermined)


def test_a_zero_is_fitted_on_a_linear_scale() -> None:
    """Weight decay is often tried at 0, which has no logarithm."""
    rng = np.random.default_rng(6)
    table: dict[str, list] = {"width": [], "lr": [], "weight_decay": [], "loss": []}
    for width in (64, 256):
        for log2_lr, decay in zip(rng.uniform(-4, 4, 40), rng.uniform(0, 0.4, 40), strict=True):
            decay = 0.0 if len(table["loss"]) % 8 == 0 else decay
            loss = 2.5 + 0.05 * (log2_lr - 0.5) ** 2 + 2.0 * (decay - 0.15) ** 2
            values = (width, 2.0**log2_lr, decay, loss)
            for name, value in zip(table, values, strict=True):
                table[name].append(value)
    report = tuned(table, ["lr", "weight_decay"])
    value = report["all"].widths[0]["weight_decay"]
    assert value.scale == "linear"
    assert value.best.value == pytest.approx(0.15, abs=1e-6)
    assert report.notes == (
        "weight_decay is 0 in some runs, so its optimum is fitted on a linear scale",
    )


def test_a_finite_loss_beyond_a_cliff_is_left_out() -> None:
    """One run that ended on a plateau does not move the optimum."""
    rng = np.random.default_rng(7)
    points = [random_points(rng, 40, 2) for _ in range(2)]
    table = planted(points, [BEST, BEST], VALLEY, noise=0.001, rng=rng)
    near = int(np.argmin(np.abs(points[0] - BEST).sum(axis=1)))
    table["loss"][near] = 7.5
    width = tuned(table, NAMES[:2])["all"].widths[0]
    assert [math.log2(v.best.value or 0) for v in width.values] == pytest.approx(BEST, abs=0.05)
    assert not width.samples[[s.loss for s in width.samples].index(7.5)].is_fitted
