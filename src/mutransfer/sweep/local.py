"""This file is the local executor: one process per worker, one thread per process."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from mutransfer.errors import UsageError
from mutransfer.records import TrialSpec
from mutransfer.sweep.work import Outcome

Do = Callable[[TrialSpec], Outcome]

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class LocalExecutor:
    """Run trials in processes of this machine.

    Args:
        workers: How many at a time; by default one per core. With one thread each, two
            processes do twice the work of one, which two threads do not.

    Raises:
        UsageError: Fewer than no workers.
    """

    workers: int = 0

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise UsageError(
                f"{self.workers} workers",
                why="trials are trained by at least one process",
                fix="leave --workers out for one per core",
            )

    @property
    def num_workers(self) -> int:
        """Processes that will run."""
        return self.workers or len(os.sched_getaffinity(0))

    def run(self, trials: Sequence[TrialSpec], work: Do) -> Iterator[Outcome]:
        """Yield each trial's outcome as it comes; a dead worker is a failed trial."""
        queue = list(reversed(trials))
        while queue:
            running: dict[Future[Outcome], TrialSpec] = {}
            pool = self._pool()
            try:
                while queue or running:
                    while queue and len(running) < self.num_workers:
                        spec = queue.pop()
                        running[pool.submit(work, spec)] = spec
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        spec = running.pop(future)
                        yield future.result()
            except BrokenProcessPool:
                # The pool cannot say which worker died: all that ran are counted as failed,
                # and those not to blame are done at the next run.
                died = "its worker process died (killed, or out of memory)"
                for lost in [spec, *running.values()]:
                    yield Outcome(lost, "failed", error=died)
            finally:
                _stop(pool)

    def _pool(self) -> ProcessPoolExecutor:
        """Start workers that do not import this program's main file before they must."""
        return ProcessPoolExecutor(
            self.num_workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
        )


def _start_worker() -> None:
    """Give a worker one thread, and let it end with its driver."""
    for name in THREADS:
        os.environ[name] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _stop(pool: ProcessPoolExecutor) -> None:
    """End a pool at once: its workers hold nothing that is not on disk."""
    for process in list((pool._processes or {}).values()):
        process.terminate()
    pool.shutdown(wait=True, cancel_futures=True)
