"""Processes: checks of whether they run, the start of a trial's program, and interruptions."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import FrameType
from typing import IO

PROCESS_FILE = "process.json"
ATTEMPT = "MUTRANSFER_ATTEMPT"  # variable that every process of a trial inherits
_is_closing, _got_sigterm = threading.Event(), threading.Event()


class Interrupted(Exception):  # noqa: N818 - like KeyboardInterrupt, it is not an error
    """A trial was ended from outside. It has not failed, and remains to be done."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or a closed terminal ended this process, where nobody asked to cancel its jobs."""


@cache
def pid_scope() -> str:
    """Return the scope in which a process number is unique: host, boot, and PID namespace.

    Two containers may have the same host name and different processes under one number.
    """
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def start_time(pid: int) -> str | None:
    """Return when a process started, which distinguishes it from a later one of the same number.

    Returns None if there is no such process. A zombie has finished, even if it is not yet reaped.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        if os.path.isdir("/proc/self"):
            return None
        return "running" if send_signal(os.kill, pid, 0) else None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def start_program(
    arguments: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    out: IO[bytes],
    err: IO[bytes],
    attempt: Path,
) -> subprocess.Popen[bytes]:
    """Start a program as the leader of a new session, recorded in its attempt's folder.

    If this process is killed, the kernel kills the leader, and the record allows others to kill
    the processes that the leader started (`termination`).
    """
    process = subprocess.Popen(
        arguments,
        cwd=cwd,
        env={**env, ATTEMPT: os.path.realpath(attempt)},
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        start_new_session=True,
        preexec_fn=_die_with_parent(os.getpid()),
    )
    record = {"place": pid_scope(), "pid": process.pid, "started": start_time(process.pid)}
    try:
        (attempt / PROCESS_FILE).write_text(json.dumps(record))
    except OSError:
        process.kill()  # without its record, no other process could terminate it later
        process.wait()
        raise
    return process


def _die_with_parent(parent: int) -> Callable[[], None] | None:
    """Return a function that makes the kernel kill a new process when its parent dies."""
    if sys.platform != "linux":
        return None
    prctl, parent_death_signal = ctypes.CDLL(None).prctl, 1

    def before_program() -> None:
        prctl(parent_death_signal, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before the call
            os._exit(1)

    return before_program


def start_closing() -> None:
    """Remember that this process ends: programs that it terminates from now on have not failed."""
    _is_closing.set()


def is_closing() -> bool:
    """Return whether this process ends, so that what runs in it must be saved now."""
    return _is_closing.is_set()


def is_stopping() -> bool:
    """Return whether this process ends or got SIGTERM, so that nothing may be waited for."""
    return _is_closing.is_set() or _got_sigterm.is_set()


def on_sigterm(number: int, frame: FrameType | None) -> None:
    """Remember that this process got SIGTERM, as clusters send it to reclaim a machine."""
    _got_sigterm.set()


def was_interrupted(status: int) -> bool:
    """Return whether this process or the cluster ended a program, which then has not failed."""
    # The status alone decides nothing: torchrun answers SIGTERM with 1, and others save and exit
    # with 0. The program may get its signal a moment before this process does.
    is_sigterm = status in (-signal.SIGTERM, 128 + signal.SIGTERM)
    return is_stopping() or (is_sigterm and _got_sigterm.wait(0.2))


def send_signal(send: Callable[[int, int], None], number: int, signal_number: int) -> bool:
    """Send a signal, and return whether there is such a process."""
    try:
        send(number, signal_number)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # the process exists
    return True
