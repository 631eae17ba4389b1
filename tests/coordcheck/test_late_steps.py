"""A deviation at the last steps only fails if the optimizer's settings explain it."""

from dataclasses import replace

import numpy as np
import pytest

from mutransfer.coordcheck.diagnosis.late_steps import (
    is_inconclusive,
    late_inconclusive,
    loss_increase,
    mark_late_inconclusive,
)
from mutransfer.coordcheck.diagnosis.settings import ObservedSettings
from mutransfer.coordcheck.findings import Finding

EARLY = Finding(
    quantity="effect",
    name="up.weight",
    role="hidden",
    steps=(0, 2),
    expected=0.0,
    slope=0.0,
    low=-0.1,
    high=0.1,
    outcome="pass",
    by_step=(0.0, 0.0, 0.0, 0.9, 0.9),
    tolerance=(0.25, 0.25),
)
LATE = replace(EARLY, steps=(3, 4), slope=0.9, low=0.8, high=1.0, outcome="fail")


def settings(lr_last: float, eps: float = 1e-8, gradient: float = 1.0):
    """Return settings of two widths and one seed at the first and the last of five steps."""
    lr = np.full((2, 1, 5), np.nan)
    lr[:, :, 0] = [[1.0], [0.5]]
    lr[:, :, 4] = [[1.0], [lr_last]]
    readings = {("set lr", "up.weight"): lr, ("set eps", "up.weight"): lr * 0 + eps}
    return readings | {("gradient", "up.weight"): lr * 0 + gradient}


def test_an_unexplained_late_deviation_is_undetermined() -> None:
    _, late = mark_late_inconclusive([EARLY, LATE], settings(lr_last=0.5))
    assert late.outcome == "undetermined"
    assert is_inconclusive(late)
    assert not is_inconclusive(EARLY)


def test_a_late_exponent_near_the_tolerance_is_inconclusive_if_the_early_one_passed() -> None:
    near = replace(LATE, slope=0.22, low=0.17, high=0.27, outcome="undetermined")
    assert late_inconclusive([EARLY, near]) == [near]
    assert late_inconclusive([replace(near, steps=(0, 2)), near]) == []
    assert late_inconclusive(mark_late_inconclusive([EARLY, LATE], settings(lr_last=0.5))) != []


@pytest.mark.parametrize(
    "readings",
    [settings(lr_last=1.0), settings(lr_last=0.5, eps=0.1)],
    ids=["scheduler", "epsilon"],
)
def test_a_late_deviation_that_the_settings_explain_fails(readings) -> None:
    """A scheduler sets one rate for all widths, or gradients shrink to epsilon."""
    assert mark_late_inconclusive([EARLY, LATE], readings)[1].outcome == "fail"


def test_a_deviation_from_the_start_fails() -> None:
    first = replace(EARLY, slope=0.9, low=0.8, high=1.0, outcome="fail")
    findings = mark_late_inconclusive([first, LATE], settings(0.5))
    assert [finding.outcome for finding in findings] == ["fail", "fail"]


def test_epsilon_is_compared_with_the_smallest_gradient() -> None:
    readings = settings(0.5, eps=0.1)
    readings["gradient", "up.weight"][1, 0, 4] = 0.2
    assert ObservedSettings(readings, (), {}).eps_ratio("up.weight") == pytest.approx(0.5)


def test_a_loss_that_rises_is_reported_with_its_width() -> None:
    losses = np.array([[[2.0, 1.0]], [[2.0, 3.0]]])
    assert (
        loss_increase({("loss", ""): losses}, (32, 64)) == "the loss rose from 2 to 3 at width 64"
    )
    assert not loss_increase({("loss", ""): losses[:1]}, (32,))
