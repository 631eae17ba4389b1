"""Status of a store: counts of its trials, also while workers write to it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mutransfer.errors import StoreError
from mutransfer.records import TrialSpec
from mutransfer.sweep.files import read_no_follow
from mutransfer.sweep.store.claims import STALE_SECONDS
from mutransfer.sweep.store.store import TrialStore, csv_row, error_summary


@dataclass(slots=True)
class StoreStatus:
    """Trials of the study last run in a store. The fields are keys of `sweep --status --json`.

    Args:
        store: Directory of the store.
        total: Number of trials.
        done: Number of trials with a result.
        diverged: Number of trials that diverged.
        running: Owner of each running trial, and the time since the last heartbeat if it is long.
        failed: Last error of each failed trial, by trial id.
        points: Axes of running and failed trials, by trial id.
        best: Lowest loss at each value of the scale, and its point.
    """

    store: Path
    total: int
    done: int = 0
    diverged: int = 0
    running: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    points: dict[str, dict[str, Any]] = field(default_factory=dict)
    best: dict[str, tuple[float, dict[str, Any]]] = field(default_factory=dict)

    @property
    def unstarted(self) -> int:
        """Number of trials that have not started, or whose attempt was interrupted."""
        return self.total - self.done - len(self.running) - len(self.failed)


def store_status(path: str | Path) -> StoreStatus:
    """Count the trials of the study last run in a store.

    Raises:
        StoreError: The folder is not a store, no study was run in it, or a result is damaged.
    """
    store = TrialStore(path)
    trial_ids = store.study_trials()
    status, scale = StoreStatus(store.path, len(trial_ids)), store.study_scale()
    present = set(store.ids())
    for trial_id in trial_ids:
        if trial_id not in present:
            continue
        if store.is_done(trial_id):
            _count_result(status, store, trial_id, scale)
            continue
        claim = store.current_claim(trial_id)
        if claim is not None and claim.is_alive is not False:
            status.running[trial_id] = claim.owner
            silence = time.time() - claim.heartbeat / 1e9
            if claim.is_alive is None and silence > STALE_SECONDS:
                status.running[trial_id] += f", silent for {silence / 60:.0f} minutes"
        elif errors := store.failures(trial_id):
            status.failed[trial_id] = error_summary(errors[-1])
        else:
            continue
        status.points[trial_id] = _axes(store.folder(trial_id) / "spec.json")
    return status


def _count_result(status: StoreStatus, store: TrialStore, trial_id: str, scale: str) -> None:
    """Count one finished trial."""
    result = store.result(trial_id)
    status.done += 1
    status.diverged += result.diverged_at is not None
    if result.loss is not None and result.diverged_at is None:
        size = str(csv_row(result).get(scale, "all"))
        if size not in status.best or result.loss < status.best[size][0]:
            status.best[size] = (result.loss, dict(result.spec.axes))


def _axes(path: Path) -> dict[str, Any]:
    """Read the axes of a trial from its `spec.json`."""
    try:
        return dict(TrialSpec.read_json(read_no_follow(path), error=StoreError, where="").axes)
    except (OSError, StoreError):
        return {}  # not written yet, or lost in a power cut; a result has its own copy
