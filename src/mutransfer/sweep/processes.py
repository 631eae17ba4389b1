"""This file is processes: who is alive where, and programs in groups that can be ended whole."""

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

from mutransfer.sweep.files import read_inside

END_SECONDS = 3.0  # between asking a group to end and killing it
NOTE = "process.json"
_closing, _terminated = threading.Event(), threading.Event()


class Interrupted(Exception):  # noqa: N818 - like KeyboardInterrupt, it is no error
    """A trial was ended from outside: it has not failed, and is still to be done."""


@cache
def place() -> str:
    """Name where process numbers mean the same: host, boot, and namespace of a container."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def started(pid: int) -> str | None:
    """Give a process's start time, since a pid is used again; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        if os.path.isdir("/proc/self"):
            return None
        return "running" if _signalled(os.kill, pid, 0) else None
    fields = stat.rpartition(")")[2].split()
    # A zombie has finished, whoever has not yet collected it.
    return None if fields[0] == "Z" else fields[19]


def start(
    arguments: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    out: IO[bytes],
    err: IO[bytes],
    attempt: Path,
) -> subprocess.Popen[bytes]:
    """Start a program as the leader of a new group, noted in its attempt's folder.

    If this process is killed, the leader is too; whoever finds the note can end the others.
    """
    process = subprocess.Popen(
        arguments,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        start_new_session=True,
        preexec_fn=_ending_with(os.getpid()),
    )
    note = {"place": place(), "pid": process.pid, "started": started(process.pid)}
    try:
        (attempt / NOTE).write_text(json.dumps(note))
    except OSError:
        process.kill()  # what cannot be noted could not be ended by others
        process.wait()
        raise
    return process


def _ending_with(parent: int) -> Callable[[], None] | None:
    """Give what a new process does first, so that the system kills it when its parent dies."""
    if sys.platform != "linux":
        return None
    prctl, parent_death_signal = ctypes.CDLL(None).prctl, 1

    def before_program() -> None:
        prctl(parent_death_signal, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return before_program


def end_group(attempt: Path, patience: float = END_SECONDS) -> None:
    """End what an attempt started and left running here: first asked, then killed.

    A note from another place, or of a number that another process has by now, is left alone.
    """
    try:
        note = json.loads(read_inside(attempt / NOTE))
        group, since = int(note["pid"]), note["started"]
        elsewhere = note["place"] != place()
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return
    if elsewhere or not 1 < group < 2**31 or started(group) not in (since, None):
        return
    if not _signalled(os.killpg, group, signal.SIGTERM):
        return
    deadline = time.monotonic() + patience
    while _anyone(group) and time.monotonic() < deadline:
        time.sleep(0.05)
    _signalled(os.killpg, group, signal.SIGKILL)


def close(attempt: Path | None) -> None:
    """End what an attempt started because this process ends too, in another thread than its own."""
    _closing.set()
    if attempt is not None:
        end_group(attempt)


def terminated(number: int, frame: FrameType | None) -> None:
    """Note that everything here was sent SIGTERM, as clusters do when they want a machine back."""
    _terminated.set()


def was_ended(status: int) -> bool:
    """Tell whether a program's end was ours, or the cluster's: no result then, and no failure."""
    by_term = status in (-signal.SIGTERM, 128 + signal.SIGTERM)
    # The program may have had its signal a moment before this process.
    return _closing.is_set() or (by_term and _terminated.wait(0.2))


def _anyone(group: int) -> bool:
    """Tell whether a group has a process that has not finished."""
    if not os.path.isdir("/proc/self"):
        return _signalled(os.killpg, group, 0)
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                stat = Path("/proc", name, "stat").read_text()
            except OSError:
                continue
            state, _, in_group = stat.rpartition(")")[2].split()[:3]
            if int(in_group) == group and state != "Z":
                return True
    return False


def _signalled(send: Callable[[int, int], None], number: int, what: int) -> bool:
    """Send a signal; False if nobody is there."""
    try:
        send(number, what)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
