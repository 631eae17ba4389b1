"""Processes: checks of whether they run, and process groups that are terminated as a whole."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import FrameType
from typing import IO

from mutransfer.sweep.files import read_no_follow

KILL_SECONDS = 3.0  # between SIGTERM and SIGKILL
PROCESS_FILE = "process.json"
_is_closing, _got_sigterm = threading.Event(), threading.Event()


class Interrupted(Exception):  # noqa: N818 - like KeyboardInterrupt, it is not an error
    """A trial was ended from outside. It has not failed, and remains to be done."""


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
        return "running" if _send(os.kill, pid, 0) else None
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
    """Start a program as the leader of a new process group, recorded in its attempt's folder.

    If this process is killed, the kernel kills the leader, and the record allows others to kill
    the rest of the group.
    """
    process = subprocess.Popen(
        arguments,
        cwd=cwd,
        env=env,
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


def terminate_group(attempt: Path, patience: float = KILL_SECONDS) -> None:
    """Terminate the processes of an attempt on this machine: SIGTERM first, then SIGKILL.

    Nothing happens if the record is of another host or container, or if its process number now
    belongs to another process.
    """
    try:
        record = json.loads(read_no_follow(attempt / PROCESS_FILE))
        group, started = int(record["pid"]), record["started"]
        is_elsewhere = record["place"] != pid_scope()
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return
    if is_elsewhere or not 1 < group < 2**31 or start_time(group) not in (started, None):
        return
    if not _send(os.killpg, group, signal.SIGTERM):
        return
    deadline = time.monotonic() + patience
    while _is_running(group) and time.monotonic() < deadline:
        time.sleep(0.05)
    _send(os.killpg, group, signal.SIGKILL)


def close(attempt: Path | None) -> None:
    """Terminate the processes of an attempt because this process ends; called from a thread."""
    _is_closing.set()
    if attempt is not None:
        terminate_group(attempt)


def on_sigterm(number: int, frame: FrameType | None) -> None:
    """Remember that this process got SIGTERM, as clusters send it to reclaim a machine."""
    _got_sigterm.set()


def was_interrupted(status: int) -> bool:
    """Return whether this process or the cluster ended a program, which then has not failed."""
    is_sigterm = status in (-signal.SIGTERM, 128 + signal.SIGTERM)
    # The program may get its signal a moment before this process does.
    return _is_closing.is_set() or (is_sigterm and _got_sigterm.wait(0.2))


def _is_running(group: int) -> bool:
    """Return whether a process of a group has not finished."""
    if not os.path.isdir("/proc/self"):
        return _send(os.killpg, group, 0)
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                stat = Path("/proc", name, "stat").read_text()
            except OSError:
                continue
            state, _, process_group = stat.rpartition(")")[2].split()[:3]
            if int(process_group) == group and state != "Z":
                return True
    return False


def _send(send: Callable[[int, int], None], number: int, signal_number: int) -> bool:
    """Send a signal; False if no such process exists."""
    try:
        send(number, signal_number)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # the process exists
    return True
