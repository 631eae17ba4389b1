"""This file is how a sweep is stopped: Ctrl-C once or twice, or SIGTERM as preemption."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

# After SIGTERM running trials may end; then they are given up. Clusters kill after some 10 s or
# more, and ending a program takes up to 3 [assumed].
GRACE_SECONDS = 4.0

FIRST = "\nfinishing what runs, starting no more; Ctrl-C again to give that up\n"
TERMINATED = f"\nterminated: trials that run have {GRACE_SECONDS:g} s to end\n"


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """Give an event that is set when the user or the cluster asks to stop.

    The first Ctrl-C lets running trials end, the second one raises KeyboardInterrupt. SIGTERM
    lets them end for some seconds.
    """
    stop = threading.Event()

    def interrupted(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        os.write(2, FIRST.encode())

    def terminated(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGALRM:
            raise KeyboardInterrupt
        stop.set()
        with suppress(OSError):
            os.write(2, TERMINATED.encode())
        signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)

    handlers = {
        signal.SIGINT: interrupted,
        signal.SIGTERM: terminated,
        signal.SIGHUP: terminated,
        signal.SIGALRM: terminated,
    }
    former = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield stop
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in former.items():
            signal.signal(number, handler)
