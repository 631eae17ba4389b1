"""Isoflop curves: the best size at larger compute, and whether the law of the loss holds."""

import math

import pytest
from planted_isoflops import EXPONENT, best_n, isoflops, loss

from mutransfer.analysis import analyze, predict

TARGET = 1e16 * 4**10  # 64 times the largest


def at_target(results):
    return predict(results, scale="flops", hyperparameter="n", width=TARGET)


def test_the_best_size_and_its_loss_are_those_of_the_planted_law() -> None:
    results = isoflops()
    exponent = analyze(results, scale="flops", hyperparameter="n")["all"].drift.value
    assert exponent == pytest.approx(EXPONENT, abs=0.01)
    prediction = at_target(results)
    assert prediction.log2_lr.value == pytest.approx(math.log2(best_n(TARGET)), abs=0.1)
    assert prediction.loss.low < loss(best_n(TARGET), TARGET) < prediction.loss.high


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_law_that_holds_has_no_warning(seeds: int) -> None:
    for seed in range(3):
        prediction = at_target(isoflops(seeds=seeds, seed=seed))
        assert not any("law of the loss" in warning for warning in prediction.warnings)


@pytest.mark.parametrize(("bend", "seeds"), [(0.0012, 1), (0.0008, 3)])
def test_a_law_that_bends_is_named_and_its_loss_has_no_interval(bend: float, seeds: int) -> None:
    prediction = at_target(isoflops(bend=bend, seeds=seeds))
    (warning,) = [w for w in prediction.warnings if "law of the loss" in w]
    assert warning.startswith("the law of the loss does not hold: without flops 1.6384e+20 it")
    assert "too high there, at least" in warning
    assert (prediction.loss.low, prediction.loss.high) == (None, None)
    if seeds > 1:
        assert prediction.loss.value > loss(best_n(TARGET), TARGET, bend)
        assert prediction.loss.undetermined.endswith("see the warning")
    assert prediction.log2_lr.value == pytest.approx(math.log2(best_n(TARGET)), abs=0.1)
