"""Worker process: runs trials one by one, and never outlives its driver."""

from __future__ import annotations

import io
import os
import pickle
import select
import signal
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from mutransfer.errors import StoreError, UsageError
from mutransfer.records import TrialSpec
from mutransfer.sweep.processes import on_sigterm
from mutransfer.sweep.store.claims import Claim
from mutransfer.sweep.termination import KILL_SECONDS, POLL_SECONDS, adopt_orphans, close
from mutransfer.sweep.trial_run import Outcome, Work

STDOUT, STDERR = "stdout.txt", "stderr.txt"
# Program of a worker process: the driver's import path, then this module. The driver's main file
# is not imported, so scripts need no `if __name__ == "__main__"` and notebooks work.
BOOT = """
import json, sys
sys.path[:] = json.loads(sys.argv[2])
from mutransfer.sweep.executors.worker import serve
serve(int(sys.argv[1]))
"""


@dataclass(slots=True)
class _CurrentTrial:
    """Claim and attempt to clean up if this process ends during a trial."""

    claim: Claim | None = None
    attempt: Path | None = None
    saves_on_close: bool = False  # the lab does: it writes a checkpoint, and ends


def serve(handle: int) -> None:
    """Run the trials that the driver sends, until it closes the socket.

    The replies to each trial are an outcome 'running' and a final one, or a StoreError. `handle`
    is the file descriptor of this end of the socket.
    """
    driver = Connection(handle)
    current = _CurrentTrial()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver stops its workers
    signal.signal(signal.SIGTERM, on_sigterm)
    adopt_orphans()
    threading.Thread(target=_exit_with_driver, args=(handle, current), daemon=True).start()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # keeps the last lines of a killed worker
    try:
        work = _receive_work(driver)
        while (spec := driver.recv()) is not None:
            driver.send(_run(work, spec, driver, current))
    except (EOFError, ConnectionError):
        # The driver is gone; the thread above cleans up and ends this process.
        threading.Event().wait()


def _receive_work(driver: Connection) -> Work:
    """Receive the callable that runs a trial."""
    data = driver.recv_bytes()
    try:
        work: Work = pickle.loads(data)
    except Exception as error:
        driver.send(
            UsageError(
                f"a worker cannot load the training function: {type(error).__name__}: {error}",
                why="trials run in separate processes, which must be able to import it",
                fix="install the missing module, or define the function in a file on the path",
            )
        )
        raise EOFError from None
    return work


def _run(work: Work, spec: TrialSpec, driver: Connection, current: _CurrentTrial) -> object:
    """Run one trial, with its output redirected into the folder of the attempt."""
    originals = [os.dup(1), os.dup(2)]

    def on_start(claim: Claim, attempt: Path) -> None:
        current.claim, current.attempt = claim, attempt
        current.saves_on_close = spec.runner.kind == "lab"
        for number, name in ((1, STDOUT), (2, STDERR)):
            with (attempt / name).open("ab") as file:
                os.dup2(file.fileno(), number)
        driver.send(Outcome(spec, "running", attempt=attempt))

    try:
        return work(spec, on_start)
    except StoreError as error:
        return error
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, original in zip((1, 2), originals, strict=True):
            os.dup2(original, number)
            os.close(original)
        current.claim = current.attempt = None
        current.saves_on_close = False


def _exit_with_driver(handle: int, current: _CurrentTrial) -> None:
    """Wait until the driver closes the socket, then clean up and exit at once."""
    poll = select.poll()
    poll.register(handle, select.POLLHUP)
    while not any(event & select.POLLHUP for _, event in poll.poll()):
        pass
    claim, attempt = current.claim, current.attempt
    close(attempt)
    deadline = time.monotonic() + KILL_SECONDS
    while current.saves_on_close and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    if claim is not None:
        claim.release()
    os._exit(0)
