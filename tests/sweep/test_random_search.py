"""Random search: Sobol points over ranges, the same on every machine, which more samples extend."""

import math

import numpy as np
import pytest
from scipy.stats import qmc

from mutransfer.errors import StudyError
from mutransfer.records import CallableRunner, StudySpec
from mutransfer.records.tables.search import SearchTable
from mutransfer.sweep import grid_trials, select_trials
from mutransfer.sweep.search.random import random_points

RANGES = {
    "lr": "2^-10 .. 2^-4",
    "init_std": "0.25 .. 4",
    "decay": {"low": 0.0, "high": 0.3, "scale": "linear"},
}
TUNED = list(RANGES)


def study_of(samples: int = 8, **search: object) -> StudySpec:
    """Return a study with two widths and random points."""
    data = {
        "schema": 1,
        "study": {"name": "s"},
        "axes": {"width": [8, 16]},
        "search": {"strategy": "random", "samples": samples, "ranges": RANGES, **search},
        "analysis": {"hyperparameter": TUNED},
    }
    return StudySpec.read(data, error=StudyError, where="s")


def shares(samples: int, seed: int = 0) -> np.ndarray:
    """Return the points as shares of their ranges."""
    search = SearchTable(strategy="random", samples=samples, seed=seed, ranges=RANGES)
    points = random_points(search)
    lr = [(math.log2(point["lr"]) + 10) / 6 for point in points]
    init = [(math.log2(point["init_std"]) + 2) / 4 for point in points]
    return np.column_stack([lr, init, [point["decay"] / 0.3 for point in points]])


def test_the_points_of_a_seed_never_change() -> None:
    """A trial's id contains its values, so that another library version must give the same."""
    search = SearchTable(strategy="random", samples=3, ranges=RANGES)
    assert random_points(search) == [
        {"lr": 0.00389006, "init_std": 1.56273, "decay": 0.184892},
        {"lr": 0.0311205, "init_std": 0.390683, "decay": 0.0348917},
        {"lr": 0.0110028, "init_std": 3.12547, "decay": 0.259892},
    ]


def test_more_samples_continue_the_sequence() -> None:
    """The first trials of a longer study are those of the shorter one, at every width."""
    short, long = ({t.id for t in grid_trials(study_of(n), CallableRunner(name="f"))}
                   for n in (24, 64))  # fmt: skip
    assert len(short) == 48
    assert short < long
    assert study_of(24).num_trials == 48


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_points_fill_the_ranges_more_evenly_than_independent_ones(seed: int) -> None:
    """Every sixteenth of each range has the same number of points; discrepancy is scipy's."""
    points = shares(64, seed)
    for column in points.T:
        counts, _ = np.histogram(column, bins=16, range=(0.0, 1.0))
        assert counts.tolist() == [4] * 16
    independent = np.random.default_rng(seed).uniform(size=points.shape)
    assert qmc.discrepancy(points) < 0.3 * qmc.discrepancy(independent)


def test_another_seed_has_other_points() -> None:
    assert not np.allclose(shares(8, 0), shares(8, 1), atol=0.01)


def test_every_width_runs_the_same_points() -> None:
    trials = grid_trials(study_of(), CallableRunner(name="f"))
    points = [
        [[t.axes[name] for name in TUNED] for t in trials if t.axes["width"] == width]
        for width in (8, 16)
    ]
    assert points[0] == points[1]
    assert len(points[0]) == 8


def test_a_sampled_value_cannot_be_selected() -> None:
    study = study_of()
    with pytest.raises(StudyError) as raised:
        select_trials(study, grid_trials(study, CallableRunner(name="f")), {"lr": 0.1})
    assert str(raised.value) == (
        "'lr' is drawn from a range, so its trials cannot be selected by value\n"
        "  why: a random point has a value of its own\n"
        "  fix: leave it out, or lower 'samples': it is 8"
    )


ERRORS = [
    ({"samples": None}, "a random search does not say how many points it has"),
    ({"ranges": {}}, "a random search has no ranges"),
    ({"ranges": {"lr": "2^-4 .. 2^-10"}}, "the range from 0.0625 to 0.000976562 is empty"),
    ({"ranges": {"lr": "0 .. 1"}}, "a range of logarithms cannot begin at 0"),
    ({"ranges": {"lr": "fast"}}, "'fast' is not a range"),
    ({"ranges": {"width": "2 .. 4"}}, "'width' is both an axis and a range of the search"),
    ({"ranges": {**RANGES, "beta 2": "0.9 .. 0.99"}}, "'beta 2' is not a valid name"),
    ({"ranges": {**RANGES, "beta2": "0.9 .. 0.99"}}, "which the analysis does not tune"),
    ({"strategy": "grid"}, "'ranges' has no effect on a grid"),
    ({"strategy": "sobol"}, "choose from 'bracket', 'grid', 'random'"),
]


@pytest.mark.parametrize(("change", "message"), ERRORS)
def test_what_cannot_run_is_refused(change: dict, message: str) -> None:
    with pytest.raises(StudyError) as raised:
        study_of(**{"samples": 8, **change})
    assert message in str(raised.value)


def test_the_fix_names_every_sampled_hyperparameter() -> None:
    data = study_of().model_dump(mode="json", by_alias=True)
    del data["analysis"]
    data["axes"] = {"width": [8, 16]}
    with pytest.raises(StudyError) as raised:
        StudySpec.read(data, error=StudyError, where="s")
    assert 'write [analysis] hyperparameter = ["lr", "init_std", "decay"]' in str(raised.value)
