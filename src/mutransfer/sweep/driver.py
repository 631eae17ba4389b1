"""Driver of a sweep: runs trials without a result, shares equal ones, and counts failures."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from mutransfer.errors import StoreError, UsageError
from mutransfer.records import AxisValue, TrialResult, TrialSpec
from mutransfer.sweep.store.claims import STALE_SECONDS, ClaimState
from mutransfer.sweep.store.store import TrialStore, csv_row, error_summary
from mutransfer.sweep.trial_run import Outcome, Runner, TrialRun, Work

MAX_RUNS = 2  # a failed trial is retried in the next run, and then no more
POLL_SECONDS = 1.0  # between checks of claims of other drivers


class Executor(Protocol):
    """Place where trials run.

    The contract: every trial yields one final outcome, in any order, and may yield 'running' when
    it starts. Once `stop` is set no trial is started, and running ones are waited for. When the
    generator is closed early, it terminates the trials that run.
    """

    def run(
        self, trials: Sequence[TrialSpec], work: Work, stop: threading.Event
    ) -> Generator[Outcome, None, None]:
        """Call `work` on every trial and yield outcomes as they arrive."""
        ...


@dataclass(slots=True)
class SweepSummary:
    """Counts of a study's trials after a run. The fields are keys of `sweep --json`.

    Args:
        total: Trials of the study.
        done: Trials with a result.
        ran: Trials that this run computed.
        shared: Trials whose results this run copied from identical ones.
        diverged: Trials with a result that diverged.
        taken: Trials that another driver has claimed.
        left: Trials that were left to other drivers when the count was reached.
        given_up: Failed trials that were not retried because they failed in two earlier runs.
        exhausted: Trials that failed in two runs, this one included, and would now be skipped;
            not part of the JSON document.
        stopped: Whether the run was stopped before its end.
        aside: Trials in the store that belong to another command or to former axes.
        failed: Errors of trials without a result, by trial id.
        points: Axes of failed trials, by trial id.
    """

    total: int
    done: int = 0
    ran: int = 0
    shared: int = 0
    diverged: int = 0
    taken: int = 0
    left: int = 0
    given_up: int = 0
    exhausted: int = 0
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
    count: int | None = None,
    stop: threading.Event | None = None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> SweepSummary:
    """Run every trial that has no result yet; a second call resumes.

    Args:
        trials: Trials of the study.
        store: Store of the results.
        runner: Callable that trains one trial.
        executor: Place where trials run.
        check: Called with the first trial to run; raises an error that would fail all trials.
        same: Trials with equal keys are the same training run, which is done once.
        cost: Expensive trials start first, so that all workers end at about the same time.
        retries: Number of times a failed trial is retried within this run.
        retry_failed: Retry failed trials, however often they failed in earlier runs.
        count: Number of trials to run at most; this driver is then one of several, which share
            the others.
        stop: Once it is set no trial is started, and running ones are waited for.
        on_outcome: Called with every outcome, those of results already in the store first.

    Raises:
        StoreError: The store cannot be read or written.
        UsageError: `count` is not positive.
    """
    if count is not None and count < 1:
        raise UsageError(
            f"a count of {count} trials",
            why="a driver without trials would do nothing",
            fix="write --count 1, or leave it out to run all trials",
        )
    stop = stop or threading.Event()
    sweep = _Sweep(store, same, on_outcome, stop, SweepSummary(len(trials)))
    sweep.allow_tries(sweep.count_existing(trials), retries, retry_failed)
    pending = [spec for spec in trials if spec.id in sweep.tries_left]
    if count is not None:
        random.shuffle(pending)  # drivers that begin at the same trial would race for each one
    pending.sort(key=cost, reverse=True)
    if pending:
        check(pending[0])
    stale_claims: dict[str, ClaimState] = {}
    while pending and not stop.is_set() and sweep.num_ended != count:
        batch, others = sweep.next_batch(pending, count, stale_claims)
        retried: list[TrialSpec] = []
        if batch:
            work = TrialRun(store.path, runner, stale_claims)
            with closing(executor.run(batch, work, stop)) as outcomes:
                retried, claimed_elsewhere = sweep.collect(outcomes)
            others += claimed_elsewhere
        if count is None or not batch:
            others, stale_claims = sweep.watch_claims(others)
        pending = [*retried, *others]
    return sweep.finish(trials, count)


@dataclass(slots=True)
class _Sweep:
    """State of a sweep: counts, remaining tries, and groups of identical trials."""

    store: TrialStore
    same: Callable[[TrialSpec], str]
    on_outcome: Callable[[Outcome], None]
    stop: threading.Event
    summary: SweepSummary
    tries_left: dict[str, int] = field(default_factory=dict)  # in this run
    max_failures: int = MAX_RUNS  # of a trial, in all runs
    rows: dict[str, dict[str, object]] = field(default_factory=dict)  # of results.csv
    groups: dict[str, list[TrialSpec]] = field(default_factory=dict)

    def count_existing(self, trials: Iterable[TrialSpec]) -> list[TrialSpec]:
        """Count and share existing results; return one trial of each group without a result."""
        results: dict[str, TrialResult] = {}
        for spec, result in self.store.lookup(trials):
            key = self.same(spec)
            self.groups.setdefault(key, []).append(spec)
            if result is not None:
                results[key] = result
                self._count_done(Outcome(spec, "done", result, before=True))
        for key, result in results.items():
            self._share(result, self.groups[key])
        return [group[0] for key, group in self.groups.items() if key not in results]

    def allow_tries(self, pending: Sequence[TrialSpec], retries: int, retry_failed: bool) -> None:
        """Set how often each trial may run in this sweep; count those that are given up."""
        self.max_failures = MAX_RUNS * (1 + retries)
        for spec in pending:
            errors = [] if retry_failed else self.store.failures(spec.id)
            left = self.max_failures - len(errors)
            if left > 0:
                self.tries_left[spec.id] = min(1 + retries, left)
            else:
                self.summary.given_up += 1
                error = error_summary(errors[-1])
                self.count(Outcome(spec, "failed", error=error, before=True))

    def collect(self, outcomes: Iterable[Outcome]) -> tuple[list[TrialSpec], list[TrialSpec]]:
        """Count outcomes; return the trials to retry, and those that other drivers have claimed."""
        retried, claimed_elsewhere = [], []
        for outcome in outcomes:
            if outcome.status == "taken":
                claimed_elsewhere.append(outcome.spec)
            elif outcome.status == "failed":
                self.record_failure(outcome)
                self.tries_left[outcome.spec.id] -= 1
                is_retried = self.tries_left[outcome.spec.id] > 0 and not self.stop.is_set()
                retried.append(outcome.spec) if is_retried else self.count(outcome)
            elif outcome.status == "interrupted" and not self.stop.is_set():
                error = "the worker was ended by SIGTERM, but this sweep was not"
                self.count(replace(outcome, status="failed", error=error))
            else:
                self.count(outcome)
        return retried, claimed_elsewhere

    def count(self, outcome: Outcome) -> None:
        """Count an outcome, report it, and share its result."""
        if outcome.status == "done":
            assert outcome.result is not None
            self.summary.ran += outcome.attempt is not None
            self._count_done(outcome)
            self._share(outcome.result, self.groups[self.same(outcome.spec)])
            return
        if outcome.status == "failed":
            self.summary.failed[outcome.spec.id] = outcome.error
            self.summary.points[outcome.spec.id] = dict(outcome.spec.axes)
            num_failures = len(self.store.failures(outcome.spec.id))
            self.summary.exhausted += not outcome.before and num_failures >= self.max_failures
        self.on_outcome(outcome)

    @property
    def num_ended(self) -> int:
        """Number of trials that this run computed, failed ones included."""
        return self.summary.ran + len(self.summary.failed) - self.summary.given_up

    def next_batch(
        self, pending: list[TrialSpec], count: int | None, stale_claims: Mapping[str, ClaimState]
    ) -> tuple[list[TrialSpec], list[TrialSpec]]:
        """Split trials into those to run now and others; without a count, all run now.

        With a count, trials that other drivers run or have done are not part of the batch.
        """
        if count is None:
            return pending, []
        is_free = {spec.id: self._is_free(spec, stale_claims) for spec in pending}
        free = [spec for spec in pending if is_free[spec.id]]
        num_now = count - self.num_ended
        return free[:num_now], free[num_now:] + [s for s in pending if not is_free[s.id]]

    def _is_free(self, spec: TrialSpec, stale_claims: Mapping[str, ClaimState]) -> bool:
        """Whether a trial has no result, and no claim of an owner that may be alive."""
        claim = self.store.current_claim(spec.id)
        is_claimed = claim is not None and claim.is_alive is not False
        is_stale = claim == stale_claims.get(spec.id)
        return not self.store.is_done(spec.id) and (not is_claimed or is_stale)

    def finish(self, trials: Sequence[TrialSpec], count: int | None) -> SweepSummary:
        """Write `results.csv`, and return the counts.

        Of drivers with a count, those that see every trial done write it: one or a few of many.
        """
        summary = self.summary
        missing = len(trials) - summary.done - summary.taken - len(summary.failed)
        if count is None or not (missing or summary.taken):
            self.store.write_csv([self.rows[spec.id] for spec in trials if spec.id in self.rows])
        if self.num_ended == count and not self.stop.is_set():
            summary.left = missing
        summary.stopped = missing > summary.left
        return summary

    def record_failure(self, outcome: Outcome) -> None:
        """Write the error of a worker that died before it could write the error itself."""
        with suppress(StoreError, OSError):  # on a full disk, only the summary has the error
            if outcome.attempt is not None and not (outcome.attempt / "error.txt").exists():
                self.store.record_failure(outcome.attempt, outcome.error)

    def watch_claims(
        self, trials: Sequence[TrialSpec]
    ) -> tuple[list[TrialSpec], dict[str, ClaimState]]:
        """Watch claimed trials until each is done, free, or known to run elsewhere.

        A claim of another host is stale if its heartbeat does not change for `STALE_SECONDS` of
        this host's monotonic clock, since the clocks of two hosts cannot be compared.

        Returns:
            The trials that are free, and their stale claims. The other trials are counted.
        """
        free, stale_claims = [], {}
        initial = {spec.id: self.store.current_claim(spec.id) for spec in trials}
        deadline = time.monotonic() + STALE_SECONDS
        undecided, is_reported = list(trials), False
        while undecided:
            for spec in list(undecided):
                before, now = initial[spec.id], self.store.current_claim(spec.id)
                is_stale = now is not None and now == before and time.monotonic() > deadline
                if self.store.is_done(spec.id):
                    self.count(Outcome(spec, "done", self.store.result(spec.id)))
                elif not self.stop.is_set() and (now is None or is_stale or now.is_alive is False):
                    free.append(spec)
                    if now is not None:
                        stale_claims[spec.id] = now
                elif self.stop.is_set() or now is None or now.is_alive or now != before:
                    self.summary.taken += 1
                    self.on_outcome(Outcome(spec, "taken"))
                else:
                    if not is_reported:
                        self.on_outcome(Outcome(spec, "waiting", error=now.owner))
                    continue
                undecided.remove(spec)
            is_reported = True
            if undecided:
                # Not stop.wait(), which hangs if a signal handler sets the event meanwhile.
                time.sleep(POLL_SECONDS)
        return free, stale_claims

    def _count_done(self, outcome: Outcome) -> None:
        """Count and report a result."""
        assert outcome.result is not None
        self.summary.done += 1
        self.summary.diverged += outcome.result.diverged_at is not None
        self.rows[outcome.spec.id] = csv_row(outcome.result)
        self.on_outcome(outcome)

    def _share(self, result: TrialResult, group: Sequence[TrialSpec]) -> None:
        """Publish a result for the other trials that are the same training run."""
        for spec in group:
            if spec.id not in self.rows:
                if not self.store.is_done(spec.id):
                    self.store.share(result, spec)
                    self.summary.shared += 1
                self._count_done(Outcome(spec, "done", self.store.result(spec.id)))
