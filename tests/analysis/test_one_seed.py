"""One seed: the noise is what smooth curves leave of the losses, and intervals cover."""

import math

import numpy as np
import pytest
from planted_surfaces import LN2, WIDTHS, best_loss, columns, quadratic, surface, together

from mutransfer.analysis import GroupReport, Results, analyze
from mutransfer.analysis.curves.fit import fit_curve
from mutransfer.analysis.curves.grid import loss_grids
from mutransfer.analysis.curves.one_seed import noise_of_curves
from mutransfer.analysis.format import AxisNames
from mutransfer.analysis.types.estimates import Estimate

HALVES = tuple(np.arange(-10.0, -2.0, 0.5))
OCTAVES = tuple(np.arange(-10.0, -1.0))
SIX = (*WIDTHS, 1024.0, 2048.0)
SMOOTH = "one seed: the noise is that of the losses about smooth curves"


def planted(index: int, **settings: object) -> Results:
    """Return a noisy surface of one seed; the optimum lies anywhere between two rates."""
    rng = np.random.default_rng(index)
    drift, best = settings.pop("drift", 0.0), -6.0 + rng.uniform(-0.5, 0.5)
    chosen = {"log2_lr": HALVES, "sd_within": 0.004, "sd_seed": 0.02, **settings}
    return surface(quadratic(log2_best=best, drift=drift), rng=rng, **chosen)


def best_rate(index: int) -> float:
    return -6.0 + np.random.default_rng(index).uniform(-0.5, 0.5)


def only_group(results: Results, **settings: float) -> GroupReport:
    return analyze(results, **settings)["all"]


def share_covered(pairs: list[tuple[Estimate, float]]) -> float:
    """Return how many of the intervals contain the truth; a missing one does not."""
    covered = [
        e.low is not None and e.high is not None and e.low <= truth <= e.high for e, truth in pairs
    ]
    return float(np.mean(covered))


@pytest.mark.parametrize(
    ("log2_lr", "drift"), [(HALVES, 0.0), (OCTAVES, -0.2), (HALVES[4:13], -0.2)]
)
def test_intervals_of_one_seed_cover(log2_lr: tuple[float, ...], drift: float) -> None:
    rates, drifts, upper, lower = [], [], [], []
    truth = 0.5 * 0.3 * (3 * drift * LN2) ** 2
    for index in range(60):
        group = only_group(planted(index, log2_lr=log2_lr, drift=drift), seed=index)
        best = best_rate(index)
        rates += [(o.log2_lr, best + drift * k) for k, o in enumerate(group.optimum)]
        drifts.append((group.drift, drift))
        upper.append(group.regret.high is not None and truth <= group.regret.high)
        lower.append(group.regret.low is not None and group.regret.low <= truth + 1e-12)
    assert 0.85 < share_covered(rates) < 0.97
    assert share_covered(drifts) > 0.84
    assert np.mean(upper) > 0.9
    assert np.mean(lower) > 0.85


@pytest.mark.slow
@pytest.mark.parametrize("log2_lr", [HALVES, OCTAVES])
def test_at_the_threshold_a_verdict_is_false_as_seldom_as_promised(
    log2_lr: tuple[float, ...],
) -> None:
    """Either verdict is an error there, and each bound promises 95 %."""
    share = 0.5 * 0.3 * (3 * 0.2 * LN2) ** 2 / best_loss(WIDTHS[-1])
    settings = {"log2_lr": log2_lr, "drift": -0.2, "sd_within": 0.01}
    verdicts = [
        only_group(planted(index, **settings), threshold=share, seed=index).verdict
        for index in range(400)
    ]
    assert verdicts.count("transfers") < 0.08 * 400
    assert verdicts.count("does not transfer") < 0.08 * 400


@pytest.mark.parametrize(("log2_lr", "freedom"), [(HALVES, 20), (OCTAVES, 4)])
def test_the_noise_of_single_runs_is_estimated_without_bias(
    log2_lr: tuple[float, ...], freedom: int
) -> None:
    """Nine half octaves or five octaves less the four coefficients of a cubic, at four widths."""
    axes, variances = AxisNames("width", "lr"), []
    for index in range(300):
        results = planted(index, log2_lr=log2_lr)
        (grids,) = loss_grids(results, axes, ()).values()
        noise = noise_of_curves([fit_curve(grid, axes) for grid in grids])
        assert noise is not None
        assert noise.df_within == freedom
        variances.append(noise.within)
    assert np.mean(variances) == pytest.approx(0.004**2, rel=0.1)


def test_what_shifts_a_whole_curve_changes_no_interval_of_a_rate() -> None:
    """A seed may shift every width by any amount: rates, drift and regret stay as they are."""
    results = planted(0)
    shift = {64.0: 0.3, 128.0: -0.2, 256.0: 0.05, 512.0: -0.1}
    width_N = np.array(results.axes["width"])
    moved = Results.from_columns(
        {**results.axes, "loss": (results.loss + [shift[n] for n in width_N]).tolist()}
    )
    a, b = only_group(results), only_group(moved)
    for ours, theirs in [
        (a.drift, b.drift),
        (a.regret, b.regret),
        *zip([o.log2_lr for o in a.optimum], [o.log2_lr for o in b.optimum], strict=True),
    ]:
        assert [ours.low, ours.high] == pytest.approx([theirs.low, theirs.high], abs=1e-9)


def test_the_loss_has_no_interval_where_a_shift_cannot_be_seen() -> None:
    group = only_group(planted(0))
    reason = (
        "one seed: how much it shifts a whole curve can only be estimated from the scatter of best "
        "losses about their law, which needs 5 values of width with an optimum, and there are 4: "
        "add seeds"
    )
    for estimate in (group.optimum[0].loss, group.scaling.bands[0].loss):
        assert estimate.value == pytest.approx(best_loss(64.0), abs=0.05)
        assert (estimate.low, estimate.high, estimate.undetermined) == (None, None, reason)
    tables = [
        columns(quadratic(), log2_lr=HALVES, sd_within=0.004, group=name) for name in ("a", "b")
    ]
    tables[1]["loss"] = [loss + 0.01 for loss in tables[1]["loss"]]
    (comparison,) = analyze(together(*tables)).comparisons
    assert comparison.difference == Estimate(pytest.approx(0.01), undetermined=reason)


def test_the_scatter_of_best_losses_about_their_law_gives_their_interval() -> None:
    """Six widths leave three degrees of freedom; a seed shifts each of them by 0.02."""
    losses, exponents, lengths = [], [], []
    for index in range(60):
        group = only_group(planted(index, widths=SIX), seed=index)
        losses += [(o.loss, best_loss(o.width)) for o in group.optimum]
        exponents.append((group.laws.alpha, 0.5))
        lengths += [float(o.loss.high) - float(o.loss.low) for o in group.optimum]
    assert 0.85 < share_covered(losses) < 0.98
    assert share_covered(exponents) > 0.84
    assert 0.04 < np.median(lengths) < 0.12
    assert group.scaling.errors.noise_floor.undetermined == (
        "one seed: noise cannot be distinguished from a misfit of the laws: add seeds"
    )


def test_the_reason_and_a_note_say_where_the_noise_is_from() -> None:
    report = analyze(planted(1))
    group = report["all"]
    assert group.verdict == "transfers"
    assert group.reason.endswith(f", no more than the threshold of 1 %; {SMOOTH}")
    assert report.notes == (
        f"{SMOOTH}, which makes intervals longer, and the best losses of single sizes have none: "
        "add seeds",
    )
    drifting = only_group(planted(1, drift=-0.8))
    assert drifting.verdict == "does not transfer"
    assert drifting.reason.endswith(f", more than the threshold of 1 %; {SMOOTH}")


def test_three_rates_leave_no_noise_to_estimate() -> None:
    group = only_group(planted(0, log2_lr=(-7.0, -6.0, -5.0)))
    reason = (
        "one seed, and the rates near the best ones are too few to estimate the noise from 4 "
        "curves: add seeds, or rates near the best"
    )
    assert (group.verdict, group.reason) == ("undetermined", reason)
    assert group.optimum[0].log2_lr.value is not None
    assert group.optimum[0].log2_lr.undetermined == reason


def test_skew_is_not_taken_for_noise() -> None:
    """Curves without any noise, 2.4 times as steep above the best rate: a parabola misses them."""

    def loss(width: float, log2_lr: float) -> float:
        u = 0.87 * (log2_lr + 6.1)
        return best_loss(width) + 0.16 * (math.expm1(u) - u)

    group = only_group(surface(loss, log2_lr=HALVES))
    assert group.verdict == "transfers"
    assert group.scaling.skew.low > 0.1
    for optimum in group.optimum:
        assert optimum.log2_lr.low < -6.1 < optimum.log2_lr.high


def test_one_width_with_repeated_seeds_gives_the_noise_of_all() -> None:
    """The others have one seed: their intervals, and those of losses, are as with repeated ones."""
    rng, settings = np.random.default_rng(0), {"log2_lr": HALVES, "sd_within": 0.004}
    few = columns(quadratic(), WIDTHS[:1], seeds=4, sd_seed=0.02, rng=rng, **settings)
    one = columns(quadratic(), WIDTHS[1:], sd_seed=0.02, rng=rng, **settings)
    report = analyze(together(few, one))
    assert report.notes == ()
    assert all(optimum.loss.low is not None for optimum in report["all"].optimum)
    assert SMOOTH not in report["all"].reason
