"""`mutransfer` with short timeouts and a host name of choice: `short_timeouts.py HOST sweep ...`.

A silent claim of another host expires after seconds instead of a minute. HOST is `here`, or
`renamed:NAME` after `unshare --uts`, or `patched:NAME` where that is not permitted.
"""

import os
import socket
import sys

from mutransfer.cli import main
from mutransfer.sweep import driver
from mutransfer.sweep.executors import local
from mutransfer.sweep.store import claims

HEARTBEAT_SECONDS, STALE_SECONDS, POLL_SECONDS = 0.5, 5.0, 0.2
SHORT_HEARTBEAT = """
import mutransfer.sweep.store.claims
mutransfer.sweep.store.claims.HEARTBEAT_SECONDS = {}
"""
PATCHED_NAME = """
import socket
socket.gethostname = lambda: {!r}
"""


def run_in_workers(code: str) -> None:
    """Make every worker that this process starts run some code first."""
    before, call, after = local.BOOT.partition(
        "from mutransfer.sweep.executors.worker import serve"
    )
    assert call, "workers are started in another way now"
    local.BOOT = before + code + call + after


def set_host(host: str) -> None:
    """Take on another host's name, here and in workers."""
    how, _, name = host.partition(":")
    if how == "renamed":
        ours, parents = (os.readlink(f"/proc/{pid}/ns/uts") for pid in ("self", os.getppid()))
        assert ours != parents, "this process must not rename the machine"
        socket.sethostname(name)
    elif how == "patched":
        socket.gethostname = lambda: name
        run_in_workers(PATCHED_NAME.format(name))


def shorten_timeouts() -> None:
    """Shorten the timeouts, here and in workers."""
    claims.HEARTBEAT_SECONDS = HEARTBEAT_SECONDS
    driver.STALE_SECONDS, driver.POLL_SECONDS = STALE_SECONDS, POLL_SECONDS
    run_in_workers(SHORT_HEARTBEAT.format(HEARTBEAT_SECONDS))


if __name__ == "__main__":
    set_host(sys.argv.pop(1))
    shorten_timeouts()
    main()
