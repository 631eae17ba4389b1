"""This file is who works on a trial: exclusive numbered files with a heartbeat."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

HEARTBEAT_SECONDS = 10.0
# Silent for this long on another host: dead [assumed: several heartbeats and a slow file server].
STALE_SECONDS = 120.0


def take(folder: Path, host: str | None = None) -> Claim | None:
    """Claim a trial, or give None because somebody works on it.

    Claims are files `claims/<k>.json`. Only the highest counts; it is taken over by creating
    the next one exclusively, so of two that try, one fails, and nothing is ever deleted.
    """
    claims = folder / "claims"
    claims.mkdir(exist_ok=True)
    numbers = [int(p.stem) for p in claims.glob("*.json") if p.stem.isdecimal()]
    latest = max(numbers, default=0)
    if latest and _alive(claims / f"{latest}.json"):
        return None
    path = claims / f"{latest + 1}.json"
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return None
    pid = os.getpid()
    owner = {"host": host or socket.gethostname(), "pid": pid, "started": _started(pid)}
    with os.fdopen(handle, "w") as file:
        file.write(json.dumps(owner))
    return Claim(path)


@dataclass(slots=True)
class Claim:
    """A trial that is ours while the context lasts; its file's time is the heartbeat."""

    path: Path
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        released = self.path.with_suffix(".released")
        released.touch()

    def _beat(self) -> None:
        """Touch the claim until the context ends."""
        while not self._over.wait(HEARTBEAT_SECONDS):
            try:
                os.utime(self.path)
            except OSError:
                return  # the store is gone; publishing will say so


def _alive(path: Path) -> bool:
    """Tell whether a claim's owner still works on it."""
    if path.with_suffix(".released").exists():
        return False
    try:
        age = time.time() - path.stat().st_mtime
        owner = json.loads(path.read_text())
        host, pid, started = owner["host"], int(owner["pid"]), owner["started"]
    except (OSError, ValueError, KeyError, TypeError):
        # Just created and not yet written, or torn by a crash.
        return _young(path)
    if host == socket.gethostname():
        return bool(_started(pid) == started)
    return age < STALE_SECONDS


def _young(path: Path) -> bool:
    """Tell whether a file was touched lately."""
    try:
        return time.time() - path.stat().st_mtime < STALE_SECONDS
    except OSError:
        return False


def _started(pid: int) -> str | None:
    """Give a process's start time, since a pid is reused; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        if os.path.isdir("/proc/self"):
            return None
        return _exists(pid)
    fields = stat.rpartition(")")[2].split()
    # A zombie has finished, whoever has not yet collected it.
    return None if fields[0] == "Z" else fields[19]


def _exists(pid: int) -> str | None:
    """Tell whether a process exists where there is no /proc."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "running"
