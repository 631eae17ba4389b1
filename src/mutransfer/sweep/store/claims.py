"""Claims: a claim is a worker's exclusive, temporary right to run one trial.

It is a numbered file `claims/<k>.json` in the trial's folder that names its owner. The modification
time of the file is the owner's heartbeat, and only the highest number counts. A worker takes over
the trial of a dead owner by creating `<k+1>.json` exclusively, so only one of two workers succeeds.
Claims are never deleted: between reading and deleting one, another worker may have replaced it.

The clocks of two hosts are never compared. An owner on another host counts as dead if its heartbeat
does not change for `STALE_SECONDS` of the observer's own clock.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from mutransfer.sweep.files import open_no_follow, reject_link
from mutransfer.sweep.processes import pid_scope, start_time

HEARTBEAT_SECONDS = 10.0  # rare enough for a file server with many workers [assumed]
# Several heartbeats, and time for a slow file server [assumed].
STALE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ClaimState:
    """A claim as observed; two equal states some time apart mean a missing heartbeat.

    Args:
        number: Number of the claim.
        heartbeat: Time of the last heartbeat by the file server's clock, in nanoseconds.
        owner: Host and process number of the owner.
        is_alive: Whether the owner is alive; None if only its heartbeat can show that.
    """

    number: int
    heartbeat: int
    owner: str
    is_alive: bool | None


def current_claim(folder: Path) -> ClaimState | None:
    """Return the state of a trial's claim, None if there is none."""
    claims = reject_link(folder / "claims")
    return _claim_state(claims, _highest_number(claims))


def _claim_state(claims: Path, number: int) -> ClaimState | None:
    """Return the state of one claim, None if it was released or does not exist."""
    path = claims / f"{number}.json"
    if not number or path.with_suffix(".released").exists():
        return None
    try:
        with open_no_follow(path) as file:  # opening asks the file server; a stat may be cached
            heartbeat = os.fstat(file.fileno()).st_mtime_ns
            owner = json.loads(file.read())
        place, pid, started = str(owner["place"]), int(owner["pid"]), owner["started"]
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        # The file is incomplete because its host lost power.
        return ClaimState(number, _modification_time(path), "unknown", None)
    is_here = place == pid_scope()
    is_alive = started is not None and start_time(pid) == started if is_here else None
    return ClaimState(number, heartbeat, f"{place.partition(' ')[0]}, process {pid}", is_alive)


def acquire(folder: Path, stale: ClaimState | None = None) -> Claim | None:
    """Claim a trial; None if another worker holds a claim.

    Args:
        folder: Folder of the trial.
        stale: A claim whose heartbeat stopped, which may be taken over if its state is unchanged.
    """
    claims = reject_link(folder / "claims")
    claims.mkdir(exist_ok=True)
    highest = _highest_number(claims)
    state = _claim_state(claims, highest)
    if state is not None and state.is_alive is not False and state != stale:
        return None
    path, draft = claims / f"{highest + 1}.json", claims / f".{uuid.uuid4().hex}"
    pid = os.getpid()
    owner = {"place": pid_scope(), "pid": pid, "started": start_time(pid)}
    try:
        # Linked only when complete: a claim without an owner would have to be watched.
        draft.write_text(json.dumps(owner))
        os.link(draft, path)
    except FileExistsError:
        return None
    finally:
        draft.unlink(missing_ok=True)
    return Claim(path)


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of this process; inside its context a thread updates the heartbeat."""

    path: Path

    def __enter__(self) -> Self:
        _beating_claims().add(self.path)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _beating_claims().discard(self.path)
        self.release()

    def release(self) -> None:
        """Release the claim, so that other workers need not wait until it is stale."""
        # On a full disk, or if the store is gone, the end of this process has the same effect.
        with suppress(OSError):
            released = self.path.with_suffix(".released")
            os.close(os.open(released, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))


@cache
def _beating_claims() -> set[Path]:
    """Return the claims whose files a thread of this process touches at every heartbeat."""
    claims: set[Path] = set()

    def beat() -> None:
        while True:
            time.sleep(HEARTBEAT_SECONDS)
            for path in tuple(claims):
                # The file server may come back. If it does not, publishing raises the error.
                with suppress(OSError):
                    os.utime(path)

    threading.Thread(target=beat, daemon=True).start()
    return claims


def _highest_number(claims: Path) -> int:
    """Return the number of the claim that counts, 0 if there is none."""
    try:
        names = os.listdir(claims)
    except OSError:
        return 0  # no claims yet, or not a folder, which acquire() reports
    numbers = [n.removesuffix(".json") for n in names if n.endswith(".json")]
    return max((int(n) for n in numbers if n.isdecimal()), default=0)


def _modification_time(path: Path) -> int:
    """Return the time of a file in nanoseconds, 0 if the file is gone."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
