"""One trial in a worker: claim it, run it in a new attempt, and publish its result."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from mutransfer.errors import MutransferError, StoreError
from mutransfer.records import TrialResult, TrialSpec
from mutransfer.sweep.processes import Interrupted
from mutransfer.sweep.store.checkpoints import make_checkpoint_dir, remove_checkpoints
from mutransfer.sweep.store.claims import Claim, ClaimState
from mutransfer.sweep.store.store import TrialStore

Status = Literal["waiting", "running", "done", "failed", "taken", "interrupted"]


class Runner(Protocol):
    """Callable that trains one trial. Workers receive it pickled."""

    def __call__(self, spec: TrialSpec, trial_dir: Path) -> TrialResult:
        """Train and return the result; raise if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """Event in the life of a trial.

    Args:
        spec: The trial.
        status: 'running' when it starts; 'waiting' while the claim of another host is watched;
            finally 'done', 'failed', 'taken' by another driver, or 'interrupted' from outside.
        result: The result of a trial that is done.
        error: The error of a failed trial, or the owner of a claim that is watched.
        before: Whether the trial was done, or given up, before this run.
        attempt: Folder of the attempt, if there was one.
    """

    spec: TrialSpec
    status: Status
    result: TrialResult | None = None
    error: str = ""
    before: bool = False
    attempt: Path | None = None


OnStart = Callable[[Claim, Path], None]
Work = Callable[[TrialSpec, OnStart], Outcome]


@dataclass(frozen=True, slots=True)
class TrialRun:
    """Callable that runs one trial, in any process on any host that sees the store.

    Args:
        store: Directory of the store.
        runner: The runner.
        stale_claims: Claims whose owners are dead, by trial id.
    """

    store: Path
    runner: Runner
    stale_claims: Mapping[str, ClaimState] = field(default_factory=dict)

    def __call__(self, spec: TrialSpec, on_start: OnStart = lambda claim, attempt: None) -> Outcome:
        """Run a trial unless it is done or claimed; a failure is recorded, not raised.

        Args:
            spec: The trial.
            on_start: Called before training with the claim and the attempt, which must be cleaned
                up if this process dies.

        Raises:
            StoreError: The store cannot be read or written.
        """
        store = TrialStore(self.store)
        claim = store.claim(spec, self.stale_claims.get(spec.id))
        if claim is None:
            if store.is_done(spec.id):
                return Outcome(spec, "done", store.result(spec.id))
            return Outcome(spec, "taken")
        with claim:
            attempt = store.new_attempt(spec.id)
            checkpoints = make_checkpoint_dir(attempt)
            on_start(claim, attempt)
            try:
                result = self.runner(spec, attempt)
            except StoreError:
                raise
            except Interrupted:
                return Outcome(spec, "interrupted", attempt=attempt)
            except (Exception, SystemExit) as error:
                is_ours = isinstance(error, MutransferError)
                text = str(error) if is_ours else f"{type(error).__name__}: {error}"
                store.record_failure(attempt, text if is_ours else traceback.format_exc())
                return Outcome(spec, "failed", error=text, attempt=attempt)
            try:
                store.publish(result, attempt)
            except StoreError as error:
                what = f"{error.what}; the result is that of a trial with loss {result.loss}"
                raise StoreError(what, why=error.why, fix=error.fix) from None
            remove_checkpoints(checkpoints, spec)
            # Another driver may have been first: the published result counts.
            return Outcome(spec, "done", store.result(spec.id), attempt=attempt)
