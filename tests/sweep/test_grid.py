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


def test_only_the_parts_of_the_grid_that_a_study_names_are_run() -> None:
    """A part leaves out the axes that it does not restrict; parts may overlap."""
    axes = {"width": [8, 16], "lr": "2^-3 .. 2^0", "seed": [0, 1]}
    only = [{"width": [8], "lr": "2^-1 .. 2^0"}, {"width": [16], "lr": [0.125, 0.25], "seed": [1]},
            {"width": [16], "lr": [0.25]}]  # fmt: skip
    data = {"schema": 1, "study": {"name": "s"}, "axes": axes}
    part = StudySpec.read({**data, "only": only}, error=StudyError, where="s")
    grid = StudySpec.read(data, error=StudyError, where="s")
    specs, whole = (grid_trials(s, CallableRunner(name="f")) for s in (part, grid))
    points = [tuple(trial.axes.values()) for trial in specs]
    assert points == [
        (8, 0.5, 0), (8, 0.5, 1), (8, 1, 0), (8, 1, 1), (16, 0.125, 1), (16, 0.25, 0), (16, 0.25, 1)
    ]  # fmt: skip
    assert (part.num_trials, grid.num_trials) == (7, 16)
    # Trials of a part are those of the grid, so that a grid can be extended.
    assert {trial.id for trial in specs} < {trial.id for trial in whole}


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
