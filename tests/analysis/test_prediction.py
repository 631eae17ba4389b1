"""Rate, loss and regret at a target that was not run: extrapolation, intervals and warnings."""

import math

import numpy as np
import pytest
from planted_surfaces import LN2, columns, together

from mutransfer.analysis import Results, predict
from mutransfer.errors import ResultsError

WIDTHS = tuple(2.0 ** np.arange(7, 12))
HALVES = tuple(np.arange(-11.0, -2.0, 0.5))
TARGET = 16384.0


def surface(drift: float = 0.0, best: float = -6.2):
    def loss(width: float, log2_lr: float) -> float:
        optimum = best + drift * math.log2(width / 128)
        return 2.2 + 13 * width**-0.5 + 0.125 * width**-0.2 * ((log2_lr - optimum) * LN2) ** 2

    return loss


def results(
    drift: float = 0.0, widths=WIDTHS, seeds: int = 3, seed: int = 0, rates=HALVES
) -> Results:
    noise = {"sd_within": 0.004, "sd_seed": 0.008, "rng": np.random.default_rng(seed)}
    return Results.from_columns(columns(surface(drift), widths, rates, seeds, **noise))


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
    assert prediction.lr.low < 1  # the constant law stays where it is


def test_intervals_are_the_union_of_both_laws() -> None:
    prediction = predict(results(-0.4), width=TARGET)
    constant, power = prediction.laws
    assert (constant.name, power.name) == ("constant", "power")
    assert prediction.log2_lr.low == min(constant.log2_lr.low, power.log2_lr.low)
    assert prediction.log2_lr.high == max(constant.log2_lr.high, power.log2_lr.high)
    assert constant.held_out.value > 5 * power.held_out.value


def test_a_rate_that_converges_lies_in_the_union() -> None:
    """The drift fades, so the power law that fits the smaller widths misses the target."""

    def converging(width: float, log2_lr: float) -> float:
        optimum = -6.2 + 6.0 * width**-0.4
        return 2.2 + 13 * width**-0.5 + 0.125 * width**-0.2 * ((log2_lr - optimum) * LN2) ** 2

    noise = {"sd_within": 0.001, "sd_seed": 0.002, "rng": np.random.default_rng(0)}
    prediction = predict(
        Results.from_columns(columns(converging, WIDTHS, HALVES, 3, **noise)), width=TARGET
    )
    truth = -6.2 + 6.0 * TARGET**-0.4
    power = next(law for law in prediction.laws if law.name == "power")
    assert prediction.law == "power"
    assert power.log2_lr.high < truth
    assert prediction.log2_lr.low < truth < prediction.log2_lr.high


def test_the_regret_is_that_of_the_predicted_rate() -> None:
    """Its upper bound is the cost of the worse law: half the curvature times distance squared."""
    prediction = predict(results(-0.4), width=TARGET)
    constant, power = (law.log2_lr.value for law in prediction.laws)
    cost = 0.5 * 0.25 * TARGET**-0.2 * ((constant - power) * LN2) ** 2
    assert prediction.regret.value < 0.02 * cost
    assert 0.7 * cost < prediction.regret.high < 1.5 * cost
    assert prediction.regret_share.high == pytest.approx(
        prediction.regret.high / prediction.loss.value
    )


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


def test_with_few_widths_the_reason_says_what_to_add() -> None:
    two = predict(results(widths=WIDTHS[:2]), width=TARGET)
    assert two.log2_lr.value == pytest.approx(-6.2, abs=0.2)
    assert two.log2_lr.low is None
    assert (
        "an interval needs an optimum at 3 values of width, and there are 2"
        in two.log2_lr.undetermined
    )
    four = predict(results(widths=WIDTHS[:4]), width=TARGET)
    assert four.loss.value == pytest.approx(2.2 + 13 * TARGET**-0.5, abs=0.1)
    assert "an interval needs 5 values of width over 16x, and there are 4" in four.loss.undetermined
    few_rates = predict(results(seeds=1, rates=(-7.0, -6.0, -5.0)), width=TARGET)
    assert few_rates.lr.value is not None
    assert few_rates.lr.undetermined.startswith("one seed, and the rates near the best ones are")
    assert f"no interval: {few_rates.lr.undetermined}" in few_rates.warnings


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
