"""Held-out checks: what would have been predicted without the largest size, and what was run."""

import math

import numpy as np
import pytest
from planted_surfaces import LN2, columns, quadratic, together

from mutransfer.analysis import Results, analyze, hold_out, predict
from mutransfer.errors import ResultsError

WIDTHS = (64.0, 128.0, 256.0, 512.0, 1024.0)
RATES = tuple(np.arange(-11.0, -2.0, 0.5))
NOISE = {"sd_within": 0.002, "sd_seed": 0.004}
CURVATURE = 0.3


def table(widths=WIDTHS, *, drift=-0.2, rates=RATES, group=None, moved=0.0, seeds=2):
    """Return losses whose optimum at the largest width lies `moved` octaves off the law."""
    rng = np.random.default_rng(0)
    law = quadratic(drift=drift, curvature=CURVATURE)

    def loss(width: float, log2_lr: float) -> float:
        return law(width, log2_lr - (moved if width == widths[-1] else 0.0))

    return columns(loss, widths, rates, seeds, rng=rng, group=group, **NOISE)


def only_cell(check):
    (cell,) = check.cells
    return cell


def test_the_prediction_is_that_of_the_runs_without_the_largest() -> None:
    (check,) = hold_out(Results.from_columns(table()))
    cell = only_cell(check)
    kept = {
        name: [value for value, width in zip(values, table()["width"], strict=True) if width < 1024]
        for name, values in table().items()
    }
    expected = predict(Results.from_columns(kept), width=1024)
    assert cell.prediction.log2_lr == expected.log2_lr
    assert cell.prediction.loss == expected.loss
    assert (check.value, check.kept, check.undetermined) == (1024, WIDTHS[:-1], None)


def test_observed_numbers_are_those_of_the_analysis() -> None:
    results = Results.from_columns(table())
    cell, optimum = only_cell(hold_out(results)[0]), analyze(results)["all"].optimum[-1]
    assert cell.log2_lr == optimum.log2_lr
    assert cell.loss == optimum.loss
    assert cell.rate_error.value == cell.prediction.log2_lr.value - optimum.log2_lr.value
    share = cell.prediction.loss.value / optimum.loss.value - 1
    assert cell.loss_error.value == pytest.approx(share, rel=1e-9)


def test_the_held_out_runs_do_not_reach_the_prediction() -> None:
    """Moving the largest curve by 1.5 octaves, three steps of the grid, moves the error alone."""
    at_law, moved = (
        only_cell(hold_out(Results.from_columns(table(moved=octaves)))[0]) for octaves in (0, 1.5)
    )
    assert at_law.prediction.log2_lr == moved.prediction.log2_lr
    difference = at_law.rate_error.value - moved.rate_error.value
    assert difference == pytest.approx(1.5, abs=0.1)
    assert at_law.is_covered
    assert not moved.is_covered


def test_the_regret_is_that_of_the_predicted_rate_on_the_observed_curve() -> None:
    """A parabola in ln(rate) costs half its curvature times the squared distance."""
    cell = only_cell(hold_out(Results.from_columns(table(moved=1.0)))[0])
    truth = -6.2 - 0.2 * 4 + 1.0
    expected = 0.5 * CURVATURE * ((cell.prediction.log2_lr.value - truth) * LN2) ** 2
    assert cell.regret.value == pytest.approx(expected, rel=0.05)
    assert cell.regret.low < cell.regret.value < cell.regret.high
    assert cell.regret_share.value == pytest.approx(cell.regret.value / cell.loss.value)


def test_the_summary_names_error_and_cost() -> None:
    (check,) = hold_out(Results.from_columns(table(moved=1.0)))
    cell = only_cell(check)
    error, share = f"{-cell.rate_error.value:.2g}", f"{100 * cell.regret_share.value:.3g}"
    assert check.summary == (
        f"had you not run width 1024: lr off by {error} octaves, {share} % of the loss"
    )


def test_each_group_is_checked_at_its_own_largest() -> None:
    small, large = table(WIDTHS[:4], group="small"), table(group="large")
    together_ = hold_out(together(small, large), group_by="parametrization")
    assert [(check.group, check.value) for check in together_] == [("large", 1024), ("small", 512)]
    for check, alone in zip(together_, (large, small), strict=True):
        (expected,) = hold_out(Results.from_columns(alone), group_by="parametrization")
        assert only_cell(check) == only_cell(expected)
    (named,) = hold_out(together(small, large), group_by="parametrization", group="small")
    assert named.value == 512


def test_an_optimum_on_the_edge_says_on_which_side_it_lies() -> None:
    rates = tuple(np.arange(-7.0, -2.0, 0.5))
    cell = only_cell(hold_out(Results.from_columns(table(drift=0.0, rates=rates, moved=-1.5)))[0])
    assert cell.rate_error.value is None
    assert cell.is_covered is None
    assert cell.log2_lr.undetermined.startswith(
        "the best rate lies at or below 2^-7 (0.007812), the last that was tried; minimum on"
    )
    assert cell.regret.low > 0


def test_one_kept_optimum_predicts_nothing() -> None:
    (check,) = hold_out(Results.from_columns(table(WIDTHS[:2])))
    reason = (
        "a prediction of the largest needs an optimum at 2 values of width, and there is 1: add 1"
    )
    assert check.undetermined == reason
    assert check.cells == ()
    assert check.summary == f"without width 128 nothing can be predicted: {reason}"


def test_one_width_predicts_nothing() -> None:
    (check,) = hold_out(Results.from_columns(table(WIDTHS[:1])))
    assert check.kept == ()
    assert check.undetermined is not None


def test_a_largest_width_that_diverged_has_no_regret() -> None:
    losses = table()
    losses["loss"] = [
        math.nan if width == 1024 else loss
        for width, loss in zip(losses["width"], losses["loss"], strict=True)
    ]
    (check,) = hold_out(Results.from_columns(losses))
    cell = only_cell(check)
    assert cell.prediction.log2_lr.value is not None
    assert (cell.log2_lr.value, cell.regret.value, cell.rate_error.value) == (None, None, None)
    assert check.summary == "width 1024 has no optimum to compare with"


def test_an_unknown_group_is_named_with_the_groups_that_there_are() -> None:
    with pytest.raises(ResultsError) as error:
        hold_out(
            together(table(group="mup"), table(group="sp")), group="mop", group_by="parametrization"
        )
    assert str(error.value).splitlines() == [
        "columns has no group 'mop'",
        "  why: every group is predicted from its own runs",
        "  fix: for --group (in Python: group), did you mean 'mup'?",
    ]
