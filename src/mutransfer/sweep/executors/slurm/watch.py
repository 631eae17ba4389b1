"""Trials that tasks of a cluster run, observed through the store."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mutransfer.records import TrialSpec
from mutransfer.sweep.files import write_errors
from mutransfer.sweep.store.claims import STALE_SECONDS, ClaimState
from mutransfer.sweep.store.store import TrialStore, error_summary
from mutransfer.sweep.trial_run import Outcome

FORGIVEN = "error-before.txt"  # name of the error of an attempt that no longer counts


@dataclass(slots=True)
class _Claimed:
    """A claim, and when it was last observed to change."""

    state: ClaimState
    changed: float

    def is_live(self) -> bool:
        """Whether its owner may run."""
        if self.state.is_alive is not None:
            return self.state.is_alive
        return time.monotonic() - self.changed <= STALE_SECONDS


class StoreWatch:
    """Trials without an outcome, and the outcomes that appear in the store.

    Args:
        store: The store.
        trials: The trials to watch.
        tries: Failed attempts after which no worker tries a trial again.
        retry_failed: Whether earlier failures no longer count.

    Attributes:
        unfinished: Trials without an outcome, by id.
        num_retries: Failures after which another worker is to try the trial again.
    """

    def __init__(
        self, store: TrialStore, trials: Sequence[TrialSpec], tries: int, *, retry_failed: bool
    ) -> None:
        self._store, self._tries = store, tries
        self._claims: dict[str, _Claimed] = {}
        self._failures: dict[str, int] = {}
        self.num_retries = 0
        self.unfinished = {spec.id: spec for spec in trials}
        for trial_id in self._started():
            if retry_failed:
                self._forgive(store.folder(trial_id))
            self._failures[trial_id] = len(store.failures(trial_id))

    @property
    def num_running(self) -> int:
        """Number of trials whose claims are live."""
        return sum(claim.is_live() for claim in self._claims.values())

    def results(self) -> Iterator[Outcome]:
        """Yield the trials that have a result now."""
        for trial_id in self._started():
            if self._store.is_done(trial_id):
                attempts = self._store.folder(trial_id) / "attempts"
                attempt = next((path.parent for path in attempts.glob("*/result.json")), None)
                result = self._store.result(trial_id)
                yield Outcome(self._end(trial_id), "done", result, attempt=attempt)

    def claims(self) -> Iterator[Outcome]:
        """Yield the trials that started or failed since the last call; count other failures."""
        for trial_id in self._started():
            state = self._store.current_claim(trial_id)
            before = self._claims.get(trial_id)
            if state is None:
                self._claims.pop(trial_id, None)
                errors = self._store.failures(trial_id)
                if self._store.is_done(trial_id):
                    continue
                if len(errors) >= self._tries:
                    yield Outcome(self._end(trial_id), "failed", error=error_summary(errors[-1]))
                elif len(errors) > self._failures.get(trial_id, 0):
                    self._failures[trial_id] = len(errors)
                    self.num_retries += 1
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

    @staticmethod
    def _forgive(folder: Path) -> None:
        """Rename the errors of a trial, which every worker then takes for one that never failed."""
        with write_errors(folder):
            for path in folder.glob("attempts/*/error.txt"):
                path.rename(path.with_name(FORGIVEN))
