"""This file is what happens to one trial in a worker: claim, attempt, publish."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from mutransfer.errors import MutransferError
from mutransfer.records import TrialResult, TrialSpec
from mutransfer.sweep.store import TrialStore

Status = Literal["done", "failed", "taken"]


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
        status: 'done', 'failed', or 'taken' by another driver.
        result: Its result, if it is done.
        error: The last lines, if it failed.
        before: Whether it was done before this run.
    """

    spec: TrialSpec
    status: Status
    result: TrialResult | None = None
    error: str = ""
    before: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """One trial's life, to be called in any process on any host that sees the store.

    Args:
        store: The store's directory.
        runner: What trains.
    """

    store: Path
    runner: Runner

    def __call__(self, spec: TrialSpec) -> Outcome:
        """Run a trial unless it is done or taken; a failure is recorded, not raised."""
        store = TrialStore(self.store)
        claim = store.claim(spec)
        if claim is None:
            done = store.is_done(spec.id)
            return Outcome(spec, "done", store.result(spec.id)) if done else Outcome(spec, "taken")
        with claim:
            attempt = store.new_attempt(spec.id)
            try:
                result = self.runner(spec, attempt)
            except Exception as problem:
                told = isinstance(problem, MutransferError)
                text = f"{type(problem).__name__}: {problem}"
                store.fail(attempt, text if told else f"{traceback.format_exc()}")
                return Outcome(spec, "failed", error=text)
            store.publish(result, attempt)
            # Another driver may have been first: what is published counts.
            return Outcome(spec, "done", store.result(spec.id))
