"""Effects of the four switches on E of one's own trials: identities, coverage, subsets."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mutransfer.analysis import Estimate
from mutransfer.literature import load_transfer_table, measured_effects, switch_effects, switches_on
from mutransfer.literature.hybrids import ORDER, SWITCHES
from mutransfer.literature.regression import regress

PLANTED = {"embd": -1.0, "ln": 0.5, "attn": 0.0, "last": -0.2}


def planted(name: str) -> float:
    """Return log10 E of a hybrid whose effects add up."""
    return -2.0 + sum(PLANTED[switch] for switch in switches_on(name))


def with_error(log10_E: float, sd: float) -> Estimate:
    """Return E with the 90 % interval of a normal error of log10 E."""
    half_width = 1.6448536 * sd
    return Estimate(10**log10_E, 10 ** (log10_E - half_width), 10 ** (log10_E + half_width))


def test_released_cells_have_the_effects_of_the_released_table() -> None:
    """At λ = 1e-3 all sixteen were released, without intervals."""
    table = load_transfer_table()
    cells = {name: Estimate(table.cell(name, 1e-3).E) for name in ORDER}
    assert measured_effects(cells) == switch_effects(table, lowest=1e-3, highest=1e-3)


def test_additive_effects_with_noise_have_the_errors_of_the_noise() -> None:
    """Without scatter beyond the noise, an effect of 16 cells of sd s has the error s/2."""
    effects = measured_effects({name: with_error(planted(name), 0.1) for name in ORDER})
    assert {e.switch: pytest.approx(e.log10.value) for e in effects} == PLANTED
    assert [e.error for e in effects] == pytest.approx([0.05] * 4)
    (embd, *_) = effects
    assert embd.log10.high - embd.log10.value == pytest.approx(1.795885 * 0.05, abs=1e-6)  # t(11)


def test_errors_contain_both_the_noise_and_the_scatter_between_hybrids() -> None:
    """Coverage of 90 % intervals with unequal noise and with an interaction of the switches."""
    rng = np.random.default_rng(0)
    sds = {name: rng.uniform(0.02, 0.4) for name in ORDER}
    covered: dict[str, list[bool]] = {switch: [] for switch in SWITCHES}
    for _ in range(400):
        cells = {
            name: with_error(
                planted(name) + rng.normal(0, 0.2) + rng.normal(0, sds[name]), sds[name]
            )
            for name in ORDER
        }
        for effect in measured_effects(cells):
            truth = PLANTED[effect.switch]
            covered[effect.switch].append(effect.log10.low <= truth <= effect.log10.high)
    for switch in SWITCHES:
        assert np.mean(covered[switch]) == pytest.approx(0.9, abs=0.05)


def test_noise_that_the_intervals_know_widens_the_errors_of_a_perfect_fit() -> None:
    """Negative control: without the noise of each E, an additive table has errors of zero."""
    exact = measured_effects({name: Estimate(10 ** planted(name)) for name in ORDER})
    noisy = measured_effects({name: with_error(planted(name), 0.3) for name in ORDER})
    assert [e.error for e in exact] == pytest.approx([0.0] * 4, abs=1e-12)
    assert min(e.error for e in noisy) > 0.1


def test_switches_that_are_on_together_have_one_effect() -> None:
    names = ("sp", "sp+embd", "mup-embd", "mup")
    effects = measured_effects({name: with_error(planted(name), 0.1) for name in names})
    assert [e.switch for e in effects] == ["embd", "ln+attn+last"]
    assert [e.log10.value for e in effects] == pytest.approx([-1.0, 0.3])
    assert effects[0].error == pytest.approx(0.1)


def test_as_many_effects_as_hybrids_have_no_error() -> None:
    embd, ln = measured_effects(
        {name: with_error(planted(name), 0.1) for name in ("sp", "sp+embd", "sp+ln")}
    )
    assert (embd.switch, ln.switch) == ("embd", "ln")
    assert embd.error is None
    assert embd.log10.value == pytest.approx(-1.0)
    assert embd.factor.undetermined.startswith("as many effects as numbers")


def test_effects_that_the_hybrids_do_not_separate_are_left_out() -> None:
    assert measured_effects({}) == ()
    assert measured_effects({"sp": Estimate(0.1), "mup": Estimate(undetermined="edge")}) == ()
    (one,) = measured_effects({"sp": Estimate(0.1), "sp+embd": Estimate(0.01)})
    assert one.switch == "embd"


def test_a_regression_is_that_of_another_implementation() -> None:
    """Numpy's polynomial fit gives the covariance of ordinary least squares."""
    x, y = np.array([0.0, 1, 2, 5, 7]), np.array([0.1, 1.3, 1.8, 5.6, 6.7])
    fit = regress(np.stack([x, np.ones(5)], axis=1), y, np.zeros(5))
    values, covariance = np.polyfit(x, y, 1, cov=True)
    assert fit.values == pytest.approx(values)
    assert fit.errors == pytest.approx(np.sqrt(np.diag(covariance)))
    assert math.isclose(fit.degrees, 3)
