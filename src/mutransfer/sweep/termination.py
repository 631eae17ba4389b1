"""Termination of every process of a trial, also of those that left its process group.

Launchers such as torchrun start their workers as leaders of new sessions, and daemons are orphans:
a signal to the process group of the trial's program reaches neither. On Linux the processes of
a trial are those that

- are in the session or the process group of its program,
- inherited the variable `MUTRANSFER_ATTEMPT`, which also survives a double fork,
- were adopted by its worker, the child subreaper of what it starts (`adopt_orphans`), or
- are children of these.

Where there is no /proc, as on macOS, only the process group is terminated.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mutransfer.sweep.files import read_no_follow
from mutransfer.sweep.processes import (
    ATTEMPT,
    PROCESS_FILE,
    is_stopping,
    pid_scope,
    send_signal,
    start_closing,
    start_time,
)

# Between SIGTERM and SIGKILL, and then until the kernel has freed what the processes held.
KILL_SECONDS = 3.0
# Processes that a finished program leaves in other sessions may end by themselves, such as the
# service of a tracker, which uploads its last records [assumed].
LEFTOVER_SECONDS = 5.0
POLL_SECONDS = 0.05
_adopts = threading.Event()


def adopt_orphans() -> None:
    """Make this process the parent of orphans among its descendants, in place of init."""
    set_child_subreaper = 36  # linux/prctl.h
    if sys.platform == "linux" and ctypes.CDLL(None).prctl(set_child_subreaper, 1) == 0:
        _adopts.set()


def terminate_trial(
    attempt: Path, patience: float = KILL_SECONDS, *, has_finished: bool = False
) -> list[str]:
    """Terminate the processes of an attempt on this machine: SIGTERM first, then SIGKILL.

    All get the signal at once, as from Ctrl-C in a terminal, and the function returns when they
    have ended. Nothing happens if the record is of another host or container.

    Args:
        attempt: Folder of the attempt.
        patience: Seconds between the signals.
        has_finished: Whether the program ended by itself. What it left outside of its session then
            has some seconds to end as well.

    Returns:
        The command lines of the terminated processes, without repetition.
    """
    trial = _read_trial(attempt)
    running = set() if trial is None else trial.running()
    if trial is None or not running:
        return []
    if has_finished:
        running = _wait_for_services(trial, running)
    commands: dict[str, None] = {}
    # Without /proc, a killed leader that this process has not reaped would seem to run.
    wait_for_kernel = KILL_SECONDS if os.path.isdir("/proc/self") else 0.0
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, wait_for_kernel)):
        deadline, signalled = time.monotonic() + seconds, set[_Process]()
        while running:
            for process in running - signalled:
                commands.setdefault(_command_line(process.pid))
                _send(process, number)
            signalled |= running
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS)
            running = trial.running()
    return [command for command in commands if command]


def _wait_for_services(trial: _Trial, running: set[_Process]) -> set[_Process]:
    """Wait while processes run that left the program's session; return those that still do."""
    deadline = time.monotonic() + LEFTOVER_SECONDS
    while not is_stopping() and time.monotonic() < deadline:
        if all(trial.leader in (process.session, process.group) for process in running):
            break
        time.sleep(POLL_SECONDS)
        running = trial.running()
    return running


def close(attempt: Path | None) -> None:
    """Terminate the processes of an attempt because this process ends; called from a thread."""
    start_closing()
    if attempt is not None:
        terminate_trial(attempt)


@dataclass(frozen=True, slots=True)
class _Process:
    """Process that has not finished; its number alone may be that of a later one."""

    pid: int
    started: str
    parent: int = field(default=0, compare=False)
    group: int = field(default=0, compare=False)
    session: int = field(default=0, compare=False)


@dataclass(slots=True)
class _Trial:
    """Processes of an attempt.

    Args:
        leader: Process number of the program, 0 if it now belongs to another process.
        started: Start of the program in clock ticks; no process of the attempt is older.
        mark: Variable that the processes inherited.
        seen: Processes that belonged to the attempt at an earlier look. They still do when the
            parent that showed it has ended.
    """

    leader: int
    started: int
    mark: bytes
    seen: set[_Process] = field(default_factory=set)

    def running(self) -> set[_Process]:
        """Return the processes that have not finished."""
        if not os.path.isdir("/proc/self"):  # the process group, under its negative number
            exists = self.leader and send_signal(os.killpg, self.leader, 0)
            return {_Process(-self.leader, "running", group=self.leader)} if exists else set()
        processes = _processes()
        children: dict[int, list[_Process]] = {}
        for process in processes:
            children.setdefault(process.parent, []).append(process)
        pending, running = list(filter(self._is_root, processes)), set[_Process]()
        while pending:
            process = pending.pop()
            if process not in running and process.pid != os.getpid():
                running.add(process)
                pending += children.get(process.pid, ())
        self.seen |= running
        if _adopts.is_set():
            self._reap()
        return running

    def _is_root(self, process: _Process) -> bool:
        """Return whether a process belongs to the attempt by itself, not only by its parent."""
        return (
            (self.leader != 0 and self.leader in (process.session, process.group))
            or process in self.seen
            or (_adopts.is_set() and process.parent == os.getpid())
            or (int(process.started) >= self.started and self.mark in _environment(process.pid))
        )

    def _reap(self) -> None:
        """Reap adopted processes that have finished; the leader is that of `subprocess`."""
        for process in self.seen:
            if process.pid != self.leader:
                with suppress(ChildProcessError):
                    os.waitpid(process.pid, os.WNOHANG)


def _read_trial(attempt: Path) -> _Trial | None:
    """Read the record of an attempt; None if it is missing, damaged or of another place."""
    try:
        record = json.loads(read_no_follow(attempt / PROCESS_FILE))
        leader, started = int(record["pid"]), record["started"]
        is_elsewhere = record["place"] != pid_scope()
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    if is_elsewhere or not 1 < leader < 2**31:
        return None
    if start_time(leader) not in (started, None):
        leader = 0
    mark = f"\0{ATTEMPT}={os.path.realpath(attempt)}\0"
    is_number = isinstance(started, str) and started.isdecimal()
    return _Trial(leader, int(started) if is_number else 0, os.fsencode(mark))


def _processes() -> list[_Process]:
    """Return the processes of this machine that have not finished."""
    processes = []
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        try:
            # Bytes, unbuffered: this reads hundreds of files at the end of every program.
            with open(f"/proc/{name}/stat", "rb", buffering=0) as file:
                stat = file.read()
        except OSError:
            continue  # it has ended
        fields = stat.rpartition(b")")[2].split()
        # The main thread of a process may end before the others, which keep its GPU memory.
        if fields[0] in b"ZX" and int(fields[17]) <= 1:
            continue
        processes.append(_Process(int(name), fields[19].decode(), *map(int, fields[1:4])))
    return processes


def _environment(pid: int) -> bytes:
    """Return the variables of a process, each between two zero bytes; none of other users."""
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
            return b"\0" + file.read()
    except OSError:
        return b""


def _command_line(pid: int) -> str:
    """Return the command line of a process, as far as it is known."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    return " ".join(words).strip()


def _send(process: _Process, number: int) -> None:
    """Send a signal, unless the process number now belongs to another process."""
    if process.pid < 0 or start_time(process.pid) == process.started:
        send_signal(os.kill, process.pid, number)
