"""SLURM executor: submits tasks that run trials, watches them, and replaces those that are lost.

The store is the only truth: a task claims any trial that is left, results are read from the store,
and the queue shows only whether enough tasks are left. So the driver may die at any time. The next
one finds the tasks by the name of their job, which belongs to the store, and goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from mutransfer.records import TrialSpec
from mutransfer.sweep.executors.slurm.commands import cancel
from mutransfer.sweep.executors.slurm.queue import TaskQueue
from mutransfer.sweep.executors.slurm.script import Script
from mutransfer.sweep.executors.slurm.watch import StoreWatch
from mutransfer.sweep.files import write_atomically, write_errors
from mutransfer.sweep.processes import Terminated
from mutransfer.sweep.store.store import TrialStore
from mutransfer.sweep.trial_run import Outcome, Work

POLL_SECONDS = 1.0  # between looks for results
# Between looks at the queue, which every user of the cluster shares [assumed].
QUEUE_SECONDS = 10.0
LEAVE_SECONDS = 3.0  # after a first Ctrl-C, in which a second one cancels the tasks


@dataclass(frozen=True, slots=True)
class SlurmExecutor:
    """Run trials in tasks of SLURM job arrays, which outlive this process.

    Args:
        script: What a task runs.
        tries: Failed attempts after which no worker tries a trial again.
        retry_failed: Whether failures before this sweep no longer count.
        report: Called with lines for the user: jobs submitted, why tasks wait, tasks lost.
    """

    script: Script
    tries: int = 1
    retry_failed: bool = False
    report: Callable[[str], None] = lambda text: None

    def run(
        self, trials: Sequence[TrialSpec], work: Work, stop: threading.Event
    ) -> Generator[Outcome, None, None]:
        """Yield outcomes as they appear in the store.

        Once `stop` is set, the tasks are left in the queue. KeyboardInterrupt cancels them.

        Raises:
            ClusterError: SLURM refuses the job, or tasks end again and again without their trials.
        """
        self._write_script()
        store = TrialStore(self.script.store)
        watch = StoreWatch(store, trials, self.tries, retry_failed=self.retry_failed)
        queue = TaskQueue(self.script, self.report)
        next_look = 0.0
        try:
            while True:
                for outcome in watch.results():
                    queue.count_trial()
                    yield outcome
                if stop.is_set():
                    self._leave()
                    return
                if watch.unfinished and time.monotonic() >= next_look:
                    for outcome in watch.claims():
                        if outcome.status == "failed":
                            queue.count_trial()
                        yield outcome
                    if watch.unfinished:
                        queue.update(len(watch.unfinished), watch.num_running, watch.num_retries)
                    next_look = time.monotonic() + QUEUE_SECONDS
                if not watch.unfinished:
                    queue.cancel_waiting()
                    return
                time.sleep(POLL_SECONDS)
        except Terminated:
            raise
        except KeyboardInterrupt:
            cancel(self.script.name)
            self.report(f"cancelled every task of {self.script.name}")
            raise

    def _write_script(self) -> None:
        """Write the sbatch script into the store."""
        with write_errors(self.script.path):
            self.script.folder.mkdir(exist_ok=True)
            write_atomically(self.script.path, self.script.text)

    def _leave(self) -> None:
        """Give the user some seconds to cancel the tasks, and say how to come back to them."""
        time.sleep(LEAVE_SECONDS)
        name, store = self.script.name, self.script.store
        self.report(
            "the tasks stay in the queue; the same command watches them again\n"
            f"  look:   squeue --name={name}; mutransfer sweep --status {store}\n"
            f"  cancel: scancel --name={name}"
        )
