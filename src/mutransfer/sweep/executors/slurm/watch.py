"""Trials that tasks of a cluster run, observed through the store."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mutransfer.records import TrialSpec
from mutransfer.sweep.store.claims import STALE_SECONDS, ClaimState
from mutransfer.sweep.store.store import TrialStore, error_summary
from mutransfer.sweep.trial_run import Outcome


@dataclass(slots=True)
class _Claimed:
    """A claim, and when it was last observed to change."""

    state: ClaimState
    changed: float

    def is_live(self) -> bool:
        """Whether its owner may run."""
        is_silent = time.monotonic() - self.changed > STALE_SECONDS
        return self.state.is_alive is not False and (self.state.is_alive is True or not is_silent)


class StoreWatch:
    """Trials without an outcome, and the outcomes that appear in the store.

    Args:
        store: The store.
        trials: The trials to watch.
        tries: Failed attempts from now on after which a trial has failed.
    """

    def __init__(self, store: TrialStore, trials: Sequence[TrialSpec], tries: int) -> None:
        self._store, self._tries = store, tries
        self._claims: dict[str, _Claimed] = {}
        self.unfinished = {spec.id: spec for spec in trials}
        started = self._started()
        self._failures = {trial_id: len(store.failures(trial_id)) for trial_id in started}

    @property
    def num_running(self) -> int:
        """Number of trials whose claims are live."""
        return sum(claim.is_live() for claim in self._claims.values())

    def results(self) -> Iterator[Outcome]:
        """Yield the trials that have a result now."""
        for trial_id in self._started():
            if self._store.is_done(trial_id):
                spec = self._end(trial_id)
                folder = self._store.folder(trial_id) / "attempts"
                attempt = next((p.parent for p in folder.glob("*/result.json")), None)
                yield Outcome(spec, "done", self._store.result(trial_id), attempt=attempt)

    def claims(self) -> Iterator[Outcome]:
        """Yield the trials that started or failed since the last call."""
        for trial_id in self._started():
            state = self._store.current_claim(trial_id)
            before = self._claims.get(trial_id)
            if state is None:
                self._claims.pop(trial_id, None)
                errors = self._store.failures(trial_id)
                num_new = len(errors) - self._failures.get(trial_id, 0)
                if num_new >= self._tries and not self._store.is_done(trial_id):
                    yield Outcome(self._end(trial_id), "failed", error=error_summary(errors[-1]))
            elif before is None or before.state != state:
                self._claims[trial_id] = _Claimed(state, time.monotonic())
                if before is None:
                    yield Outcome(self.unfinished[trial_id], "running")

    def _end(self, trial_id: str) -> TrialSpec:
        """Stop watching a trial."""
        self._claims.pop(trial_id, None)
        return self.unfinished.pop(trial_id)

    def _started(self) -> list[str]:
        """Return the trials that have a folder, which a worker makes before it claims one."""
        # A listing asks the file server, where a look at each trial may be answered from a cache.
        return [name for name in os.listdir(self._store.path) if name in self.unfinished]
