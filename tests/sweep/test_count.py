"""Drivers that run a number of trials each, and share a store with others."""

from collections import Counter
from collections.abc import Iterator

import pytest
from runners import FailingRunner, Valley, trials
from test_driver import InProcess

from mutransfer.errors import UsageError
from mutransfer.sweep import LocalExecutor, TrialStore, run_sweep


@pytest.fixture
def store(tmp_path):
    return TrialStore(tmp_path / "runs", create=True)


@pytest.mark.parametrize("executor", [InProcess(), LocalExecutor(2)], ids=["in process", "local"])
def test_a_driver_runs_as_many_trials_as_its_count_and_leaves_the_others(executor, store) -> None:
    specs = trials(widths=(1, 2, 3))
    first = run_sweep(specs, store, runner=Valley(), executor=executor, count=4)
    assert (first.ran, first.done, first.left, first.stopped) == (4, 4, 2, False)
    assert not (store.path / "results.csv").exists()
    last = run_sweep(specs, store, runner=Valley(), executor=executor, count=4)
    assert (last.ran, last.done, last.left) == (2, 6, 0)
    assert (store.path / "results.csv").exists()


def test_a_trial_that_another_driver_runs_does_not_count(store) -> None:
    specs = trials(widths=(1, 2, 3))
    claims = [store.claim(spec) for spec in specs[:3]]
    assert all(claims)
    summary = run_sweep(specs, store, runner=Valley(), executor=InProcess(), count=3)
    assert (summary.ran, summary.left, summary.taken) == (3, 3, 0)
    again = run_sweep(specs, store, runner=Valley(), executor=InProcess(), count=3)
    assert (again.ran, again.left, again.taken) == (0, 0, 3)


def test_a_failed_trial_counts_once_with_its_retries(store) -> None:
    runner = FailingRunner(0.5)
    summary = run_sweep(trials(), store, runner=runner, executor=InProcess(), retries=1, count=4)
    assert (summary.ran, len(summary.failed), summary.left) == (2, 2, 0)
    attempts = Counter(path.parents[1].name for path in store.path.glob("*/attempts/*"))
    assert sorted(attempts.values()) == [1, 1, 2, 2]


class Recorder:
    """Executor that runs nothing, and keeps the order of the trials."""

    def __init__(self) -> None:
        self.order: list[str] = []

    def run(self, trials, work, stop) -> Iterator:
        self.order += [spec.id for spec in trials]
        yield from ()


def test_drivers_with_a_count_begin_at_different_trials(store) -> None:
    """Negative control: without a count the trials keep their order."""
    specs = trials(widths=tuple(range(1, 31)))
    orders = []
    for count in (len(specs), len(specs), None):
        recorder = Recorder()
        run_sweep(specs, store, runner=Valley(), executor=recorder, count=count)
        orders.append(recorder.order)
    assert orders[2] == [spec.id for spec in specs]
    assert len({*map(tuple, orders)}) == 3
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])


def test_a_count_below_one_is_refused(store) -> None:
    with pytest.raises(UsageError) as caught:
        run_sweep(trials(), store, runner=Valley(), executor=InProcess(), count=0)
    assert str(caught.value) == (
        "a count of 0 trials\n"
        "  why: a driver without trials would do nothing\n"
        "  fix: write --count 1, or leave it out to run all trials"
    )
