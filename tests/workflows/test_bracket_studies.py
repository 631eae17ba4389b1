"""Bracket searches of whole studies: resumed, shared by drivers, and analyzed as any store."""

import math
import random
import threading
from pathlib import Path

import pytest

from mutransfer.analysis import analyze, load_results
from mutransfer.sweep import TrialStore
from mutransfer.workflows import prepare_study, run_study
from mutransfer.workflows.studies.run import next_trials

STUDY = {
    "schema": 1,
    "study": {"name": "planted"},
    "axes": {
        "kind": ["drifts", "stays"],
        "width": [32, 64, 128],
        "lr": "2^-9 .. 2^-3 step 1/2",
        "seed": [0, 1, 2],
    },
    "search": {"strategy": "bracket"},
    "analysis": {"group_by": ["kind"]},
}


def train(width: int, lr: float, seed: int, kind: str) -> float:
    """Return a loss whose best rate halves with every octave of width, or stays."""
    octaves = math.log2(lr) + 6 + (math.log2(width / 32) if kind == "drifts" else 0)
    noise = random.Random(f"{width} {lr} {seed} {kind}").gauss(0, 0.003)
    return math.nan if octaves > 2.2 else 2 + 0.1 * octaves**2 + noise


class InProcess:
    """An executor that runs trials here, and stops after a number of them."""

    def __init__(self, most: float = math.inf, stop: threading.Event | None = None) -> None:
        self.most, self.stop = most, stop

    def run(self, trials, work, stop):
        """Run trials one after another."""
        for trial in trials:
            if stop.is_set():
                return
            yield work(trial)
            self.most -= 1
            if self.most == 0:
                self.stop.set()


def sweep(store: Path, **options):
    """Run the study in this process."""
    return run_study(STUDY, runner=train, store=store, **{"executor": InProcess(), **options})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Run the study once."""
    return sweep(tmp_path_factory.mktemp("bracket") / "store")


def test_two_groups_are_decided_with_a_fraction_of_the_grid(finished) -> None:
    report = analyze(load_results(finished.store))
    assert {name: group.verdict for name, group in report.items()} == {
        "drifts": "does not transfer", "stays": "transfers",
    }  # fmt: skip
    assert report["drifts"].optimum[-1].log2_lr.value == pytest.approx(-8, abs=0.25)
    assert report["stays"].optimum[-1].log2_lr.value == pytest.approx(-6, abs=0.25)
    cost = finished.search
    assert cost.grid_trials == 234
    assert cost.trials == finished.summary.done == finished.summary.total < 110
    assert cost.unit == "seconds"


def test_a_search_stopped_anywhere_continues_with_the_same_trials(finished, tmp_path) -> None:
    """One store is stopped after every 25 trials; the other one ran at once."""
    store, ran = tmp_path / "store", 0
    for _ in range(10):
        stop = threading.Event()
        run = sweep(store, executor=InProcess(25, stop), stop=stop)
        ran += run.summary.ran
        if not run.summary.stopped:
            break
    assert set(TrialStore(store).study_trials()) == set(TrialStore(finished.store).study_trials())
    assert ran == finished.summary.ran


def test_two_drivers_share_a_search_without_training_twice(finished, tmp_path) -> None:
    runs = []
    drivers = [threading.Thread(target=lambda: runs.append(sweep(tmp_path / "store")))
               for _ in range(2)]  # fmt: skip
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    assert sum(run.summary.ran for run in runs) == finished.summary.ran
    assert [run.summary.done for run in runs] == [finished.summary.done] * 2


def test_a_selected_group_is_searched_alone(finished, tmp_path) -> None:
    run = sweep(tmp_path / "store", only={"kind": "stays"})
    axes = [result.spec.axes for result in TrialStore(run.store).results()]
    whole = [result.spec.axes for result in TrialStore(finished.store).results()]
    assert {point["kind"] for point in axes} == {"stays"}
    assert len(axes) == sum(point["kind"] == "stays" for point in whole)


def test_results_of_the_grid_are_not_trained_again(tmp_path) -> None:
    grid = {**STUDY, "search": {"strategy": "grid"}}
    run_study(grid, runner=train, store=tmp_path, executor=InProcess())
    beyond = [t.axes["lr"] for t in next_trials(prepare_study(STUDY, train), tmp_path)[0]]
    run = sweep(tmp_path)
    outside = sum(not 2**-9 <= rate <= 2**-3 for rate in beyond)
    assert run.summary.ran <= max(outside, 6)
    assert run.summary.done > 78
