"""Local executor: one process per worker, one thread per process.

Workers are started directly instead of by a pool of the standard library: a pool cannot report
which worker died, imports the user's main file, and its workers may outlive a killed driver.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Literal

import cloudpickle

from mutransfer.errors import MutransferError, UsageError
from mutransfer.records import TrialSpec
from mutransfer.records.tables.resources import ResourcesTable
from mutransfer.sweep.devices import VISIBLE, worker_environments
from mutransfer.sweep.executors.worker import BOOT
from mutransfer.sweep.termination import KILL_SECONDS, terminate_trial
from mutransfer.sweep.trial_run import Outcome, Work

WORKER_ENVIRONMENT = {
    # Huge pages on Linux save the page faults of freed and allocated activations: a training step
    # on a CPU takes 5 % less time, with the same bits [measured: LOG]. Other systems ignore it.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""Variables of a worker that the user's environment overrides, as it does the threads.

Trials have one thread each by default: two processes with one thread do twice the work of one; two
threads do not.
"""

POLL_SECONDS = 0.5  # between checks of the stop event and for dead workers


@dataclass(frozen=True, slots=True)
class LocalExecutor:
    """Run trials in processes of this machine.

    Args:
        workers: Number of processes; 'auto' is one per GPU, or one per core without GPUs, or as
            many as the resources allow.
        resources: What a trial needs. `CUDA_VISIBLE_DEVICES` shows a worker its own GPUs only.

    Raises:
        UsageError: The number of workers is not positive, or this machine has too little for them.
    """

    workers: int | Literal["auto"] = "auto"
    resources: ResourcesTable = field(default_factory=ResourcesTable)

    def __post_init__(self) -> None:
        if self.workers != "auto" and not (isinstance(self.workers, int) and self.workers > 0):
            raise UsageError(
                f"{self.workers} workers",
                why="training needs at least one process",
                fix="write --workers 4, or --workers auto for one per GPU or core",
            )
        worker_environments(self.workers, self.resources)

    def run(
        self, trials: Sequence[TrialSpec], work: Work, stop: threading.Event
    ) -> Generator[Outcome, None, None]:
        """Yield outcomes as they arrive; a worker that dies fails its own trial only.

        Once `stop` is set no trial is started, and running ones are waited for. The same happens
        if the store raises an error in a worker, which is raised here when the others have ended.
        """
        queue, error = deque(trials), None
        workers: list[WorkerProcess] = []
        environments = worker_environments(self.workers, self.resources)[: len(trials)]
        payload = pickled(work)
        try:
            while True:
                workers = [w for w in workers if w.process.poll() is None or w.spec]
                for slot, environment in enumerate(environments):
                    if queue and not stop.is_set() and error is None:
                        worker = next((w for w in workers if w.slot == slot), None)
                        if worker is None:
                            worker = WorkerProcess(slot, payload, environment)
                            workers.append(worker)
                        if worker.spec is None:
                            worker.send(queue.popleft())
                busy = [worker for worker in workers if worker.spec is not None]
                if not busy:
                    break
                wait([worker.connection for worker in busy], POLL_SECONDS)
                for worker in busy:
                    for message in worker.messages():
                        if isinstance(message, Outcome):
                            yield message
                        else:
                            error = error or message
        finally:
            shut_down(workers)
        if error is not None:
            raise error


def pickled(work: Work) -> bytes:
    """Pickle the work, including functions of scripts and notebooks."""
    try:
        return bytes(cloudpickle.dumps(work))
    except Exception as error:
        raise UsageError(
            f"the training function cannot be sent to a worker: {error}",
            why="trials run in separate processes, which cannot receive open files or locks",
            fix="create such objects inside the function",
        ) from error


class WorkerProcess:
    """The driver's handle of a worker process."""

    def __init__(self, slot: int, payload: bytes, env: dict[str, str]) -> None:
        own_end, worker_end = socket.socketpair()
        gpus = {name: value for name, value in env.items() if name == VISIBLE}
        self.slot = slot
        self.connection = Connection(own_end.detach())
        self.spec: TrialSpec | None = None
        self.attempt: Path | None = None
        with worker_end:
            self.process = subprocess.Popen(
                [sys.executable, "-c", BOOT, str(worker_end.fileno()), json.dumps(sys.path)],
                pass_fds=[worker_end.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C reaches only the driver, which stops its workers
                # A user who sets the threads or the pages means it; GPUs are always assigned.
                env={**WORKER_ENVIRONMENT, **env, **os.environ, **gpus},
            )
        with suppress(OSError):  # if the worker died, messages() reports it
            self.connection.send_bytes(payload)

    def send(self, spec: TrialSpec) -> None:
        """Send a trial."""
        self.spec, self.attempt = spec, None
        with suppress(OSError):
            self.connection.send(spec)

    def messages(self) -> Iterator[Outcome | MutransferError]:
        """Yield the worker's messages, or a failure if it died."""
        try:
            while self.spec is not None and self.connection.poll():
                message = self.connection.recv()
                if isinstance(message, Outcome) and message.status == "running":
                    self.attempt = message.attempt
                else:
                    self.spec = None
                yield message
        except (EOFError, ConnectionError):
            yield self._failure()
        else:
            is_dead = self.spec is not None and self.process.poll() is not None
            if is_dead and not self.connection.poll():
                yield self._failure()

    def _failure(self) -> Outcome:
        """Return the failure of a trial whose worker died; terminate the processes it started."""
        assert self.spec is not None
        status = self.process.wait()
        error = f"killed by signal {-status}" if status < 0 else "its worker process exited"
        if status == -signal.SIGKILL:
            error += ", perhaps out of memory"
        if self.attempt is not None:
            terminate_trial(self.attempt)
        spec, self.spec = self.spec, None
        return Outcome(spec, "failed", error=error, attempt=self.attempt)


def shut_down(workers: Sequence[WorkerProcess]) -> None:
    """Close the workers' connections, which makes them exit, and wait until they have."""
    for worker in workers:
        worker.connection.close()
    for worker in workers:
        try:
            worker.process.wait(3 * KILL_SECONDS)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
            if worker.attempt is not None:
                terminate_trial(worker.attempt)
