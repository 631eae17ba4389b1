"""This file is what a store holds at a moment, while others write to it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mutransfer.errors import StoreError
from mutransfer.records import TrialSpec
from mutransfer.sweep.files import read_inside
from mutransfer.sweep.store.claims import STALE_SECONDS
from mutransfer.sweep.store.store import TrialStore, csv_row, told


@dataclass(slots=True)
class StoreStatus:
    """The trials of the study last run in a store.

    Args:
        store: Its directory.
        total: Trials of the study.
        done: Those with a result.
        diverged: Those of them that diverged.
        running: Who works on a trial, and for a claim of another place, how long it is silent.
        failed: What was last said by trials that failed, by trial id.
        points: The axes of running and failed trials, by trial id.
        best: The lowest loss per value of the scale, and the point that reached it.
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
        """Trials that nobody has tried, or whose attempt was cut off."""
        return self.total - self.done - len(self.running) - len(self.failed)


def store_status(path: str | Path) -> StoreStatus:
    """Look at every trial of the study last run in a store.

    Raises:
        StoreError: It is no store, no study was run in it, or a result is damaged.
    """
    store = TrialStore(path)
    named = store.study_trials()
    status, scale = StoreStatus(store.path, len(named)), store.study_scale()
    present = set(store.ids())
    for trial_id in named:
        if trial_id not in present:
            continue
        if store.is_done(trial_id):
            _count_result(status, store, trial_id, scale)
            continue
        mark = store.owner(trial_id)
        if mark is not None and mark.alive is not False:
            status.running[trial_id] = mark.owner
            silent = time.time() - mark.beat / 1e9
            if mark.alive is None and silent > STALE_SECONDS:
                status.running[trial_id] += f", silent for {silent / 60:.0f} minutes"
        elif errors := store.failures(trial_id):
            status.failed[trial_id] = told(errors[-1])
        else:
            continue
        status.points[trial_id] = _point(store.folder(trial_id) / "spec.json")
    return status


def _count_result(status: StoreStatus, store: TrialStore, trial_id: str, scale: str) -> None:
    """Count one finished trial."""
    result = store.result(trial_id)
    status.done += 1
    status.diverged += result.diverged_at is not None
    if result.loss is not None and result.diverged_at is None:
        size = str(csv_row(result).get(scale, "all"))
        best = status.best.get(size)
        if best is None or result.loss < best[0]:
            status.best[size] = (result.loss, dict(result.spec.axes))


def _point(path: Path) -> dict[str, Any]:
    """Read a trial's axes."""
    try:
        return dict(TrialSpec.read_json(read_inside(path), error=StoreError, where="").axes)
    except (OSError, StoreError):
        return {}  # not yet written, or lost in a power cut; results have their own copy
