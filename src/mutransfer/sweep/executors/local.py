"""This file is the local executor: one process per worker, one thread per process."""

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
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

import cloudpickle

from mutransfer.errors import MutransferError, UsageError
from mutransfer.records import TrialSpec
from mutransfer.sweep.devices import share, visible_gpus
from mutransfer.sweep.executors.worker import BOOT
from mutransfer.sweep.processes import END_SECONDS, end_group
from mutransfer.sweep.trial_run import Do, Outcome

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
LOOK_SECONDS = 0.5  # between looks at a stop that was asked for, and at workers that died


@dataclass(frozen=True, slots=True)
class LocalExecutor:
    """Run trials in processes of this machine.

    Args:
        workers: How many at a time; by default ('auto') one per GPU, or else one per core. With
            one thread each, two processes do twice the work of one, which two threads do not.
            GPUs are dealt out among the workers by `CUDA_VISIBLE_DEVICES`.

    Raises:
        UsageError: No workers.
    """

    workers: int | str = "auto"

    def __post_init__(self) -> None:
        if self.workers != "auto" and not (isinstance(self.workers, int) and self.workers > 0):
            raise UsageError(
                f"{self.workers} workers",
                why="trials are trained by at least one process",
                fix="write --workers 4, or --workers auto for one per GPU or core",
            )

    @property
    def num_workers(self) -> int:
        """Processes that will run."""
        if isinstance(self.workers, int):
            return self.workers
        return len(visible_gpus()) or len(os.sched_getaffinity(0))

    def run(
        self, trials: Sequence[TrialSpec], work: Do, stop: threading.Event
    ) -> Generator[Outcome, None, None]:
        """Yield outcomes as they come; a dead worker is a failed trial, and only that one.

        Once `stop` is set no trial is started; those that run are waited for. So too when the
        store refuses one: its error is raised when the others have ended.
        """
        queue, refused = deque(trials), None
        crew: list[_Worker] = []
        places = range(min(self.num_workers, len(trials)))
        payload = _packed(work)
        try:
            while True:
                crew = [worker for worker in crew if worker.process.poll() is None or worker.spec]
                for place in places:
                    if queue and not stop.is_set() and refused is None:
                        worker = next((w for w in crew if w.place == place), None)
                        if worker is None:
                            worker = _Worker(place, payload, share(place, self.num_workers))
                            crew.append(worker)
                        if worker.spec is None:
                            worker.give(queue.popleft())
                busy = [worker for worker in crew if worker.spec is not None]
                if not busy:
                    break
                wait([worker.line for worker in busy], LOOK_SECONDS)
                for worker in busy:
                    for said in worker.news():
                        if isinstance(said, Outcome):
                            yield said
                        else:
                            refused = refused or said
        finally:
            _end(crew)
        if refused is not None:
            raise refused


def _packed(work: Do) -> bytes:
    """Make what trains ready to be sent, functions of a notebook included."""
    try:
        return bytes(cloudpickle.dumps(work))
    except Exception as problem:
        raise UsageError(
            f"what trains cannot be sent to a worker: {problem}",
            why="trials run in processes of their own; an open file or a lock cannot go there",
            fix="open such things inside the function",
        ) from problem


class _Worker:
    """A worker process, seen from the driver."""

    def __init__(self, place: int, work: bytes, env: dict[str, str]) -> None:
        ours, theirs = socket.socketpair()
        self.place = place
        self.line = Connection(ours.detach())
        self.spec: TrialSpec | None = None
        self.attempt: Path | None = None
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", BOOT, str(theirs.fileno()), json.dumps(sys.path)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a signal to the driver's group is the driver's affair
                env={**dict.fromkeys(THREADS, "1"), **os.environ, **env},
            )
        with suppress(OSError):  # it died; news will say so
            self.line.send_bytes(work)

    def give(self, spec: TrialSpec) -> None:
        """Send a trial."""
        self.spec, self.attempt = spec, None
        with suppress(OSError):
            self.line.send(spec)

    def news(self) -> Iterator[Outcome | MutransferError]:
        """Yield what the worker has to say, or that it died."""
        try:
            while self.spec is not None and self.line.poll():
                said = self.line.recv()
                if isinstance(said, Outcome) and said.status == "running":
                    self.attempt = said.attempt
                else:
                    self.spec = None
                yield said
        except (EOFError, ConnectionError):
            yield self._died()
        else:
            if self.spec is not None and self.process.poll() is not None and not self.line.poll():
                yield self._died()

    def _died(self) -> Outcome:
        """Clear up after a worker that was killed: what it ran has failed, and is ended."""
        assert self.spec is not None
        status = self.process.wait()
        error = (
            "its worker process ended by itself" if status >= 0 else f"killed by signal {-status}"
        )
        if status == -signal.SIGKILL:
            error += ", perhaps out of memory"
        if self.attempt is not None:
            end_group(self.attempt)
        spec, self.spec = self.spec, None
        return Outcome(spec, "failed", error=error, attempt=self.attempt)


def _end(crew: Sequence[_Worker]) -> None:
    """End workers: idle ones at once, others when they have ended what they run."""
    for worker in crew:
        worker.line.close()
    for worker in crew:
        try:
            worker.process.wait(2 * END_SECONDS)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
            if worker.attempt is not None:
                end_group(worker.attempt)
