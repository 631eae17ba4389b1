"""This file is the driver: run what is not done, share what is the same, count what failed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from mutransfer.errors import StoreError
from mutransfer.records import AxisValue, TrialResult, TrialSpec
from mutransfer.sweep.store.claims import STALE_SECONDS, Mark
from mutransfer.sweep.store.store import TrialStore, csv_row, told
from mutransfer.sweep.trial_run import Do, Outcome, Runner, Work

RUNS = 2  # a trial that failed in one run is tried again in the next, and then given up
LOOK_SECONDS = 1.0


class Executor(Protocol):
    """Where trials run.

    The contract: every trial yields one last outcome, in any order, and may yield 'running' when
    it starts. Once `stop` is set no trial is started, and those that run are waited for. The
    generator is closed when its reader has had enough: whatever runs then is ended.
    """

    def run(
        self, trials: Sequence[TrialSpec], work: Do, stop: threading.Event
    ) -> Generator[Outcome, None, None]:
        """Do `work` on every trial and yield outcomes as they come."""
        ...


@dataclass(slots=True)
class SweepSummary:
    """What became of a study's trials.

    Args:
        total: Trials of the study.
        done: Trials with a result now.
        ran: Trials that this run computed.
        shared: Trials that this run took from an identical one.
        diverged: Trials with a result that diverged.
        taken: Trials that another driver works on.
        given_up: Failed trials that were not tried, having failed in two runs before.
        stopped: Whether the run was stopped before its end.
        aside: Folders of other trials in the store: of another command, or of former axes.
        failed: Errors of trials without a result, by trial id.
        points: The axes of failed trials, by trial id.
    """

    total: int
    done: int = 0
    ran: int = 0
    shared: int = 0
    diverged: int = 0
    taken: int = 0
    given_up: int = 0
    stopped: bool = False
    aside: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    points: dict[str, dict[str, AxisValue]] = field(default_factory=dict)


def run_sweep(
    trials: Sequence[TrialSpec],
    store: TrialStore,
    *,
    runner: Runner,
    executor: Executor,
    check: Callable[[TrialSpec], None] = lambda spec: None,
    same: Callable[[TrialSpec], str] = lambda spec: spec.id,
    cost: Callable[[TrialSpec], float] = lambda spec: 0.0,
    retries: int = 0,
    retry_failed: bool = False,
    stop: threading.Event | None = None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> SweepSummary:
    """Run every trial that has no result yet; run it again and it resumes.

    Args:
        trials: The study's trials.
        store: Where results go.
        runner: What trains.
        executor: Where it trains.
        check: Called with the first trial that is to run; raises what would fail them all.
        same: Trials with equal keys are the same training run, which is done once.
        cost: Costly trials start first, so that workers end together.
        retries: Times a failed trial is tried again in this run.
        retry_failed: Try failed trials however often they failed in former runs.
        stop: Once it is set no trial is started; those that run are waited for.
        on_outcome: Called with every outcome, and first with those that stood in the store.

    Raises:
        StoreError: The store cannot be read or written.
    """
    sweep = _Sweep(store, same, on_outcome, SweepSummary(len(trials)))
    stop = stop or threading.Event()
    left = sweep.tries(sweep.look_up(trials), retries, retry_failed)
    pending = sorted((spec for spec in trials if spec.id in left), key=cost, reverse=True)
    if pending:
        check(pending[0])
    dead: dict[str, Mark] = {}
    while pending:
        again, taken = [], []
        work = Work(store.path, runner, dead)
        with closing(executor.run(pending, work, stop)) as outcomes:
            for outcome in outcomes:
                if outcome.status == "taken":
                    taken.append(outcome.spec)
                elif outcome.status == "failed":
                    sweep.keep_failure(outcome)
                    left[outcome.spec.id] -= 1
                    retried = left[outcome.spec.id] > 0 and not stop.is_set()
                    again.append(outcome.spec) if retried else sweep.count(outcome)
                elif outcome.status == "interrupted" and not stop.is_set():
                    error = "ended by SIGTERM, which did not reach this sweep"
                    sweep.count(replace(outcome, status="failed", error=error))
                else:
                    sweep.count(outcome)
        free, dead = sweep.watch(taken, stop)
        pending = [] if stop.is_set() else [*again, *free]
    sweep.write_csv(trials)
    ended = sweep.summary.done + sweep.summary.taken + len(sweep.summary.failed)
    sweep.summary.stopped = ended < len(trials)
    return sweep.summary


@dataclass(slots=True)
class _Sweep:
    """A run of a study: what it has found out so far."""

    store: TrialStore
    same: Callable[[TrialSpec], str]
    on_outcome: Callable[[Outcome], None]
    summary: SweepSummary
    rows: dict[str, dict[str, object]] = field(default_factory=dict)
    groups: dict[str, list[TrialSpec]] = field(default_factory=dict)

    def look_up(self, trials: Iterable[TrialSpec]) -> list[TrialSpec]:
        """Count what is done, share it, and give one trial of each group that is not."""
        found: dict[str, list[TrialResult]] = {}
        for spec, result in self.store.known(trials):
            key = self.same(spec)
            self.groups.setdefault(key, []).append(spec)
            if result is not None:
                found.setdefault(key, [])[:] = [result]
                self._count_done(Outcome(spec, "done", result, before=True))
        for key, (result,) in found.items():
            self._share(result, self.groups[key])
        return [group[0] for key, group in self.groups.items() if key not in found]

    def tries(
        self, pending: Sequence[TrialSpec], retries: int, retry_failed: bool
    ) -> dict[str, int]:
        """Tell how often each trial may be tried in this run; count those that are given up."""
        left = {}
        for spec in pending:
            errors = [] if retry_failed else self.store.failures(spec.id)
            if len(errors) < RUNS * (1 + retries):
                left[spec.id] = min(1 + retries, RUNS * (1 + retries) - len(errors))
            else:
                self.summary.given_up += 1
                self.count(Outcome(spec, "failed", error=told(errors[-1])))
        return left

    def count(self, outcome: Outcome) -> None:
        """Add an outcome to the totals, pass it on, and share its result."""
        if outcome.status == "done":
            assert outcome.result is not None
            self.summary.ran += outcome.attempt is not None
            self._count_done(outcome)
            self._share(outcome.result, self.groups[self.same(outcome.spec)])
            return
        if outcome.status == "failed":
            self.summary.failed[outcome.spec.id] = outcome.error
            self.summary.points[outcome.spec.id] = dict(outcome.spec.axes)
        self.on_outcome(outcome)

    def keep_failure(self, outcome: Outcome) -> None:
        """Write down what a worker that died could not; on a full disk the summary says it."""
        if outcome.attempt is not None and not (outcome.attempt / "error.txt").exists():
            with suppress(StoreError):
                self.store.fail(outcome.attempt, outcome.error)

    def watch(
        self, taken: Sequence[TrialSpec], stop: threading.Event
    ) -> tuple[list[TrialSpec], dict[str, Mark]]:
        """Tell others' trials: done by now, under way, or left by a driver that is gone.

        Returns:
            The trials that are free, and the claims on them that were watched in vain. The
            others are counted.
        """
        free, dead = [], {}
        seen = {spec.id: self.store.owner(spec.id) for spec in taken}
        deadline = time.monotonic() + STALE_SECONDS
        unsure, waiting = list(taken), False
        while unsure:
            for spec in list(unsure):
                before, now = seen[spec.id], self.store.owner(spec.id)
                silent = now is not None and now == before and time.monotonic() > deadline
                if self.store.is_done(spec.id):
                    self.count(Outcome(spec, "done", self.store.result(spec.id)))
                elif not stop.is_set() and (now is None or silent or now.alive is False):
                    free.append(spec)
                    if now is not None:
                        dead[spec.id] = now
                elif stop.is_set() or now is None or now.alive or now != before:
                    self.summary.taken += 1
                    self.on_outcome(Outcome(spec, "taken"))
                else:
                    if not waiting:
                        self.on_outcome(Outcome(spec, "waiting", error=now.owner))
                    continue
                unsure.remove(spec)
            waiting = True
            if unsure:
                time.sleep(LOOK_SECONDS)  # in stop.wait, a signal whose handler sets it may hang
        return free, dead

    def write_csv(self, trials: Iterable[TrialSpec]) -> None:
        """Write the view for spreadsheets, in the order of the study."""
        self.store.write_csv([self.rows[spec.id] for spec in trials if spec.id in self.rows])

    def _count_done(self, outcome: Outcome) -> None:
        """Add a result to the totals and pass it on."""
        assert outcome.result is not None
        self.summary.done += 1
        self.summary.diverged += outcome.result.diverged_at is not None
        self.rows[outcome.spec.id] = csv_row(outcome.result)
        self.on_outcome(outcome)

    def _share(self, result: TrialResult, group: Sequence[TrialSpec]) -> None:
        """Give a result to the other trials that are the same training run."""
        for spec in group:
            if spec.id not in self.rows:
                if not self.store.is_done(spec.id):
                    self.store.share(result, spec)
                    self.summary.shared += 1
                self._count_done(Outcome(spec, "done", self.store.result(spec.id)))
