"""This file is what happens to one trial in a worker: claim, attempt, publish."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from mutransfer.errors import MutransferError, StoreError
from mutransfer.records import TrialResult, TrialSpec
from mutransfer.sweep.processes import Interrupted
from mutransfer.sweep.store.claims import Claim, Mark
from mutransfer.sweep.store.store import TrialStore

Status = Literal["waiting", "running", "done", "failed", "taken", "interrupted"]


class Runner(Protocol):
    """Whatever trains once. It is sent to workers, so it must be picklable."""

    def __call__(self, spec: TrialSpec, trial_dir: Path) -> TrialResult:
        """Train, and say what came out; raise if nothing did."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a trial.

    Args:
        spec: The trial.
        status: 'running' when it starts, 'waiting' while its owner on another host is watched;
            at last 'done', 'failed', 'taken' by another driver, or 'interrupted' from outside.
        result: Its result, if it is done.
        error: What was said, if it failed; who owns it, while that is watched.
        before: Whether it was done before this run.
        attempt: The folder in which it was tried, if it was.
    """

    spec: TrialSpec
    status: Status
    result: TrialResult | None = None
    error: str = ""
    before: bool = False
    attempt: Path | None = None


Started = Callable[[Claim, Path], None]
Do = Callable[[TrialSpec, Started], Outcome]


@dataclass(frozen=True, slots=True)
class Work:
    """One trial's life, to be called in any process on any host that sees the store.

    Args:
        store: The store's directory.
        runner: What trains.
        dead: Claims of others that were watched in vain, by trial id.
    """

    store: Path
    runner: Runner
    dead: Mapping[str, Mark] = field(default_factory=dict)

    def __call__(self, spec: TrialSpec, started: Started = lambda claim, attempt: None) -> Outcome:
        """Run a trial unless it is done or taken; a failure is recorded, not raised.

        Args:
            spec: The trial.
            started: Called before training, with what must be cleared up if this process dies.

        Raises:
            StoreError: The store cannot be read or written.
        """
        store = TrialStore(self.store)
        claim = store.claim(spec, self.dead.get(spec.id))
        if claim is None:
            done = store.is_done(spec.id)
            return Outcome(spec, "done", store.result(spec.id)) if done else Outcome(spec, "taken")
        with claim:
            attempt = store.new_attempt(spec.id)
            started(claim, attempt)
            try:
                result = self.runner(spec, attempt)
            except StoreError:
                raise
            except Interrupted:
                return Outcome(spec, "interrupted", attempt=attempt)
            except (Exception, SystemExit) as problem:
                told = isinstance(problem, MutransferError)
                text = str(problem) if told else f"{type(problem).__name__}: {problem}"
                store.fail(attempt, text if told else traceback.format_exc())
                return Outcome(spec, "failed", error=text, attempt=attempt)
            try:
                store.publish(result, attempt)
            except StoreError as problem:
                what = f"{problem.what}, where a trial that ended with loss {result.loss} belongs"
                raise StoreError(what, why=problem.why, fix=problem.fix) from None
            # Another driver may have been first: what is published counts.
            return Outcome(spec, "done", store.result(spec.id), attempt=attempt)
