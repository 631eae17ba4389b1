"""This file is who works on a trial: exclusive numbered files with a heartbeat."""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from os import link
from pathlib import Path
from types import TracebackType
from typing import Self

from mutransfer.sweep.files import opened_inside, unlinked
from mutransfer.sweep.processes import place, started

HEARTBEAT_SECONDS = 10.0
# A claim from another place is dead if it does not beat while it is watched for so long. No
# clock is compared with another [assumed: several heartbeats and a slow file server].
STALE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Mark:
    """What one sees of a claim; two equal marks some time apart are a missing heartbeat.

    Args:
        number: The claim's number.
        beat: Time of its last heartbeat by the file server's clock, nanoseconds.
        owner: Where its owner runs, and its process number.
        alive: Whether it is; None where only watching can tell.
    """

    number: int
    beat: int
    owner: str
    alive: bool | None


def look(folder: Path) -> Mark | None:
    """See a trial's claim; None if nobody has it."""
    claims = unlinked(folder / "claims")
    return _seen(claims, _latest(claims))


def _seen(claims: Path, number: int) -> Mark | None:
    """See one claim; None if it was released, or is none."""
    path = claims / f"{number}.json"
    if not number or path.with_suffix(".released").exists():
        return None
    try:
        with opened_inside(path) as file:  # opening asks the file server, a stat may be remembered
            beat = os.fstat(file.fileno()).st_mtime_ns
            owner = json.loads(file.read())
        where, pid, since = str(owner["place"]), int(owner["pid"]), owner["started"]
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        # Torn when its host lost power.
        return Mark(number, _beat(path), "unknown", None)
    alive = since is not None and started(pid) == since if where == place() else None
    return Mark(number, beat, f"{where.partition(' ')[0]}, process {pid}", alive)


def take(folder: Path, dead: Mark | None = None) -> Claim | None:
    """Claim a trial, or give None because somebody works on it.

    Claims are files `claims/<k>.json`. Only the highest counts; it is taken over by creating
    the next one exclusively, so of two that try, one fails, and nothing is ever deleted.

    Args:
        folder: The trial's.
        dead: A claim that was watched in vain, which may be taken over if it is still the same.
    """
    claims = unlinked(folder / "claims")
    claims.mkdir(exist_ok=True)
    latest = _latest(claims)
    mark = _seen(claims, latest)
    if mark is not None and mark.alive is not False and mark != dead:
        return None
    path, draft = claims / f"{latest + 1}.json", claims / f".{uuid.uuid4().hex}"
    pid = os.getpid()
    try:
        # Whole or not at all: a claim that names nobody would have to be watched.
        draft.write_text(json.dumps({"place": place(), "pid": pid, "started": started(pid)}))
        link(draft, path)
    except FileExistsError:
        return None
    finally:
        draft.unlink(missing_ok=True)
    return Claim(path)


@dataclass(frozen=True, slots=True)
class Claim:
    """A trial that is ours while the context lasts; its file's time is the heartbeat."""

    path: Path

    def __enter__(self) -> Self:
        _beating().add(self.path)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _beating().discard(self.path)
        self.release()

    def release(self) -> None:
        """Let others have the trial; without this file they would find the owner dead."""
        try:
            released = self.path.with_suffix(".released")
            os.close(os.open(released, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except OSError:
            return  # a full disk or a store that is gone; our end says the same


@cache
def _beating() -> set[Path]:
    """Give the claims that a thread of this process touches again and again."""
    claims: set[Path] = set()

    def beat() -> None:
        while True:
            time.sleep(HEARTBEAT_SECONDS)
            for path in tuple(claims):
                # The file server may come back; if not, publishing will say so.
                with suppress(OSError):
                    os.utime(path)

    threading.Thread(target=beat, daemon=True).start()
    return claims


def _latest(claims: Path) -> int:
    """Give the number of the claim that counts, 0 if there is none."""
    try:
        names = os.listdir(claims)
    except OSError:
        return 0  # there is none yet, or what is there is no folder: then it cannot be made
    numbers = [n.removesuffix(".json") for n in names if n.endswith(".json")]
    return max((int(n) for n in numbers if n.isdecimal()), default=0)


def _beat(path: Path) -> int:
    """Give a file's time, 0 if it is gone."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
