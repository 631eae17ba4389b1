"""Divergence that ends in a finite loss, and single outliers, are not part of the curves."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from planted_surfaces import WIDTHS, best_loss, columns, quadratic

from mutransfer.analysis import GroupReport, Results, analyze, predict

Table = dict[str, list]
Change = Callable[[float, float, int, float], float]
NAN = math.nan


def planted(
    step: float = 1.0,
    seeds: int = 2,
    drift: float = 0.0,
    sd: float = 0.004,
    log2_best: float = -6.2,
) -> Table:
    """Losses at rates from 2^-10 to 2^-2."""
    rates = tuple(np.arange(-10.0, -1.9, step).tolist())
    loss = quadratic(log2_best=log2_best, drift=drift)
    return columns(loss, log2_lr=rates, seeds=seeds, sd_within=sd)


def changed(table: Table, change: Change) -> Table:
    """The same table with other losses."""
    rows = zip(table["width"], np.log2(table["lr"]), table["seed"], table["loss"], strict=True)
    return {**table, "loss": [change(*row) for row in rows]}


def blown_up(
    table: Table,
    loss: float,
    octaves: float,
    widths: tuple[float, ...] = WIDTHS,
    best: float = -6.2,
) -> Table:
    """The runs more than that many octaves above the best rate end at `loss`, if it is finite."""
    rng = np.random.default_rng(1)

    def plateau(width: float, log2_lr: float, seed: int, own: float) -> float:
        is_above = width in widths and log2_lr > best + octaves
        return loss + rng.normal(0.0, 0.02) if is_above else own

    return changed(table, plateau)


def group_of(table: Table) -> GroupReport:
    return analyze(Results.from_columns(table))["all"]


def notes_of(table: Table) -> tuple[str, ...]:
    return analyze(Results.from_columns(table)).notes


@pytest.mark.parametrize("octaves", [0.4, 1.2, 2.7])
@pytest.mark.parametrize(("step", "seeds"), [(2.0, 2), (1.0, 2), (0.5, 3), (0.5, 1)])
@pytest.mark.parametrize("widths", [WIDTHS, WIDTHS[-1:]])
def test_a_finite_plateau_is_the_same_as_nan(
    octaves: float, step: float, seeds: int, widths: tuple[float, ...]
) -> None:
    """The oracle is the very same table with nan in the cells of the plateau."""
    table = planted(step, seeds)
    finite = group_of(blown_up(table, 10.8, octaves, widths))
    nan = group_of(blown_up(table, NAN, octaves, widths))
    assert finite.optimum == nan.optimum
    assert finite.drift == nan.drift
    assert finite.verdict == nan.verdict


def falling(octaves: float, rng: np.random.Generator) -> float:
    """A plateau that falls by 0.8 per octave."""
    return max(9.0 - 0.8 * octaves, 5.5) + rng.normal(0.0, 0.05)


def scattered(octaves: float, rng: np.random.Generator) -> float:
    """A plateau at which every run ends somewhere else."""
    return rng.uniform(5.3, 10.0)


@pytest.mark.parametrize("height", [falling, scattered])
@pytest.mark.parametrize(("step", "seeds"), [(2.0, 2), (1.0, 3), (0.5, 3), (0.5, 1)])
def test_a_plateau_need_not_be_flat(height: Callable, step: float, seeds: int) -> None:
    """More than half of the rates fail, so that their scatter must not count as the noise."""
    table = planted(step, seeds, log2_best=-7.7)
    rng = np.random.default_rng(3)

    def plateau(width: float, log2_lr: float, seed: int, own: float) -> float:
        above = log2_lr - (-7.7 + 1.2)
        return height(above, rng) if above > 0 else own

    finite = group_of(changed(table, plateau))
    nan = group_of(blown_up(table, NAN, 1.2, best=-7.7))
    assert finite.optimum == nan.optimum
    assert finite.verdict == nan.verdict


def test_a_steep_flank_is_no_cliff() -> None:
    """Negative control: right sides 2.4 times as steep as the left ones, and plain parabolas."""

    def steep(width: float, log2_lr: float, seed: int, own: float) -> float:
        u = log2_lr + 6.2
        return best_loss(width) + 0.16 * (math.expm1(0.87 * u) - 0.87 * u)

    for step in (0.5, 1.0):
        assert notes_of(planted(step)) == ()
        for best in (0.0, 0.15, 0.3, 0.45):
            table = planted(step, log2_best=-6.2)
            table["lr"] = [lr * 2**best for lr in table["lr"]]
            assert notes_of(changed(table, steep)) == ()


def test_three_rates_show_no_minimum_far_below_their_losses() -> None:
    """A parabola through 3.25, 3.2, 4 has its minimum 2.6 % below 3.2."""
    rows = {"width": [64.0, 64.0, 64.0], "lr": [0.01, 0.02, 0.04]}
    steep = group_of({**rows, "loss": [3.25, 3.2, 4.0]}).optimum[0]
    assert steep.loss.value is None
    assert "fewer than three rates did not diverge" in steep.loss.undetermined
    flat = group_of({**rows, "loss": [3.25, 3.2, 3.3]}).optimum[0]
    assert flat.loss.value == pytest.approx(3.198, abs=1e-3)


def test_the_note_names_width_rate_and_losses() -> None:
    table = blown_up(planted(), 10.8, 1.2, WIDTHS[-1:])
    (note,) = notes_of(table)
    assert note.startswith("the loss jumps to 10.8")
    assert "at 2^-4 (0.0625) at width 512, while the best is 2.7" in note
    warnings = predict(Results.from_columns(table), width=4096).warnings
    assert note in warnings


def test_the_figure_shows_the_finite_losses() -> None:
    """They are measured; only the fit leaves them out."""
    curve = group_of(blown_up(planted(), 10.8, 1.2)).curves[-1]
    assert np.isfinite(curve.loss).all()
    assert curve.loss[-1] > 10
    assert sum(curve.num_diverged) == 0


def test_carrying_a_rate_onto_the_plateau_costs_what_it_shows() -> None:
    """Drift by one octave per octave: the best rate of width 64 blows up at width 512."""

    def edge(width: float, log2_lr: float, seed: int, own: float) -> float:
        return 7.5 if log2_lr > -5.0 - math.log2(width / 64) else own

    group = group_of(changed(planted(drift=-1.0), edge))
    assert group.verdict == "does not transfer"
    assert group.regret.low == pytest.approx(7.5 - best_loss(512.0), abs=0.02)
    assert group.grid_regret.value == pytest.approx(7.5 - best_loss(512.0), abs=0.05)


@pytest.mark.parametrize("column", ["untrained", "vocab_size"])
def test_a_loss_above_the_untrained_one_counts_as_diverged(column: str) -> None:
    """A rise of 0.9 at the fifth rate is a steep flank, unless no training is better."""

    def flank(width: float, log2_lr: float, seed: int, own: float) -> float:
        return own + (0.9 if log2_lr > -2.5 else 0.0)

    table = changed(planted(), flank)
    assert notes_of(table) == ()
    if column == "vocab_size":
        results = Results.from_columns({**table, "config.vocab_size": [100] * len(table["lr"])})
    else:
        results = Results.from_columns(table)
        results.untrained_loss[:] = math.log(100)
    (note,) = analyze(results).notes
    assert "at 2^-2 (0.25) at width 64, 128, 256, 512, while the best is" in note


@pytest.mark.parametrize("loss", [3.4, 10.8])
@pytest.mark.parametrize("rate", [-8.0, -6.0, -5.0])
def test_an_outlier_is_named_and_the_others_keep_their_noise(loss: float, rate: float) -> None:
    """The oracle is the table without that run."""
    table = planted()

    def spike(width: float, log2_lr: float, seed: int, own: float) -> float:
        return loss if (width, log2_lr, seed) == (512.0, rate, 1) else own

    spiked = changed(table, spike)
    is_kept = [loss != value for value in spiked["loss"]]
    rest = {name: [v for v, keep in zip(values, is_kept, strict=True) if keep]
            for name, values in spiked.items()}  # fmt: skip
    (note,) = notes_of(spiked)
    assert note.startswith(f"at width 512, the loss of {loss:g} at 2^{rate:g} (")
    assert "seed 1" in note
    assert group_of(spiked).optimum == group_of(rest).optimum
    assert group_of(spiked).verdict == group_of(rest).verdict == "transfers"


@pytest.mark.parametrize("seeds", [2, 3])
def test_an_outlier_may_be_low(seeds: int) -> None:
    """The higher of two runs lies on the curve of the neighboring rates, or with the majority."""

    def drop(width: float, log2_lr: float, seed: int, own: float) -> float:
        return 2.6 if (width, log2_lr, seed) == (512.0, -7.0, 1) else own

    table = changed(planted(seeds=seeds), drop)
    (note,) = notes_of(table)
    assert note.startswith("at width 512, the loss of 2.6 at 2^-7 (0.007812), seed 1 (other seed")
    assert group_of(table).optimum[-1].log2_lr.value == pytest.approx(-6.2, abs=0.06)


def test_a_run_that_agrees_with_the_other_seeds_is_no_outlier() -> None:
    """A seed fails at five of nine rates, so that its median is that of the failed runs."""

    def fail(width: float, log2_lr: float, seed: int, own: float) -> float:
        is_failed = width == WIDTHS[0] and seed == 0 and log2_lr % 2 == 0
        return own + 1.0 if is_failed else own

    assert notes_of(changed(planted(seeds=3), fail)) == ()


def test_an_outlier_of_a_single_seed_is_named_by_its_rate() -> None:
    def spike(width: float, log2_lr: float, seed: int, own: float) -> float:
        return own + 0.3 if (width, log2_lr) == (512.0, -6.0) else own

    table = changed(planted(0.5, seeds=1), spike)
    note, source = notes_of(table)
    assert source.startswith("one seed: ")
    assert note.startswith("at width 512, the loss of 3.0")
    assert "at 2^-6 (0.01562) (neighboring rates: 2.7" in note
    optimum = group_of(table).optimum[-1].log2_lr.value
    assert optimum == pytest.approx(-6.2, abs=0.05)


def test_a_rate_at_which_most_seeds_fail_is_left_out() -> None:
    """Two of three seeds blow up at the best rate of width 512, and none above it."""

    def spike(width: float, log2_lr: float, seed: int, own: float) -> float:
        return 10.8 if (width, log2_lr) == (512.0, -6.0) and seed else own

    table = changed(planted(0.5, seeds=3), spike)
    (note,) = notes_of(table)
    assert "the loss of 8.125 at 2^-6 (0.01562) (neighboring rates: 2.7" in note
    assert group_of(table).optimum[-1].log2_lr.value == pytest.approx(-6.2, abs=0.06)


def test_negative_losses_are_compared_alike() -> None:
    """A log-likelihood ratio may be negative; only differences count."""
    table = blown_up(planted(), 10.8, 1.2)
    shifted = changed(table, lambda width, log2_lr, seed, own: own - 20.0)
    before, after = group_of(table), group_of(shifted)
    for old, new in zip(before.optimum, after.optimum, strict=True):
        assert new.log2_lr.value == pytest.approx(old.log2_lr.value, abs=1e-9)


def test_a_seed_that_fails_at_the_edge_diverged() -> None:
    """Below a plateau one seed of two fails first: the other one's loss is no mean."""
    table = blown_up(planted(), 10.8, 2.5)

    def first(width: float, log2_lr: float, seed: int, own: float) -> float:
        return 10.8 if log2_lr == -4.0 and seed == 0 else own

    partly = group_of(changed(table, first))
    nan = group_of(blown_up(table, NAN, 2.1))
    assert partly.optimum == nan.optimum


def test_heavy_tails_are_noise_and_not_outliers() -> None:
    """Negative control: where a third of the runs is far off, none is left out."""
    rng = np.random.default_rng(3)

    def scattered(width: float, log2_lr: float, seed: int, own: float) -> float:
        return own + (rng.uniform(0.0, 0.5) if seed else 0.0)

    assert notes_of(changed(planted(), scattered)) == ()


def test_the_interval_of_a_skewed_curve_on_an_octave_grid_holds_the_truth() -> None:
    """Three rates show no skew; the parabola's minimum lies 0.12 octaves too low, far from zero."""

    def steep(width: float, log2_lr: float, seed: int, own: float) -> float:
        u = log2_lr + 6.0
        noise = 0.004 * ((hash((width, log2_lr, seed)) % 7) / 3 - 1)
        return best_loss(width) + 0.16 * (math.expm1(0.87 * u) - 0.87 * u) + noise

    table = changed(planted(), steep)
    group = group_of(table)
    assert group.scaling.is_skewed
    for optimum in group.optimum:
        assert optimum.log2_lr.value < -6.05
        assert optimum.log2_lr.low <= -6.0 <= optimum.log2_lr.high
    rate = predict(Results.from_columns(table), width=4096).log2_lr
    assert rate.low <= -6.0 <= rate.high
