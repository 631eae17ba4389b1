"""Signals that stop a sweep: Ctrl-C once or twice, or SIGTERM as on preemption."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

# After SIGTERM running trials have this long to end before they are abandoned. Clusters kill a job
# some 10 s later or more, and ending a program takes up to 3 s [assumed].
GRACE_SECONDS = 4.0

MESSAGES = {  # after Ctrl-C, and after SIGTERM, by executor
    "local": (
        "finishing the running trials; press Ctrl-C again to abandon them",
        f"terminated: running trials have {GRACE_SECONDS:g} s to end",
    ),
    "slurm": (
        "leaving the tasks in the queue; press Ctrl-C again within 3 s to cancel them",
        "terminated: the tasks stay in the queue",
    ),
}


@contextmanager
def stop_on_signals(executor: str = "local") -> Iterator[threading.Event]:
    """Yield an event that is set when the user or the cluster asks to stop.

    The first Ctrl-C lets running trials end, and the second raises KeyboardInterrupt. SIGTERM and
    SIGHUP let them end for some seconds, and then raise it.
    """
    from mutransfer.sweep.processes import Terminated

    stop = threading.Event()
    interrupt_message, terminate_message = (
        f"\n{text}\n" for text in MESSAGES.get(executor, MESSAGES["local"])
    )

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        os.write(2, interrupt_message.encode())

    def on_terminate(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGALRM:
            raise Terminated
        stop.set()
        with suppress(OSError):  # the terminal may be gone
            os.write(2, terminate_message.encode())
        signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)

    handlers = {
        signal.SIGINT: on_interrupt,
        signal.SIGTERM: on_terminate,
        signal.SIGHUP: on_terminate,
        signal.SIGALRM: on_terminate,
    }
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield stop
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)
