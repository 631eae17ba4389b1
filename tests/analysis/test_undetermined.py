"""A number that could not be estimated is undetermined, with the reason and what to add."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from planted_surfaces import best_loss, columns, quadratic, surface, together, with_losses

from mutransfer.analysis import GroupReport, Results, analyze, predict


def noisy(drift: float = 0.0, log2_best: float = -6.2, **more: object) -> Results:
    settings: dict[str, object] = {"seeds": 3, "sd_within": 0.01, "sd_seed": 0.03}
    loss = quadratic(drift=drift, log2_best=log2_best)
    return surface(loss, rng=np.random.default_rng(3), **(settings | more))


QUIET = {"sd_within": 0.001, "sd_seed": 0.003}


def only_group(results: Results) -> GroupReport:
    return analyze(results)["all"]


def test_one_seed_of_few_rates_gives_values_without_intervals() -> None:
    group = only_group(surface(quadratic(drift=-0.25), log2_lr=(-8, -7, -6, -5)))
    reason = (
        "one seed, and the rates near the best ones are too few to estimate the noise from 4 "
        "curves: add seeds, or rates near the best"
    )
    assert (group.verdict, group.reason) == ("undetermined", reason)
    for estimate in (group.drift, group.regret, group.optimum[0].log2_lr, group.optimum[0].loss):
        assert estimate.value is not None
        assert (estimate.low, estimate.high, estimate.undetermined) == (None, None, reason)
    assert group.paper_criterion is False


def test_seeds_that_share_no_rate_are_not_two_seeds() -> None:
    """Even rates with one seed, odd ones with another: what these differ by is noise of the curves.

    It hides the minimum here.
    """
    table = columns(quadratic())
    table["seed"] = [round(math.log2(lr)) % 2 for lr in table["lr"]]
    table["loss"] = [loss + 0.2 * s for loss, s in zip(table["loss"], table["seed"], strict=True)]
    group = only_group(Results.from_columns(table))
    assert group.verdict == "undetermined"
    assert "the noise hides the minimum" in group.reason


ONLY_64 = "only one value of width (64) has results: run larger ones"


def test_one_width_gives_no_verdict() -> None:
    group = only_group(noisy(widths=(64.0,)))
    assert (group.verdict, group.reason) == ("undetermined", ONLY_64)
    for estimate in (group.drift, group.regret, group.regret_share, group.grid_regret):
        assert estimate.undetermined == ONLY_64
    assert group.optimum[0].log2_lr.low is not None
    assert group.paper_criterion is None


def test_one_rate_gives_no_verdict() -> None:
    group = only_group(noisy(log2_lr=[-6]))
    reason = "one rate at width 64: add rates on both sides of 2^-6 (0.01562)"
    assert (group.verdict, group.reason) == ("undetermined", reason)
    assert group.drift.undetermined == reason


def test_if_every_rate_diverged_there_is_no_verdict() -> None:
    group = only_group(with_losses(noisy(), lambda width, log2_lr, loss: None))
    reason = "every rate diverged at width 64: add rates below 2^-11 (0.0004883)"
    assert (group.verdict, group.reason) == ("undetermined", reason)
    assert group.grid_regret.undetermined == reason
    assert group.paper_criterion is None
    assert group.curves[0].num_diverged == (3,) * 10
    assert all(math.isnan(loss) for loss in group.curves[0].loss)


def test_if_the_largest_width_diverged_the_drift_is_that_of_the_others() -> None:
    group = only_group(with_losses(noisy(), lambda w, k, loss: None if w == 512 else loss))
    reason = "every rate diverged at width 512: add rates below 2^-11 (0.0004883)"
    assert (group.verdict, group.reason) == ("undetermined", reason)
    assert group.drift.undetermined == f"{reason}; the value is from the other 3"
    assert group.drift.value == pytest.approx(0.0, abs=0.1)


def test_a_minimum_on_the_lower_edge_asks_for_lower_rates() -> None:
    group = only_group(noisy(drift=1.0, log2_best=-9.9, log2_lr=range(-10, -3)))
    reason = "minimum on the edge of the grid at width 64: add rates below 2^-10 (0.0009766)"
    assert (group.verdict, group.reason) == ("undetermined", reason)
    assert group.optimum[0].edge == "low"
    assert group.optimum[0].grid_log2_lr == -10


def test_equal_losses_at_every_rate_ask_for_no_other_rates() -> None:
    """All runs ended at ln 256, the loss of a uniform guess; three seeds round their mean."""
    flat = with_losses(noisy(), lambda w, k, loss: math.log(256))
    assert only_group(flat).reason == (
        "the loss is 5.545 at every rate at width 64: "
        "nothing was learned, or the column holds another number"
    )


def test_a_minimum_on_the_upper_edge_asks_for_higher_rates() -> None:
    group = only_group(noisy(log2_lr=range(-12, -6)))
    assert group.optimum[0].edge == "high"
    assert (
        group.reason
        == "minimum on the edge of the grid at width 64: add rates above 2^-7 (0.007812)"
    )


def test_a_minimum_on_the_edge_of_the_largest_width_still_bounds_the_regret() -> None:
    """The best loss is at most the grid's, so the regret is at least what the grid shows."""
    loss = quadratic(drift=-1.5)
    group = only_group(noisy(drift=-1.5, log2_lr=range(-10, -3), **QUIET))
    grid_regret = loss(512.0, -6.2) - loss(512.0, -10)
    assert group.verdict == "does not transfer"
    assert group.regret.value is None
    assert group.regret.high is None
    assert group.regret.low == pytest.approx(grid_regret, rel=0.02)
    edge = "minimum on the edge of the grid at width 512: add rates below 2^-10 (0.0009766)"
    assert group.regret.undetermined == edge


def test_a_carried_rate_that_diverges_bounds_the_regret_from_below() -> None:
    """A diverged run is at least as bad as the worst run at its width, here that at 2^-11."""
    results = with_losses(
        noisy(drift=-1.0, **QUIET),
        lambda width, log2_lr, loss: None if log2_lr > -5 - math.log2(width / 64) else loss,
    )
    group = only_group(results)
    loss = quadratic(drift=-1.0)
    assert group.verdict == "does not transfer"
    assert group.regret.value is None
    assert group.regret.low == pytest.approx(loss(512.0, -11) - best_loss(512.0), abs=0.01)
    assert group.regret.undetermined == (
        "the carried rate 2^-6.2 (0.01358) is at or next to 2^-6 (0.01562), which diverged at "
        "width 512, so the regret has a lower bound only: add rates in between"
    )
    assert group.grid_regret.undetermined == (
        "2^-6 diverged at width 512, so the regret has a lower bound only"
    )


def test_a_diverged_run_is_at_least_as_bad_as_no_training() -> None:
    """If the untrained loss is recorded; else it is at least as bad as the worst other run."""
    results = with_losses(
        noisy(drift=-1.0, log2_best=-5.8, **QUIET),
        lambda width, log2_lr, loss: None if log2_lr > -5 - math.log2(width / 64) else loss,
    )
    loss = quadratic(drift=-1.0, log2_best=-5.8)
    before = only_group(results).regret.low
    results.untrained_loss[:] = 5.5
    after = only_group(results).regret.low
    assert before == pytest.approx(loss(512.0, -11) - best_loss(512.0), abs=0.01)
    assert after == pytest.approx(5.5 - best_loss(512.0), abs=0.01)


def test_a_carried_rate_beyond_the_rates_tried_bounds_the_regret_from_below() -> None:
    loss = quadratic(drift=-2.0)
    near = columns(loss, (64.0,), range(-9, -3), seeds=3, sd_within=0.01)
    far = columns(loss, (512.0,), range(-15, -8), seeds=3, sd_within=0.01)
    group = only_group(together(near, far))
    assert group.verdict == "does not transfer"
    assert group.regret.low == pytest.approx(loss(512.0, -9) - best_loss(512.0), abs=0.05)
    assert group.regret.high is None
    assert group.regret.undetermined == (
        "the carried rate 2^-6.19 (0.01374) lies outside the rates tried at width 512, "
        "so the regret has a lower bound only: add rates up to it"
    )
    assert group.grid_regret.undetermined == "2^-6 (0.01562) was not tried at width 512: add it"


def test_a_diverged_neighbour_brackets_the_minimum() -> None:
    """The optimum is not on an edge: the three nearest rates are fitted, and a note says so."""
    results = with_losses(surface(quadratic()), lambda w, k, x: None if k > -6 else x)
    group = only_group(results)
    for optimum, curve in zip(group.optimum, group.curves, strict=True):
        assert optimum.edge is None
        assert optimum.log2_lr.value == pytest.approx(-6.2, abs=1e-9)
        assert curve.window == (-8, -6)
        assert curve.note == "one-sided window: 2^-5 diverged"


def test_a_minimum_beyond_the_diverged_neighbour_is_undetermined() -> None:
    """Losses that fall straight into a cliff have no minimum that a parabola could locate."""
    group = only_group(surface(lambda w, k: 3.0 + 0.01 * (k - 4.0) ** 2 if k < -5 else math.nan))
    assert group.optimum[0].edge is None
    assert group.reason == (
        "the fitted minimum lies outside the rates near 2^-6 (0.01562) at width 64: "
        "add rates between it and the diverged 2^-5 (0.03125)"
    )


def test_losses_that_do_not_curve_upwards_have_no_optimum() -> None:
    """The losses fall along a concave slope until they diverge."""
    group = only_group(surface(lambda w, k: 3.0 - 0.01 * (k + 12) ** 2 if k < -5 else math.nan))
    assert group.reason == (
        "the losses near 2^-6 (0.01562) do not curve upwards at width 64: add seeds, or rates "
        "further away"
    )


def test_two_rates_next_to_a_diverged_one_have_no_optimum() -> None:
    table = columns(quadratic(), log2_lr=(-7, -6, -5))
    results = with_losses(Results.from_columns(table), lambda w, k, x: None if k > -6 else x)
    assert only_group(results).reason == (
        "fewer than three rates did not diverge at width 64: add rates near 2^-6 (0.01562)"
    )


def test_a_rate_with_a_diverged_seed_is_excluded_from_the_fit() -> None:
    """The mean over the seeds that survived would be too good."""
    results = noisy()
    first = next(
        row
        for row, (width, lr) in enumerate(
            zip(results.axes["width"], results.axes["lr"], strict=True)
        )
        if width == 64.0 and lr == 2.0**-6
    )
    results.loss[first], results.diverged[first] = math.nan, True
    curve = only_group(results).curves[0]
    index = curve.log2_lr.index(-6)
    assert math.isnan(curve.loss[index])
    assert curve.num_diverged[index] == 1
    assert [math.isnan(x) for x in curve.seed_losses[index]] == [True, False, False]


def test_an_optimum_hidden_by_noise_has_no_interval() -> None:
    group = only_group(noisy(sd_within=0.1))
    unstable = [o for o in group.optimum if o.log2_lr.undetermined]
    assert unstable
    assert unstable[0].log2_lr.value is not None
    assert unstable[0].log2_lr.low is None
    reason = unstable[0].log2_lr.undetermined
    assert reason is not None
    assert reason.startswith(f"the noise hides the minimum at width {unstable[0].width:g} in ")
    assert reason.endswith(" % of the draws: add seeds, or rates further from the best")


def test_a_threshold_inside_the_interval_gives_no_verdict() -> None:
    """The data allow both verdicts; more seeds would decide."""
    results = noisy(drift=-0.2)
    share = only_group(results).regret_share.value
    assert share is not None
    group = analyze(results, threshold=share)["all"]
    assert group.verdict == "undetermined"
    assert group.reason.startswith("carrying 2^-6.")
    assert group.reason.endswith(
        f" %, on both sides of the threshold of {100 * share:.3g} %: add seeds"
    )


def test_a_loss_that_is_not_positive_has_no_share() -> None:
    group = only_group(with_losses(noisy(), lambda w, k, loss: loss - 10.0))
    assert group.reason == (
        "the loss is not positive at width 512, so a share of it has no meaning: "
        "use a positive loss, such as 1 - accuracy"
    )
    assert group.regret.high is not None


@pytest.mark.parametrize("num_widths", [1, 3])
def test_losses_with_a_maximum_are_probably_a_score(num_widths: int) -> None:
    """An accuracy is best at its maximum; a loss that saturates at large rates is none."""
    widths = (64.0, 128.0, 256.0)[:num_widths]
    score = surface(lambda w, k: 0.6 - 0.01 * (k + 6.2) ** 2, widths=widths, seeds=2)
    group = only_group(score)
    assert group.reason.startswith(
        "only one value" if num_widths == 1 else "the losses have a maximum instead of a minimum"
    )
    reason = group.optimum[0].log2_lr.undetermined
    assert reason is not None
    assert reason.endswith("map an error instead, such as 1 - accuracy")
    assert "1 - accuracy" in str(predict(score, width=4096).lr.undetermined)
    plateau = surface(lambda w, k: min(4.0, 2.0 + 0.4 * (k + 11)) + 0.01 * (k % 2), widths=widths)
    assert "edge of the grid" in str(only_group(plateau).optimum[0].loss.undetermined)


def test_two_widths_have_a_drift_but_no_sensitivity() -> None:
    group = only_group(noisy(widths=(64.0, 256.0)))
    assert group.drift.low is not None
    assert group.sensitivity.undetermined == (
        "leaving one out needs an optimum at 3 values of width, and there are 2: add 1"
    )


def test_leaving_one_width_out_moves_the_drift_in_its_range() -> None:
    """One optimum is shifted by an octave; numpy fits the slopes without each width."""
    shift = {64.0: 0.0, 128.0: 1.0, 256.0: 0.0, 512.0: 0.0}
    group = only_group(surface(lambda w, k: 3.0 + 0.1 * (k + 6.2 - shift[w]) ** 2))
    log2_width, best = np.log2(list(shift)), np.array(list(shift.values()))
    slopes = [
        np.polyfit(np.delete(log2_width, k), np.delete(best, k), 1)[0] for k in range(len(best))
    ]
    assert group.sensitivity.low == pytest.approx(min(slopes), abs=1e-9)
    assert group.sensitivity.high == pytest.approx(max(slopes), abs=1e-9)


def test_another_scale_and_hyperparameter_are_named_in_the_reasons() -> None:
    table = columns(quadratic(), widths=(2.0, 4.0), log2_lr=(-7, -6))
    renamed = {"depth": table["width"], "decay": table["lr"], "loss": table["loss"]}
    report = analyze(Results.from_columns(renamed), scale="depth", hyperparameter="decay")
    assert report["all"].reason == (
        "minimum on the edge of the grid at depth 2: add values of decay above 2^-6 (0.01562)"
    )
    assert (report.scale, report.hyperparameter) == ("depth", "decay")


@pytest.mark.parametrize(("unit", "cost"), [("nats", " nats ("), (None, " (")])
def test_a_verdict_names_the_unit_of_the_loss_only_where_it_is_known(
    unit: str | None, cost: str
) -> None:
    """A user's column may hold bits or error rates; the JSON is the same with and without."""
    report = analyze(replace(noisy(drift=-1.0), loss_unit=unit))
    assert report.loss_unit == unit
    claim = r"carrying 2\^-6\.\d+ \(0\.\d+\) from width 64 to 512 raises the loss by "
    assert re.match(claim + r"at least [\d.]+" + re.escape(cost), report["all"].reason)
    assert "loss_unit" not in report.to_json()
