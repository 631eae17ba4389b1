"""Our verdicts on planted surfaces beside the published ones."""

from collections.abc import Sequence

import numpy as np
import pytest
from planted_surfaces import columns, quadratic

from mutransfer.analysis import GroupReport, Results, analyze
from mutransfer.literature import Agreement, agreement, published_experiment

LIMIT = 0.01


ONE_SEED = (
    "one seed, and the rates near the best ones are too few to estimate the noise from 4 curves: "
    "add seeds, or rates near the best"
)


def group(
    *,
    drift: float = 0.0,
    curvature: float = 0.3,
    seeds: int = 3,
    log2_best: float = -6.2,
    log2_lr: Sequence[float] = tuple(range(-11, -1)),
) -> GroupReport:
    """Analyze planted parabolas over four widths whose minimum moves by `drift`."""
    loss = quadratic(drift=drift, curvature=curvature, log2_best=log2_best)
    rng = np.random.default_rng(3)
    table = columns(loss, log2_lr=log2_lr, seeds=seeds, sd_within=0.002, sd_seed=0.01, rng=rng)
    return analyze(Results.from_columns(table), threshold=LIMIT)["all"]


@pytest.fixture(scope="module")
def steady() -> GroupReport:
    """The best rate stays."""
    return group()


@pytest.fixture(scope="module")
def falling() -> GroupReport:
    """The best rate halves with every doubling of the width."""
    return group(drift=-1.0)


def judge(name: str, report: GroupReport) -> Agreement:
    return agreement(published_experiment(name), report, threshold=LIMIT)


def test_a_planted_transfer_agrees_with_a_published_one(steady: GroupReport) -> None:
    assert steady.verdict == "transfers"
    answer = judge("baseline", steady)
    assert (answer.outcome, answer.cause) == ("agrees", "")
    assert answer.why == (
        f"both transfer: the regret is at most {100 * steady.regret_share.high:.3g} % here, and "
        "0 % in the paper"
    )
    assert judge("swiglu", steady).why.endswith("here; the paper publishes no regret")


def test_a_planted_drift_agrees_with_a_published_one(falling: GroupReport) -> None:
    assert falling.verdict == "does not transfer"
    answer = judge("rmsnorm_gains_vector", falling)
    assert answer.outcome == "agrees"
    assert answer.why == (
        f"neither transfers: the regret is at least {100 * falling.regret_share.low:.3g} % here, "
        "and 2.04 % in the paper"  # 0.052 of 2.553
    )


def test_a_drift_in_the_other_direction_is_named(falling: GroupReport) -> None:
    """The paper's best rate of Lion rises with width."""
    answer = judge("lion", falling)
    assert answer.outcome == "agrees"
    assert answer.why.endswith("; but the best rate falls with width here, and rises in the paper")


def test_a_planted_drift_disagrees_with_a_published_transfer(falling: GroupReport) -> None:
    """Negative control: the baseline of the paper transfers."""
    answer = judge("baseline", falling)
    assert (answer.outcome, answer.cause) == ("disagrees", "results")
    assert answer.why.endswith(
        "and 0 % in the paper; the paper's widths are 128 to 2048, ours 64 to 512"
    )


def test_a_drift_below_the_step_of_the_papers_grid_is_named() -> None:
    """With a sharp minimum, a drift that the paper's grid cannot show is expensive."""
    report = group(drift=-0.25, curvature=0.6)
    assert report.verdict == "does not transfer"
    answer = judge("baseline", report)
    assert answer.outcome == "disagrees"
    assert "is 1 octaves over the paper's widths, less than the step of its grid, 2, " in answer.why
    assert answer.why.endswith("so the paper's grid could have missed it")


def test_a_regret_below_our_threshold_in_the_paper_is_a_difference_of_criteria(
    steady: GroupReport,
) -> None:
    """Lion: the best rate moves on the grid of the paper, at a cost of 0.008 of 2.511 nats."""
    answer = judge("lion", steady)
    assert (answer.outcome, answer.cause) == ("disagrees", "criterion")
    assert "here, and 0.319 % in the paper; the paper counts" in answer.why
    assert answer.why.endswith(
        "the paper counts any move of the best rate on its grid, also a cheap one"
    )


def test_equal_regrets_over_widths_as_far_apart_are_a_difference_of_widths(
    steady: GroupReport,
) -> None:
    """Vector gains: the best rate of the paper moves beyond width 512 only."""
    answer = judge("rmsnorm_gains_vector", steady)
    assert (answer.outcome, answer.cause) == ("disagrees", "widths")
    assert "here, and 2.04 % in the paper; from width 128 to 512, as far apart as" in answer.why
    assert answer.why.endswith("as ours, it is 0 % there")


def test_a_regret_that_the_paper_does_not_publish_leaves_a_difference_of_results(
    steady: GroupReport,
) -> None:
    answer = judge("attention_scale", steady)
    assert (answer.outcome, answer.cause) == ("disagrees", "results")
    assert answer.why.endswith("the paper's widths are 128 to 2048, ours 64 to 512")


def test_a_best_tried_rate_that_moves_without_cost_is_a_difference_of_criteria() -> None:
    """By the paper's criterion this planted surface does not transfer either."""
    report = group(drift=-0.4, curvature=0.01, log2_best=-6.0)
    assert report.verdict == "transfers"
    assert report.paper_criterion is False
    answer = judge("attention_scale", report)
    assert (answer.outcome, answer.cause) == ("disagrees", "criterion")
    assert "the best tried rate moves here too: 2^-6, " in answer.why


def test_without_noise_to_estimate_nothing_is_determined_here() -> None:
    report = group(seeds=1, log2_lr=(-7, -6, -5))
    assert judge("baseline", report) == Agreement("undetermined here", ONE_SEED)


def test_what_the_paper_does_not_report_is_neither_confirmed_nor_refuted(
    steady: GroupReport,
) -> None:
    assert judge("qk_norm", steady).outcome == "not reported by the paper"
    assert "only the script is public" in judge("qk_norm", steady).why
    one_seed = judge("qk_norm", group(seeds=1, log2_lr=(-7, -6, -5))).why
    assert one_seed.endswith(f"; here: {ONE_SEED}")
    missing = agreement(None, steady, threshold=LIMIT)
    assert (missing.outcome, missing.why) == (
        "not reported by the paper",
        "the paper has no such experiment",
    )
