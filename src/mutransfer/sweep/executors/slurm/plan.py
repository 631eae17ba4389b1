"""Plan of a sweep's tasks: how many to submit now, and how many were lost."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

# Tasks of a sweep in the queue at the same time. SLURM's default is arrays of 1,000 tasks at most
# (MaxArraySize) and 10,000 jobs of all users [derived: man slurm.conf].
MAX_TASKS = 1000
# A task that left the queue may have left a result that this host does not see yet: network file
# systems show a folder as it was up to 30 seconds ago [derived: man nfs, acdirmin].
LOST_SECONDS = 30.0
# Replacements of lost tasks in a row, without a trial that ended in between [assumed].
MAX_REPLACEMENTS = 3


@dataclass(slots=True)
class TaskPlan:
    """Number of tasks that are still to be submitted for the trials without an outcome.

    Args:
        trials_per_task: Trials that a task runs.
        limit: Tasks that run at the same time; None is any number.
        planned: Tasks to submit, which are not in the queue yet.
        array_size: Tasks of the next array at most.
        replacements: How often lost tasks were replaced since the last trial ended.
    """

    trials_per_task: int
    limit: int | None
    planned: int | None = None
    array_size: int = MAX_TASKS
    replacements: int = 0
    _lost_since: float | None = None

    def lost(self, num_trials: int, num_live: int) -> int:
        """Return how many tasks left the queue without their trials, and plan to replace them.

        Args:
            num_trials: Trials without an outcome that no worker outside of the queue runs.
            num_live: Tasks that wait or run.
        """
        missing = max(0, math.ceil(num_trials / self.trials_per_task) - num_live)
        if self.planned is None:
            self.planned = missing
        self.planned = min(self.planned, missing)
        now, lost = time.monotonic(), missing - self.planned
        if not lost:
            self._lost_since = None
        elif self._lost_since is None:
            self._lost_since = now
        elif now - self._lost_since >= LOST_SECONDS:
            self._lost_since = None
            self.planned += lost
            self.replacements += 1
            return lost
        return 0

    def add(self, num_tasks: int) -> None:
        """Plan tasks for trials that others left; those that are not needed are dropped in time."""
        if self.planned is not None:
            self.planned += num_tasks

    def next_array(self, num_live: int) -> tuple[int, int | None]:
        """Return how many tasks to submit now, and how many of them may run at the same time.

        A queue that is more than half full is left to drain, so that there are few arrays.
        """
        planned, room = self.planned or 0, MAX_TASKS - num_live
        num_tasks = min(planned, room, self.array_size)
        is_draining = num_live > MAX_TASKS // 2 and planned > room
        if num_tasks <= 0 or is_draining:
            return 0, None
        if self.limit is None:
            return num_tasks, None
        # Tasks of earlier arrays run beside those of the new one.
        return (0, None) if num_live > self.limit // 2 else (num_tasks, self.limit - num_live)

    def count_submitted(self, num_tasks: int) -> None:
        """Count tasks that were submitted, and try more the next time."""
        self.planned = (self.planned or 0) - num_tasks
        self.array_size = min(MAX_TASKS, 2 * self.array_size)

    def count_refused(self, num_tasks: int) -> None:
        """Try half as many tasks the next time."""
        self.array_size = max(1, num_tasks // 2)
