"""A Ray task: runs one trial in a worker process of its own.

The worker is that of the local executor, which writes the trial's output into its attempt. It ends
when its connection closes: if the task is cancelled, and if Ray or the node kills the task's
process. Then it terminates what the trial started and releases the claim.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait

from mutransfer.errors import ClusterError, MutransferError
from mutransfer.records import TrialSpec
from mutransfer.sweep.executors.local import POLL_SECONDS, WorkerProcess, shut_down
from mutransfer.sweep.trial_run import Outcome


@dataclass(frozen=True, slots=True)
class DriverPlace:
    """Where the driver runs, so that a task finds the same files and modules.

    Args:
        folder: Its working directory, to which paths of the study are relative.
        path: Its import path.
        env: Variables of the trials.
    """

    folder: str
    path: tuple[str, ...]
    env: dict[str, str]


def run_trial(
    payload: bytes, spec: TrialSpec, driver: DriverPlace
) -> Iterator[Outcome | MutransferError]:
    """Yield the outcomes of one trial, 'running' first, or an error that ends the sweep.

    Args:
        payload: The pickled work.
        spec: The trial.
        driver: Where the driver runs.
    """
    try:
        os.chdir(driver.folder)
    except OSError as error:
        yield ClusterError(
            f"a node of the Ray cluster cannot open {driver.folder}: {error.strerror}",
            why="trials run in the folder of the sweep, and write their results to its store",
            fix="start the sweep in a folder of a file system that all nodes share",
        )
        return
    # The worker gets this process's import path: that of the node, and then that of the driver.
    sys.path.extend(entry for entry in driver.path if entry not in sys.path)
    os.environ.update(driver.env)  # Ray itself sets as many threads as the trial has cores
    worker = WorkerProcess(0, payload, {})
    try:
        worker.send(spec)
        while worker.spec is not None:
            wait([worker.connection], POLL_SECONDS)
            yield from worker.messages()
    finally:
        shut_down([worker])
