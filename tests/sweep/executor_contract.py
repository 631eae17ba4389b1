"""Contract of executors: classes of tests for any executor, also for one that is not ours.

Inherit from a class, and write a fixture `executor` that returns a new executor which calls the
work that it gets, on two trials at a time or fewer. Executors that start programs of their own, as
SLURM's does, are held to the same promises by tests beside them.
"""

import threading
import time

import pytest
from runners import DyingRunner, FailingRunner, Valley, trials

from mutransfer.sweep import TrialStore, run_sweep
from mutransfer.sweep.trial_run import TrialRun


def calls(store: TrialStore) -> list[list[str]]:
    """Return the trials that ran to their end: id, process and number of threads."""
    log = store.path / "calls.log"
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


class OutcomeContract:
    """Every trial yields one final outcome, in any order."""

    @pytest.fixture
    def store(self, tmp_path) -> TrialStore:
        """Return an empty store."""
        return TrialStore(tmp_path / "runs", create=True)

    def test_every_trial_gets_one_outcome(self, executor, store) -> None:
        specs, trial_ids = trials(widths=(1, 2, 3)), []
        summary = run_sweep(
            specs,
            store,
            runner=Valley(),
            executor=executor,
            on_outcome=lambda o: o.status == "running" or trial_ids.append(o.spec.id),
        )
        assert sorted(trial_ids) == sorted(spec.id for spec in specs)
        assert (summary.done, summary.ran, summary.failed) == (6, 6, {})

    def test_a_failure_is_an_outcome_and_the_other_trials_run(self, executor, store) -> None:
        summary = run_sweep(trials(), store, runner=FailingRunner(0.5), executor=executor)
        assert (summary.done, len(summary.failed)) == (2, 2)
        assert {e.splitlines()[0] for e in summary.failed.values()} == {"no such device 'cuda:9'"}

    def test_a_trial_that_another_driver_runs_is_left_to_it(self, executor, store) -> None:
        specs = trials()
        assert store.claim(specs[1])
        summary = run_sweep(specs, store, runner=Valley(), executor=executor)
        assert (summary.done, summary.taken, summary.failed) == (3, 1, {})
        assert specs[1].id not in {trial_id for trial_id, *_ in calls(store)}

    def test_once_it_stops_no_trial_starts_and_running_ones_are_waited_for(
        self, executor, store
    ) -> None:
        stop, specs = threading.Event(), trials(widths=range(1, 7))
        summary = run_sweep(
            specs,
            store,
            runner=Valley(0.2),
            executor=executor,
            stop=stop,
            on_outcome=lambda outcome: stop.set(),
        )
        assert summary.stopped
        assert 1 <= summary.done == len(calls(store)) <= 2


class ProcessContract(OutcomeContract):
    """Trials run in processes of their own, which may die, and end with their driver."""

    def test_a_killed_worker_fails_only_its_own_trial(self, executor, store) -> None:
        specs = trials(widths=(1, 2, 3, 4))
        first = run_sweep(specs, store, runner=DyingRunner(0.5), executor=executor)
        assert first.done + len(first.failed) == len(specs)
        assert len(first.failed) == 4
        second = run_sweep(specs, store, runner=Valley(), executor=executor)
        assert (second.done, second.failed) == (len(specs), {})
        counts = [trial_id for trial_id, *_ in calls(store)]
        assert len(counts) == len(set(counts)), "a finished trial ran twice"

    def test_trials_end_when_the_executor_is_closed(self, executor, store) -> None:
        specs = trials()
        outcomes = executor.run(specs, TrialRun(store.path, Valley(30)), threading.Event())
        assert next(outcomes).status == "running"
        start = time.monotonic()
        outcomes.close()
        assert time.monotonic() - start < 20
        claims = [store.current_claim(spec.id) for spec in specs]
        assert not [claim for claim in claims if claim is not None and claim.is_alive]
        assert calls(store) == []
