"""Tasks of a sweep in SLURM's queue: enough are submitted for the trials that are left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from mutransfer.errors import ClusterError, counted
from mutransfer.sweep.executors.slurm.commands import (
    NoAnswerError,
    QueueFull,
    Task,
    cancel,
    list_tasks,
    submit,
)
from mutransfer.sweep.executors.slurm.messages import plain_reason
from mutransfer.sweep.executors.slurm.plan import MAX_REPLACEMENTS, TaskPlan
from mutransfer.sweep.executors.slurm.script import Script

FULL_SECONDS = 60.0  # until a queue that accepted not even one task is tried again [assumed]
LOG_LINES = 5  # of a task that failed, in its error
# Exit statuses of a worker that ran trials, found none or was interrupted (docs/commands.md); with
# others, it could not begin.
WORKED = (0, 4, 5, 6, 130)


@dataclass(slots=True)
class TaskQueue:
    """Tasks of the sweep, as they were last listed.

    Args:
        script: What a task runs.
        report: Called with lines for the user.
    """

    script: Script
    report: Callable[[str], None]
    _plan: TaskPlan = field(init=False)
    _arrays: set[str] | None = None  # numbers of those that were found or submitted
    _ended: dict[tuple[str, str], Task] = field(default_factory=dict)  # since the last replacement
    _counted: set[tuple[str, str]] = field(default_factory=set)  # ended before it
    _num_retries: int = 0
    _has_progress: bool = False  # since the last replacement
    _reported: set[str] = field(default_factory=set)  # lines that are reported once
    _next_submission: float = 0.0

    def __post_init__(self) -> None:
        self._plan = TaskPlan(self.script.trials, self.script.settings.array_limit)

    def count_trial(self) -> None:
        """Count a trial that ended, which shows that tasks work."""
        self._plan.replacements, self._has_progress = 0, True

    def update(self, num_unfinished: int, num_running: int, num_retries: int) -> None:
        """List the tasks, replace those that were lost, and submit those that are missing.

        Args:
            num_unfinished: Trials without an outcome.
            num_running: Trials that workers run, in tasks of this sweep or elsewhere.
            num_retries: Trials that failed since the start and are tried again, by another task.

        Raises:
            ClusterError: SLURM cannot be reached at the start or refuses the job, or tasks end
                again and again without their trials.
        """
        try:
            tasks = list_tasks(self.script.name)
        except NoAnswerError as problem:
            if self._arrays is None:
                raise ClusterError(
                    f"squeue does not answer: {problem}",
                    why="tasks of an earlier run may be in the queue, and would run twice",
                    fix="run it where `squeue` answers, such as on a login node",
                ) from None
            self._report_once(f"squeue does not answer ({problem}); results are still counted")
            return
        live = [task for task in tasks if task.is_live]
        waiting = [task for task in live if task.is_waiting]
        arrays = self._arrays = self._find(live) if self._arrays is None else self._arrays
        for task in tasks:
            if not task.is_live and task.job in arrays and task.key not in self._counted:
                self._ended[task.key] = task
        num_elsewhere = max(0, num_running - (len(live) - len(waiting)))
        self._plan.add(num_retries - self._num_retries)
        self._num_retries = num_retries
        if num_lost := self._plan.lost(num_unfinished - num_elsewhere, len(live)):
            self._replace(num_lost)
        self._submit(len(live))
        for reason, count in Counter(plain_reason(task.reason) for task in waiting).items():
            if reason not in self._reported and reason != "None":  # None: not examined yet
                self._reported.add(reason)
                self.report(f"{counted(count, 'task')} waiting: {reason}")

    def cancel_waiting(self) -> None:
        """Cancel tasks that have not started, once no trial is left for them."""
        with suppress(NoAnswerError):
            if any(task.is_waiting for task in list_tasks(self.script.name)):
                cancel(self.script.name, only_waiting=True)

    def _find(self, live: Sequence[Task]) -> set[str]:
        """Return the arrays that an earlier run submitted, and report their tasks."""
        arrays = {task.job for task in live}
        if live:
            jobs = ", ".join(sorted(arrays))
            self.report(f"watching {counted(len(live), 'task')} in the queue, of job {jobs}")
        return arrays

    def _submit(self, num_live: int) -> None:
        """Submit the tasks that are planned, as far as the queue accepts them."""
        while time.monotonic() >= self._next_submission:
            num_tasks, limit = self._plan.next_array(num_live)
            if not num_tasks:
                return
            try:
                job = submit(self.script.path, num_tasks, limit)
            except QueueFull as full:
                self._plan.count_refused(num_tasks)
                if num_tasks == 1:
                    self._next_submission = time.monotonic() + FULL_SECONDS
                    self._report_once(f"the queue accepts no more tasks for now: {full}")
                continue
            self._plan.count_submitted(num_tasks)
            assert self._arrays is not None
            self._arrays.add(job)
            num_live += num_tasks
            self.report(f"submitted job {job}: {counted(num_tasks, 'task')} of {self.script.path}")

    def _replace(self, num_lost: int) -> None:
        """Report that tasks were lost, or raise if it is of no use to replace them."""
        ended = list(self._ended.values())
        broken = [task for task in ended if task.state == "FAILED" and task.status not in WORKED]
        states = Counter(task.description for task in ended)
        causes = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        if self._plan.replacements > MAX_REPLACEMENTS or (
            broken and len(broken) == len(ended) and not self._has_progress
        ):
            raise self._failure(broken or ended, causes)
        self.report(
            f"{counted(num_lost, 'task')} left the queue without their trials"
            f"{f' ({causes})' if causes else ''}; as many are submitted again"
        )
        self._counted |= self._ended.keys()
        self._ended.clear()
        self._has_progress = False

    def _failure(self, tasks: Sequence[Task], causes: str) -> ClusterError:
        """Return the error for tasks that end without their trials."""
        logs = [self.script.folder / f"{task.job}_{task.index}.log" for task in tasks]
        log = next((path for path in logs if path.exists()), None)
        fix = "see why with: sacct --name=" + self.script.name
        tail = ""
        if log is not None:
            lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
            tail = "; the last lines of a log: " + " | ".join(line.strip() for line in lines)
            fix = f"read {log}, correct [slurm] or the cause, and run the same command again"
        return ClusterError(
            f"tasks end without their trials: {causes or 'they left the queue'}{tail}",
            why="submitting them again would not help; finished trials are kept",
            fix=fix,
        )

    def _report_once(self, line: str) -> None:
        """Report a line that may hold for long."""
        if line not in self._reported:
            self._reported.add(line)
            self.report(line)
