"""The numbers of the figures of a comparison with a paper."""

from __future__ import annotations

import pytest
from comparison_cases import comparison, four_studies, number, paper, row

from mutransfer.report.figures.numbers.studies import (
    STATES,
    StudyMark,
    study_domain,
    study_marks,
)


def marks(quantity) -> dict[tuple[str, str], StudyMark]:
    found = study_marks(four_studies()["studies"], quantity)
    return {(mark.name, mark.source): mark for mark in found}


def test_regrets_are_in_percent_with_their_bounds() -> None:
    regrets = marks("regret")
    ours, theirs = regrets["gains", "ours"], regrets["gains", "paper"]
    assert (ours.value, ours.low, ours.high) == pytest.approx((3.1, 2.8, 3.4))
    assert (STATES[ours.state], ours.is_unbounded) == ("does not transfer", False)
    assert STATES[theirs.state] == "paper"
    assert ours.text == "3.1 % [2.8 %, 3.4 %] at width 128"
    assert (theirs.value, theirs.low, theirs.high) == pytest.approx((2.04, 2.04, 2.04))
    assert theirs.text == "2.04 % at width 2048, one seed"
    assert ("new", "paper") not in regrets
    assert ("flat", "paper") not in regrets  # a verdict without cells


def test_a_regret_with_a_lower_bound_only_is_drawn_from_there() -> None:
    bound = marks("regret")["flat", "ours"]
    assert (bound.value, bound.low, bound.is_unbounded) == pytest.approx((0.4, 0.4, True))
    assert bound.text == "at least 0.4 % [0.4 %, unbounded] at width 128"


def test_the_papers_drift_is_the_slope_of_its_best_rates() -> None:
    """Two octaves lower over four octaves of width."""
    drifts = marks("drift")
    assert drifts["gains", "paper"].value == -0.5
    assert drifts["gains", "paper"].text == "−0.500 from width 128 to 2048"
    assert drifts["gains", "ours"].text == "−0.600 [−0.700, −0.500]"
    assert STATES[drifts["gains", "ours"].state] == "does not transfer"
    assert ("flat", "ours") not in drifts


def test_a_vast_regret_is_cut_and_a_small_one_leaves_room_for_the_threshold() -> None:
    vast = comparison(row("sp", "agrees", "does not transfer", paper("transfers", share=9.0)))
    assert study_domain(study_marks(vast["studies"], "regret"), "regret") == (-0.1, 300.0)
    small = comparison(row("a", "agrees", "transfers", None, share=number(0.0, 0.0, 0.001)))
    assert study_domain(study_marks(small["studies"], "regret"), "regret") == (-0.1, 3.0)


def test_the_axis_of_drift_is_symmetric_and_cuts_vast_intervals() -> None:
    wide = comparison(
        row("a", "agrees", "transfers", None, drift=number(-0.8, -50.0, 50.0)),
    )
    low, high = study_domain(study_marks(wide["studies"], "drift"), "drift")
    assert (low, high) == pytest.approx((-1.76, 1.76))
