"""Ray executor: one Ray task per trial, and a new one for a trial whose node is lost.

The store is the only truth: a task claims its trial there, so that a task that Ray believes dead
and its replacement never both run. Ray itself retries nothing, because it knows nothing of claims.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from mutransfer.errors import ClusterError, MutransferError
from mutransfer.records import TrialSpec
from mutransfer.records.tables.resources import ResourcesTable
from mutransfer.sweep.devices import THREADS, VISIBLE
from mutransfer.sweep.executors.local import pickled
from mutransfer.sweep.executors.ray.cluster import Demand, connected, demand, nodes
from mutransfer.sweep.executors.ray.task import DriverPlace, run_trial
from mutransfer.sweep.termination import KILL_SECONDS
from mutransfer.sweep.trial_run import Outcome, Work

POLL_SECONDS = 0.5  # between checks of the stop event
MAX_LOSSES = 3  # a trial that takes its node down each time must not take all nodes [assumed]
# A lost worker that still lives terminates its trial within this time, and releases the claim.
RELEASE_SECONDS = 3 * KILL_SECONDS
# Tasks in flight for each that can run, so that a new node has work at once [assumed].
TASKS_PER_ROOM = 2


@dataclass(frozen=True, slots=True)
class RayExecutor:
    """Run trials as tasks of a Ray cluster.

    Args:
        address: 'local', 'auto' or HOST:PORT; by default `RAY_ADDRESS`, or else 'local'.
        resources: What one trial needs.
        report: Called with lines for the user, such as the loss of a node.
    """

    address: str | None = None
    resources: ResourcesTable = field(default_factory=ResourcesTable)
    report: Callable[[str], None] = lambda text: None

    def run(
        self, trials: Sequence[TrialSpec], work: Work, stop: threading.Event
    ) -> Generator[Outcome, None, None]:
        """Yield outcomes as they arrive; a trial whose node is lost starts again elsewhere.

        Once `stop` is set no trial is started, and running ones are waited for. The same happens
        if the store raises an error in a task, which is raised here when the others have ended.

        Raises:
            UsageError: Ray is not installed, or no node is large enough for a trial.
            ClusterError: The cluster does not answer, or its nodes cannot run trials.
        """
        payload = pickled(work)
        with connected(self.address) as ray:
            need = demand(self.resources, nodes(ray))
            tasks = _Tasks(ray, need, self._driver(need), payload, deque(trials), self.report)
            with closing(tasks):
                yield from tasks.outcomes(stop)
            if tasks.error is not None:
                raise tasks.error

    def _driver(self, need: Demand) -> DriverPlace:
        """Return where this driver runs, and the variables of its trials."""
        threads = str(self.resources.threads_per_process)
        env = {name: os.environ.get(name, threads) for name in THREADS}
        # Ray leaves the GPUs of a node visible to a task that needs none.
        return DriverPlace(os.getcwd(), tuple(sys.path), env if need.gpus else env | {VISIBLE: ""})


@dataclass(slots=True)
class _Task:
    """A trial in flight.

    Args:
        spec: The trial.
        attempt: Folder of its attempt, once it runs.
        is_running: Whether the trial started.
        is_final: Whether its final outcome arrived, so that only the clean-up is left.
        problem: Why Ray lost it.
    """

    spec: TrialSpec
    attempt: Path | None = None
    is_running: bool = False
    is_final: bool = False
    problem: str = ""


class _Tasks:
    """Trials that wait, those in flight, and those whose nodes were lost.

    Args:
        ray: The module.
        need: What a trial needs.
        driver: Where the driver runs.
        payload: The pickled work.
        waiting: Trials that are not in flight.
        report: Called with lines for the user.
    """

    def __init__(
        self,
        ray: ModuleType,
        need: Demand,
        driver: DriverPlace,
        payload: bytes,
        waiting: deque[TrialSpec],
        report: Callable[[str], None],
    ) -> None:
        self.error: MutransferError | None = None
        self._ray, self._need, self._report = ray, need, report
        self._waiting = waiting
        self._lost: list[tuple[float, TrialSpec]] = []  # with the time to start it again
        self._num_losses: Counter[str] = Counter()
        self._in_flight: dict[Any, _Task] = {}
        self._driver = driver
        self._payload = ray.put(payload)
        # With `max_retries`, Ray would start a trial again while its claim is not yet released.
        task = ray.remote(max_retries=0, num_returns="streaming", **need.options)
        self._run = task(run_trial)
        self._room = 1
        self._is_ending = False

    def outcomes(self, stop: threading.Event) -> Iterator[Outcome]:
        """Yield outcomes until no trial is left, or until those that run have ended."""
        while True:
            if stop.is_set() or self.error is not None:
                self._cancel_unstarted()
            else:
                self._submit()
            if not self._in_flight and not self._lost:
                return
            ready: list[Any] = []
            if self._in_flight:
                ready, _ = self._ray.wait(list(self._in_flight), timeout=POLL_SECONDS)
            else:
                time.sleep(POLL_SECONDS)
            for task in ready:
                yield from self._messages(task)

    def close(self) -> None:
        """Cancel the tasks in flight, and wait until their processes have ended."""
        self._waiting.clear()
        ends = [task.completed() for task in self._in_flight]
        for task in self._in_flight:
            self._ray.cancel(task)
        if ends:
            self._ray.wait(ends, num_returns=len(ends), timeout=RELEASE_SECONDS)
        for task in self._in_flight:
            self._ray.cancel(task, force=True)
        self._in_flight.clear()

    def _submit(self) -> None:
        """Submit as many trials as there is room for, those lost some time ago first."""
        now = time.monotonic()
        self._waiting.extendleft(spec for when, spec in self._lost if when <= now)
        self._lost = [(when, spec) for when, spec in self._lost if when > now]
        if not self._waiting:
            return
        room = sum(map(self._need.room, nodes(self._ray)))
        if self._room and not room:
            self._report(f"no node is left that has {self._need}: trials wait for one")
        self._room = room
        while self._waiting and len(self._in_flight) < TASKS_PER_ROOM * max(room, 1):
            spec = self._waiting.popleft()
            task = self._run.remote(self._payload, spec, self._driver)
            self._in_flight[task] = _Task(spec)

    def _cancel_unstarted(self) -> None:
        """Withdraw the trials that do not run yet."""
        self._is_ending = True
        self._waiting.clear()
        self._lost.clear()
        for task, state in self._in_flight.items():
            if not state.is_running and not state.is_final:
                self._ray.cancel(task)

    def _messages(self, task: Any) -> Iterator[Outcome]:  # noqa: ANN401 - a type of Ray
        """Yield the next outcome of a task, or handle its end."""
        state = self._in_flight[task]
        try:
            message = self._ray.get(next(task))
        except StopIteration:
            del self._in_flight[task]
            if not state.is_final:
                yield from self._lose(state)
        except self._ray.exceptions.TaskCancelledError:
            state.problem = "its task was cancelled"
        except self._ray.exceptions.RayTaskError as error:
            state.is_final = True
            self._fail(error)
        except self._ray.exceptions.RayError as error:
            state.problem = f"Ray reports {type(error).__name__}"
        else:
            state.is_final = getattr(message, "status", "") != "running"
            if isinstance(message, Outcome):
                state.is_running, state.attempt = True, message.attempt
                yield message
            else:
                self.error = self.error or message

    def _lose(self, state: _Task) -> Iterator[Outcome]:
        """Schedule a lost trial again, or yield its failure if it was lost too often."""
        if self._is_ending:
            return
        spec = state.spec
        self._num_losses[spec.id] += 1
        if self._num_losses[spec.id] < MAX_LOSSES:
            self._report(f"trial {spec.id[:12]} is lost and starts again: {state.problem}")
            self._lost.append((time.monotonic() + RELEASE_SECONDS, spec))
        else:
            error = f"lost {MAX_LOSSES} times, perhaps out of memory: {state.problem}"
            yield Outcome(spec, "failed", error=error, attempt=state.attempt)

    def _fail(self, error: Exception) -> None:
        """End the sweep because a node cannot run trials at all, such as for want of a module."""
        problem = (str(error.__cause__ or error).strip() or "no message").splitlines()[-1]
        self.error = self.error or ClusterError(
            f"a node of the Ray cluster cannot run trials: {problem}",
            why="a task imports mutransfer and your code on the node where it runs",
            fix="install mutransfer and what your trials import on every node, in versions as here",
        )
