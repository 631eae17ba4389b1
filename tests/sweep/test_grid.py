"""Selections of trials: points of axes in every spelling."""

import pytest

from mutransfer.errors import StudyError
from mutransfer.records import CallableRunner, StudySpec
from mutransfer.sweep import grid_trials, select_trials

AXES = {"lr": [0.0009765625, 0.3, 1], "flag": [True, False, 1, "x"]}


def selected(**only: object) -> list[tuple]:
    """Return the points of the selected trials."""
    data = {"schema": 1, "study": {"name": "s"}, "axes": {"width": [8], **AXES}}
    study = StudySpec.read(data, error=StudyError, where="s")
    trials = grid_trials(study, CallableRunner(name="f"))
    return [(t.axes["lr"], t.axes["flag"]) for t in select_trials(study, trials, only)]


@pytest.mark.parametrize("spelling", ["true", "True", "TRUE", True])
def test_a_boolean_is_selected_in_every_spelling_and_is_no_number(spelling) -> None:
    points = selected(flag=spelling, lr=1)
    assert points == [(1, True)]
    assert type(points[0][1]) is bool
    assert type(selected(flag=1, lr="1.0")[0][1]) is int


@pytest.mark.parametrize("spelling", ["2^-10", "0.0009765625", "0.0009766", 2**-10])
def test_a_rate_is_selected_in_every_spelling(spelling) -> None:
    assert selected(lr=[spelling, "0.3"], flag="false") == [(2**-10, False), (0.3, False)]


def test_a_point_that_does_not_exist_is_an_error_with_the_points() -> None:
    with pytest.raises(StudyError) as raised:
        selected(flag="yes")
    assert str(raised.value).splitlines()[::2] == [
        "axis 'flag' has no point 'yes'",
        "  fix: choose from 'true', 'false', '1', 'x'",
    ]
