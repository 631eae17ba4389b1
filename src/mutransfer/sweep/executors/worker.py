"""This file is a worker: a process that does trials one by one, and never outlives its driver."""

from __future__ import annotations

import io
import os
import pickle
import select
import signal
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from mutransfer.errors import StoreError, UsageError
from mutransfer.records import TrialSpec
from mutransfer.sweep.processes import close, terminated
from mutransfer.sweep.store.claims import Claim
from mutransfer.sweep.trial_run import Do, Outcome

STDOUT, STDERR = "stdout.txt", "stderr.txt"
# What a worker runs first: the driver's import path, then this file. The driver's main file is
# not imported, so scripts need no `if __name__ == "__main__"` and notebooks work.
BOOT = """
import json, sys
sys.path[:] = json.loads(sys.argv[2])
from mutransfer.sweep.executors.worker import serve
serve(int(sys.argv[1]))
"""


@dataclass(slots=True)
class _Current:
    """The trial under way, for whoever must clear it up."""

    claim: Claim | None = None
    attempt: Path | None = None


def serve(handle: int) -> None:
    """Do what the driver at the other end of a socket sends, until it sends no more.

    Each trial is answered by an outcome 'running' and a last one. A StoreError is sent as it is.

    Args:
        handle: File descriptor of this end of the socket.
    """
    driver = Connection(handle)
    current = _Current()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides
    signal.signal(signal.SIGTERM, terminated)
    threading.Thread(target=_end_with_driver, args=(handle, current), daemon=True).start()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a killed worker's last words are kept
    try:
        work = _unpacked(driver)
        while (spec := driver.recv()) is not None:
            driver.send(_done(work, spec, driver, current))
    except (EOFError, ConnectionError):
        # The driver is gone; the thread above clears up and ends this process.
        threading.Event().wait()


def _unpacked(driver: Connection) -> Do:
    """Receive what is to be done with every trial."""
    data = driver.recv_bytes()
    try:
        work: Do = pickle.loads(data)
    except Exception as problem:
        driver.send(
            UsageError(
                f"a worker cannot load what trains: {type(problem).__name__}: {problem}",
                why="trials run in processes of their own, which must be able to import it",
                fix="install the missing module, or define the function in a file on the path",
            )
        )
        raise EOFError from None
    return work


def _done(work: Do, spec: TrialSpec, driver: Connection, current: _Current) -> object:
    """Do one trial; what it prints goes to its attempt's folder."""
    kept = [os.dup(1), os.dup(2)]

    def started(claim: Claim, attempt: Path) -> None:
        current.claim, current.attempt = claim, attempt
        for number, name in ((1, STDOUT), (2, STDERR)):
            with (attempt / name).open("ab") as file:
                os.dup2(file.fileno(), number)
        driver.send(Outcome(spec, "running", attempt=attempt))

    try:
        return work(spec, started)
    except StoreError as problem:
        return problem
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)
        current.claim = current.attempt = None


def _end_with_driver(handle: int, current: _Current) -> None:
    """Wait until the other end of the socket is closed, then clear up and end at once."""
    poll = select.poll()
    poll.register(handle, select.POLLHUP)
    while not any(event & select.POLLHUP for _, event in poll.poll()):
        pass
    claim, attempt = current.claim, current.attempt
    close(attempt)
    if claim is not None:
        claim.release()
    os._exit(0)
