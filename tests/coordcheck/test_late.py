"""What is off at the last steps only is a scheduler's fault, or nobody's."""

from dataclasses import replace

import numpy as np
import pytest

from mutransfer.coordcheck.diagnosis.late_steps import doubted, is_doubted, open_late, risen_loss
from mutransfer.coordcheck.diagnosis.settings import Declared
from mutransfer.coordcheck.result import Finding

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
    """Two widths, one seed, five steps; the optimizer is read at the first and the last."""
    lr = np.full((2, 1, 5), np.nan)
    lr[:, :, 0] = [[1.0], [0.5]]
    lr[:, :, 4] = [[1.0], [lr_last]]
    read = {("set lr", "up.weight"): lr, ("set eps", "up.weight"): lr * 0 + eps}
    return read | {("gradient", "up.weight"): lr * 0 + gradient}


def test_a_late_fault_that_nothing_explains_is_left_open() -> None:
    _, late = doubted([EARLY, LATE], settings(lr_last=0.5))
    assert late.outcome == "undetermined"
    assert is_doubted(late)
    assert not is_doubted(EARLY)


def test_what_is_near_the_tolerance_late_is_the_rates_and_not_for_seeds_to_settle() -> None:
    near = replace(LATE, slope=0.22, low=0.17, high=0.27, outcome="undetermined")
    assert open_late([EARLY, near]) == [near]
    assert open_late([replace(near, steps=(0, 2)), near]) == []
    assert open_late(doubted([EARLY, LATE], settings(lr_last=0.5))) != []


@pytest.mark.parametrize(
    "read", [settings(lr_last=1.0), settings(lr_last=0.5, eps=0.1)], ids=["scheduler", "epsilon"]
)
def test_a_late_fault_that_the_optimizer_explains_is_one(read) -> None:
    """A scheduler that sets one rate for all widths; an epsilon that gradients sank to."""
    assert doubted([EARLY, LATE], read)[1].outcome == "fail"


def test_a_fault_from_the_start_is_one() -> None:
    first = replace(EARLY, slope=0.9, low=0.8, high=1.0, outcome="fail")
    assert [one.outcome for one in doubted([first, LATE], settings(0.5))] == ["fail", "fail"]


def test_epsilon_counts_where_gradients_are_smallest() -> None:
    read = settings(0.5, eps=0.1)
    read["gradient", "up.weight"][1, 0, 4] = 0.2
    assert Declared(read, (), {}).eps_share("up.weight") == pytest.approx(0.5)


def test_a_loss_that_rises_is_told_with_its_width() -> None:
    losses = np.array([[[2.0, 1.0]], [[2.0, 3.0]]])
    assert risen_loss({("loss", ""): losses}, (32, 64)) == "the loss rose from 2 to 3 at width 64"
    assert not risen_loss({("loss", ""): losses[:1]}, (32,))
