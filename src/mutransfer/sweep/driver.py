"""This file is the driver: run what is not done, share what is the same, count what failed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mutransfer.records import TrialSpec
from mutransfer.sweep.store import TrialStore
from mutransfer.sweep.work import Outcome, Runner, Work

ATTEMPTS = 2  # a failed trial is tried once more, at the next run


class Executor(Protocol):
    """Where trials run. The contract: every trial yields one outcome, in any order."""

    def run(
        self, trials: Sequence[TrialSpec], work: Callable[[TrialSpec], Outcome]
    ) -> Iterator[Outcome]:
        """Run `work` on every trial and yield outcomes as they come."""
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
        given_up: Failed trials that were not tried, having failed twice before.
        failed: Errors of trials without a result, by trial id.
    """

    total: int
    done: int = 0
    ran: int = 0
    shared: int = 0
    diverged: int = 0
    taken: int = 0
    given_up: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def run_sweep(
    trials: Sequence[TrialSpec],
    store: TrialStore,
    *,
    runner: Runner,
    executor: Executor,
    same: Callable[[TrialSpec], str] = lambda spec: spec.id,
    cost: Callable[[TrialSpec], float] = lambda spec: 0.0,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> SweepSummary:
    """Run every trial that has no result yet; run it again and it resumes.

    Args:
        trials: The study's trials.
        store: Where results go.
        runner: What trains.
        executor: Where it trains.
        same: Trials with equal keys are the same training run, which is done once.
        cost: Costly trials start first, so that workers end together.
        on_outcome: Called with every outcome, and first with those that stood in the store.

    Raises:
        StoreError: The store cannot be read or written.
    """
    summary = SweepSummary(len(trials))
    groups: dict[str, list[TrialSpec]] = {}
    for spec in trials:
        groups.setdefault(same(spec), []).append(spec)
    pending = []
    for group in groups.values():
        done = [spec for spec in group if store.is_done(spec.id)]
        for spec in done:
            found = Outcome(spec, "done", store.result(spec.id), before=True)
            _count(summary, found, on_outcome)
        if done and len(done) < len(group):
            _share(
                summary,
                store,
                Outcome(done[0], "done", store.result(done[0].id)),
                group,
                on_outcome,
            )
        elif not done:
            pending.append(group[0])
    runnable = []
    for spec in pending:
        errors = store.failures(spec.id)
        if len(errors) < ATTEMPTS:
            runnable.append(spec)
        else:
            summary.given_up += 1
            _count(summary, Outcome(spec, "failed", error=_told(errors[-1])), on_outcome)
    runnable.sort(key=cost, reverse=True)
    for outcome in executor.run(runnable, Work(store.path, runner)):
        summary.ran += outcome.status == "done"
        _count(summary, outcome, on_outcome)
        if outcome.status == "done":
            _share(summary, store, outcome, groups[same(outcome.spec)], on_outcome)
    store.write_csv(store.result(spec.id) for spec in trials if store.is_done(spec.id))
    return summary


def _told(error: str) -> str:
    """Give the line of a failed attempt that says what happened."""
    lines = error.strip().splitlines() or [""]
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def _share(
    summary: SweepSummary,
    store: TrialStore,
    outcome: Outcome,
    group: Sequence[TrialSpec],
    on_outcome: Callable[[Outcome], None],
) -> None:
    """Give a result to the other trials that are the same training run."""
    assert outcome.result is not None
    for spec in group:
        if not store.is_done(spec.id):
            store.share(outcome.result, spec)
            summary.shared += 1
            _count(summary, Outcome(spec, "done", store.result(spec.id)), on_outcome)


def _count(summary: SweepSummary, outcome: Outcome, on_outcome: Callable[[Outcome], None]) -> None:
    """Add an outcome to the totals and pass it on."""
    if outcome.status == "done":
        assert outcome.result is not None
        summary.done += 1
        summary.diverged += outcome.result.diverged_at is not None
    elif outcome.status == "taken":
        summary.taken += 1
    else:
        summary.failed[outcome.spec.id] = outcome.error
    on_outcome(outcome)
