"""Measures of training curves, against curves whose noise, spikes and oscillations are planted."""

import numpy as np
import pytest
from planted_curves import STEPS, curve, trials

from mutransfer.analysis.training_curves import MEASURES, curve_measures

RATES = [2.0**k for k in range(-8, -2)]


def quiet(_axes, _rng):
    return np.zeros(STEPS)


def oscillating(axes, rng):
    """An oscillation of two steps in group 'rough', noise of the run's own in all."""
    phase = np.cos(np.pi * np.arange(STEPS) + rng.uniform(0, 2 * np.pi))
    return (0.05 * phase if axes["parametrization"] == "rough" else 0.0) + rng.normal(
        0, 0.01, STEPS
    )


def measured(curves, settings=None, diverged=None):
    settings = settings or [{"lr": rate} for rate in RATES[: len(curves)]]
    return curve_measures(curves, diverged or [False] * len(curves), settings, "lr")


def with_losses(losses) -> np.ndarray:
    losses = np.asarray(losses, dtype=float)
    return np.stack([np.arange(1, len(losses) + 1), losses], axis=1)


def of_group(results, group):
    """Return the median of every measure over the trials of a group."""
    rows = [k for k, result in enumerate(results) if result.spec.axes["parametrization"] == group]
    curves = [np.array(result.curve) for result in results]
    values = measured(curves, [result.spec.axes for result in results])
    return {name: float(np.nanmedian(values[name][rows])) for name in MEASURES}


@pytest.mark.parametrize("sd", [0.01, 0.3])
def test_white_noise_of_known_sd_gives_that_roughness(sd) -> None:
    """The same number with and without pairing, whether two rates or one are next to a run."""
    rng = np.random.default_rng(0)
    falling = 3.0 * np.exp(-np.arange(4000) / 100)
    values = measured([with_losses(falling + rng.normal(0, sd, 4000)) for _ in RATES])
    assert values["roughness"] == pytest.approx(sd, rel=0.06)
    assert values["paired_roughness"] == pytest.approx(sd, rel=0.06)


def test_a_spike_is_as_high_as_it_was_planted() -> None:
    """Above the running minimum, not above the loss just before."""
    losses = np.linspace(3.0, 2.0, 100)
    losses[60] += 0.4
    losses[80] = losses[79] + 0.25
    (rise,) = measured([with_losses(losses)])["largest_rise"]
    assert rise == pytest.approx(0.4 - 1.0 / 99)


def test_spikes_of_the_warmup_do_not_count() -> None:
    """A quarter of the steps is left out, and the whole warmup if it is longer."""
    losses = np.full(100, 2.0)
    losses[24] = 5.0
    assert measured([with_losses(losses)])["largest_rise"] == [0.0]
    losses[30] = 3.5
    assert measured([with_losses(losses)])["largest_rise"] == [1.5]
    settings = [{"lr": 0.5, "warmup": 40}]
    assert measured([with_losses(losses)], settings)["largest_rise"] == [0.0]


def test_what_neighboring_rates_share_cancels_and_an_oscillation_of_one_group_shows() -> None:
    """Plain roughness is the noise of the batch in both groups: it cannot show the difference."""
    results = trials(["smooth", "rough"], oscillating)
    smooth, rough = of_group(results, "smooth"), of_group(results, "rough")
    assert rough["roughness"] / smooth["roughness"] < 1.5
    assert smooth["paired_roughness"] == pytest.approx(0.01, rel=0.15)
    assert rough["paired_roughness"] / smooth["paired_roughness"] > 4.0


def test_batch_noise_that_grows_with_the_loss_cancels_between_equal_steps_of_rate() -> None:
    """A worse model has more of it; what is left is its curvature in ln(rate) only."""
    values = [curve({"seed": 0}, quiet, level=level) for level in (2.0, 2.3, 2.6)]
    middle = measured(values)["paired_roughness"][1]
    assert middle == pytest.approx(0.0, abs=1e-12)
    nearer = measured(values, [{"lr": rate} for rate in (0.25, 0.4, 1.0)])["paired_roughness"][1]
    assert nearer > 1e-3  # control: the weights of two neighbors are those of a straight line


def test_only_runs_that_differ_in_nothing_but_the_rate_are_paired() -> None:
    noisy = [with_losses(np.random.default_rng(k).normal(0, 1, 100)) for k in range(2)]
    alike = [{"lr": 0.5, "seed": 0, "width": 64}, {"lr": 1.0, "seed": 0, "width": 64}]
    assert np.isfinite(measured(noisy, alike)["paired_roughness"]).all()
    for change in ({"seed": 1}, {"width": 32}, {"parametrization": "sp"}):
        other = [alike[0], alike[1] | change]
        assert np.isnan(measured(noisy, other)["paired_roughness"]).all()


def test_a_run_that_diverged_is_not_measured_and_not_a_neighbor() -> None:
    curves = [with_losses(np.random.default_rng(k).normal(0, 1, 100)) for k in range(3)]
    values = measured(curves, diverged=[False, False, True])
    assert np.isfinite(values["roughness"]).tolist() == [True, True, False]
    without = measured(curves[:2])
    assert values["paired_roughness"][:2].tolist() == without["paired_roughness"].tolist()


def test_a_thinned_curve_is_measured_at_its_even_steps_and_says_its_stride() -> None:
    """The last step is stored whatever the stride is; it would look like a smaller bend."""
    losses = np.random.default_rng(0).normal(0, 1, 400)
    full = with_losses(losses)
    thinned = full[[*range(0, 400, 4), 399]]
    thinned[-1, 1] = 1e6
    assert thinned[-1, 0] - thinned[-2, 0] == 3
    values = measured([thinned])
    assert values["curve_stride"] == [4.0]
    assert values["roughness"] == pytest.approx(1.0, rel=0.2)


@pytest.mark.parametrize(
    "short",
    [np.empty((0, 2)), with_losses(np.zeros(9)), np.stack([[1, 2, 4, 8, 9] * 4, [0] * 20], axis=1)],
    ids=["none", "short", "uneven"],
)
def test_a_curve_that_is_too_short_or_uneven_has_no_measures(short) -> None:
    values = measured([short])
    assert all(np.isnan(values[name]).all() for name in MEASURES)
