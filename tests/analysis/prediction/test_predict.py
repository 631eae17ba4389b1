"""Rate, loss and regret at a target that was not run: extrapolation, intervals and warnings."""

import math

import numpy as np
import pytest
from planted_cells import (
    LOSS_TERMS,
    RATE_EXPONENTS,
    SIZES,
    best_loss,
    cell_columns,
    log2_best_rate,
    planted,
)
from planted_surfaces import LN2, columns, together

from mutransfer.analysis import Prediction, RateLaw, Results, predict
from mutransfer.errors import ResultsError

WIDTHS = tuple(2.0 ** np.arange(7, 12))
HALVES = tuple(np.arange(-11.0, -2.0, 0.5))
TARGET = 16384.0


def surface(drift: float = 0.0, best: float = -6.2):
    def loss(width: float, log2_lr: float) -> float:
        optimum = best + drift * math.log2(width / 128)
        return 2.2 + 13 * width**-0.5 + 0.125 * width**-0.2 * ((log2_lr - optimum) * LN2) ** 2

    return loss


def results(drift: float = 0.0, widths=WIDTHS, seeds: int = 3, seed: int = 0) -> Results:
    noise = {"sd_within": 0.004, "sd_seed": 0.008, "rng": np.random.default_rng(seed)}
    return Results.from_columns(columns(surface(drift), widths, HALVES, seeds, **noise))


@pytest.mark.parametrize(("drift", "law"), [(-0.4, "power"), (0.3, "power")])
def test_a_planted_power_law_is_extrapolated(drift: float, law: str) -> None:
    prediction = predict(results(drift), width=TARGET)
    truth = -6.2 + drift * math.log2(TARGET / 128)
    assert prediction.law == law
    assert prediction.log2_lr.low < truth < prediction.log2_lr.high
    assert prediction.lr.value == pytest.approx(2.0**prediction.log2_lr.value)
    assert prediction.loss.low < 2.2 + 13 * TARGET**-0.5 < prediction.loss.high
    assert prediction.extrapolation == 8.0


def test_an_extrapolated_rate_beyond_the_largest_float_is_infinite() -> None:
    """Two octaves per octave over 990 octaves of width: about 2^1970, where 2.0**x overflows."""
    rates = tuple(np.arange(-9.0, 6.0, 0.5))
    table = columns(surface(2.0), WIDTHS, rates, 3, 0.004, 0.008, np.random.default_rng(0))
    prediction = predict(Results.from_columns(table), width=1e300)
    assert prediction.law == "power"
    assert prediction.log2_lr.value > 1024
    assert prediction.lr.value == prediction.lr.high == math.inf


def law(prediction: Prediction, name: str) -> RateLaw:
    return next(law for law in prediction.laws if law.name == name)


@pytest.mark.parametrize(("drift", "likely"), [(0.0, "constant"), (-0.5, "power"), (0.25, "power")])
def test_the_planted_law_has_the_largest_weight(drift: float, likely: str) -> None:
    prediction = predict(results(drift), width=TARGET)
    assert prediction.law == likely
    assert sum(law.weight for law in prediction.laws) == pytest.approx(1.0)
    assert law(prediction, likely).weight > 0.7
    others = [rest for rest in prediction.laws if rest.name != "constant"]
    assert law(prediction, "constant").held_out.value > 5 * others[0].held_out.value or not drift


def settling(width: float, log2_lr: float) -> float:
    optimum = -8.2 + 2.0 * (width / 128) ** -0.5
    return 2.2 + 13 * width**-0.5 + 0.125 * width**-0.2 * ((log2_lr - optimum) * LN2) ** 2


def test_a_rate_that_settles_is_predicted_by_the_saturating_law() -> None:
    """A straight line through these optima lies a whole octave below the truth."""
    noise = {"sd_within": 0.001, "sd_seed": 0.002, "rng": np.random.default_rng(0)}
    prediction = predict(
        Results.from_columns(columns(settling, WIDTHS, HALVES, 3, **noise)), width=TARGET
    )
    truth = -8.2 + 2.0 * (TARGET / 128) ** -0.5
    assert prediction.law == "saturating"
    assert law(prediction, "power").log2_lr.value < truth - 0.5
    assert prediction.log2_lr.low < truth < prediction.log2_lr.high
    assert prediction.log2_lr.value == pytest.approx(truth, abs=0.15)


def test_the_interval_under_drift_is_short_and_holds_the_truth() -> None:
    """Within an octave at half an octave per octave; the union of both laws was 2.4 long."""
    truth = -6.2 - 0.5 * math.log2(TARGET / 128)
    rates = [predict(results(-0.5, seed=k), width=TARGET).log2_lr for k in range(20)]
    assert sum(rate.low < truth < rate.high for rate in rates) >= 17
    assert np.median([rate.high - rate.low for rate in rates]) < 1.0


def test_the_regret_is_that_of_the_rate() -> None:
    """Each law's rate costs half the curvature times its squared distance from the best rate."""
    prediction = predict(results(-0.5), width=TARGET)
    assert prediction.regret.high < 0.01
    constant = law(prediction, "constant")
    curvature = 0.25 * TARGET**-0.2
    distance = (constant.log2_lr.value - prediction.log2_lr.value) * LN2
    share = 0.5 * curvature * distance**2 / prediction.loss.value
    assert share > 0.02
    assert constant.regret_share.value == pytest.approx(share, rel=0.2)
    assert prediction.regret_share.high == pytest.approx(
        prediction.regret.high / prediction.loss.value
    )


def test_the_rate_of_the_nearest_width_has_its_own_cost() -> None:
    """Under drift it costs what the planted parabola at the target says; without drift nothing."""
    drift = -0.4
    prediction = predict(results(drift), width=TARGET)
    nearest = prediction.nearest
    assert nearest.sizes == {"width": WIDTHS[-1]}
    loss = surface(drift)
    best = -6.2 + drift * math.log2(TARGET / 128)
    expected = loss(TARGET, nearest.log2_lr) / loss(TARGET, best) - 1
    assert nearest.regret_share.value == pytest.approx(expected, rel=0.15)
    assert nearest.regret_share.high > prediction.regret_share.high
    assert predict(results(), width=TARGET).nearest.regret_share.value < 0.01 * expected


def test_no_regret_exceeds_that_of_an_untrained_network() -> None:
    """At 30 octaves of drift the parabola's excess loss is absurd; ln(vocabulary) bounds it."""
    table = columns(surface(-0.5), WIDTHS, HALVES, 3, 0.004, 0.008, np.random.default_rng(0))
    without = predict(Results.from_columns(table), width=2.0**60)
    with_vocabulary = predict(
        Results.from_columns(table | {"vocab_size": [64] * len(table["lr"])}), width=2.0**60
    )
    assert law(without, "constant").regret_share.high is None
    assert "no upper bound" in law(without, "constant").regret_share.undetermined
    excess = (math.log(64) - with_vocabulary.loss.value) / with_vocabulary.loss.value
    assert law(with_vocabulary, "constant").regret_share.high == pytest.approx(excess)


def test_a_bound_needs_no_law_of_the_loss() -> None:
    """Three widths have none: the untrained loss bounds the excess over a loss no larger."""
    table = columns(surface(-1.0), WIDTHS[:3], HALVES, 3, 0.004, 0.008, np.random.default_rng(0))
    table["vocab_size"] = [16] * len(table["lr"])
    prediction = predict(Results.from_columns(table), width=2.0**20)
    assert prediction.loss.value is None
    largest = 2.2 + 13 * WIDTHS[2] ** -0.5
    assert law(prediction, "constant").regret_share.high < math.log(16) / (0.3 * largest) - 1


def test_without_a_loss_law_the_share_is_not_too_small() -> None:
    """Three widths have no law of the loss: the share is that of a loss no larger."""
    prediction = predict(results(-0.4, widths=WIDTHS[:3]), width=TARGET)
    assert prediction.loss.value is None
    share = prediction.regret_share.high
    largest = 2.2 + 13 * WIDTHS[2] ** -0.5
    assert share > prediction.regret.high / largest
    assert share < prediction.regret.high / (0.5 * largest)


def test_scatter_from_width_to_width_widens_the_interval() -> None:
    """Optima that jump by a third of an octave, far beyond their noise."""
    table = columns(surface(), WIDTHS, HALVES, 3, 0.004, 0.008, np.random.default_rng(0))
    jumps = dict(zip(WIDTHS, (0.33, -0.33, 0.33, -0.33, 0.33), strict=True))
    table["lr"] = [lr * 2.0 ** jumps[n] for n, lr in zip(table["width"], table["lr"], strict=True)]
    smooth, scattered = (
        predict(trials, width=TARGET).log2_lr for trials in (results(), Results.from_columns(table))
    )
    assert scattered.high - scattered.low > 4 * (smooth.high - smooth.low)


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (2048 * 65, "laws were not tested beyond 64x"),
        (4096, "width 4096 is only 2x the largest with an optimum (2048): tuning there directly"),
        (128, "width 128 was run: `mutransfer analyze` shows its own result"),
        (300, "width 300 is not above the largest with an optimum (2048): tuning there directly"),
    ],
)
def test_a_target_outside_the_studied_range_gives_a_warning(width: float, text: str) -> None:
    (warning,) = predict(results(), width=width).warnings
    assert text in warning
    assert not predict(results(), width=2048 * 16).warnings


def test_two_optima_give_an_interval_of_all_laws() -> None:
    """Two optima fit a constant and a power alike; the interval holds both laws' rates."""
    two = predict(results(-0.5, widths=WIDTHS[:2]), width=TARGET)
    assert two.log2_lr.high - two.log2_lr.low > 2
    for name in ("constant", "power"):
        assert two.log2_lr.low < law(two, name).log2_lr.value < two.log2_lr.high
    assert "two optima show no scatter about a law: add a width" in two.warnings
    assert law(two, "power").held_out.value is None
    one = predict(results(widths=WIDTHS[:1]), width=TARGET)
    assert one.log2_lr.value == pytest.approx(-6.2, abs=0.2)
    assert one.log2_lr.low is None
    assert "needs an optimum at 2 values of width" in one.log2_lr.undetermined


def test_with_few_widths_the_reason_says_what_to_add() -> None:
    four = predict(results(widths=WIDTHS[:4]), width=TARGET)
    assert four.loss.value == pytest.approx(2.2 + 13 * TARGET**-0.5, abs=0.1)
    assert "an interval needs 5 values of width over 16x, and there are 4" in four.loss.undetermined


def test_one_seed_has_an_interval_that_holds_the_truth() -> None:
    """The scatter of the optima about the laws needs no repeated seed."""
    truth = -6.2 - 0.5 * math.log2(TARGET / 128)
    rates = [predict(results(-0.5, seeds=1, seed=k), width=TARGET).log2_lr for k in range(20)]
    assert sum(rate.low < truth < rate.high for rate in rates) >= 17


def test_where_everything_diverged_nothing_is_predicted() -> None:
    table = {"width": [64.0, 128.0], "lr": [0.1, 0.1], "loss": [math.nan] * 2}
    prediction = predict(Results.from_columns(table), width=1024)
    assert prediction.lr.value is None
    assert "every rate diverged at width 64" in prediction.lr.undetermined


def test_a_group_must_be_named_where_there_are_several() -> None:
    tables = [columns(surface(), WIDTHS, HALVES, 2, 0.004, group=name) for name in ("mup", "sp")]
    both = together(*tables)
    with pytest.raises(ResultsError, match="several groups") as raised:
        predict(both, width=TARGET)
    assert raised.value.fix == "--group mup (in Python: group='mup')"
    assert predict(both, width=TARGET, group="sp").group == "sp"
    with pytest.raises(ResultsError, match="no group 'mpu'"):
        predict(both, width=TARGET, group="mpu")


def test_predictions_do_not_depend_on_the_other_groups() -> None:
    mup = columns(surface(), WIDTHS, HALVES, 2, 0.004, group="mup")
    sp = columns(surface(-0.5), WIDTHS, HALVES, 2, 0.004, group="sp")
    single, both = Results.from_columns(mup), together(sp, mup)
    assert predict(single, width=TARGET) == predict(both, width=TARGET, group="mup")


def test_a_target_of_several_scales_has_rate_loss_and_regret() -> None:
    """Planted exponents of the rate, and an additive law of the loss."""
    results = planted(seeds=2, sd=0.003, rng=np.random.default_rng(0))
    target = {"width": 4096.0, "tokens": 3.2e10, "batch": 256.0}
    prediction = predict(results, scale=list(target), at=target)
    assert prediction.at == target
    truth = log2_best_rate(target, RATE_EXPONENTS)
    assert prediction.log2_lr.value == pytest.approx(truth, abs=0.1)
    assert prediction.log2_lr.low < truth < prediction.log2_lr.high
    assert prediction.loss.low < best_loss(target) < prediction.loss.high
    assert prediction.regret_share.high < 0.01
    assert prediction.extrapolation == 4.0
    assert prediction == predict(
        results, scale=list(target), width=4096.0, at={"tokens": 3.2e10, "batch": 256.0}
    )


def test_a_scale_of_one_value_cannot_be_extrapolated() -> None:
    """Its exponent would be that of the prior alone."""
    sizes = [{"width": n, "tokens": 1e9} for n in (128.0, 256.0, 512.0)]
    target = {"width": 4096.0, "tokens": 1e11}
    with pytest.raises(ResultsError, match=r"one value of tokens \(1e\+09\) only") as raised:
        predict(planted(sizes, exponents={"width": -0.5}), scale=list(target), at=target)
    assert "--scale width" in raised.value.fix


def test_the_loss_off_the_best_batch_is_only_bounded() -> None:
    """The loss has a minimum in the batch size, so its law is that of the best batch."""
    table = cell_columns(seeds=2, sd=0.003, rng=np.random.default_rng(0))
    valley = [0.05 * math.log2(batch / 128) ** 2 for batch in table["batch"]]
    flat = [0.1 * (batch / SIZES["batch"][0]) ** -0.8 for batch in table["batch"]]
    losses = zip(table["loss"], valley, flat, strict=True)
    table["loss"] = [loss + rise - fall for loss, rise, fall in losses]
    target = {"width": 4096.0, "tokens": 3.2e10, "batch": 256.0}
    prediction = predict(Results.from_columns(table), scale=list(target), at=target)
    truth = 2.0 + sum(
        amplitude * (target[name] / SIZES[name][0]) ** -alpha
        for name, (amplitude, alpha) in LOSS_TERMS.items()
        if name != "batch"
    )
    assert prediction.loss.value is None
    assert truth - 0.05 < prediction.loss.low < truth + 0.05
    assert "the law is that of the best batch" in prediction.loss.undetermined
