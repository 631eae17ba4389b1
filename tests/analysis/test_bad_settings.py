"""Invalid settings of an analysis are errors of three lines."""

import pytest
from planted_surfaces import columns, quadratic
from test_bad_results import message

from mutransfer.analysis import Results, analyze


@pytest.mark.parametrize("threshold", [0.0, 1.0, float("nan")])
def test_a_threshold_must_lie_between_0_and_1(threshold: float) -> None:
    results = Results.from_columns(columns(quadratic()))
    assert message(lambda: analyze(results, threshold=threshold)) == (
        f"the threshold is {threshold:g}\n"
        "  why: it is a share of the loss: 0.01 allows the carried rate to cost one percent\n"
        "  fix: --threshold 0.01 (in Python: threshold=0.01)"
    )


def test_too_few_draws_are_an_error() -> None:
    results = Results.from_columns(columns(quadratic()))
    assert message(lambda: analyze(results, draws=100)) == (
        "draws=100 is fewer than 1000\n"
        "  why: the ends of the intervals would change from seed to seed\n"
        "  fix: draws=1000"
    )
