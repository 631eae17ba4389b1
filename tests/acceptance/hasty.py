"""`mutransfer`, on a host of any name and in a hurry: `hasty.py HOST sweep STUDY.toml ...`.

Silence of another host is judged after seconds instead of a minute. HOST is `here`, or
`named:NAME` after `unshare --uts`, or `feigned:NAME` where that is not permitted.
"""

import os
import socket
import sys

from mutransfer.cli import main
from mutransfer.sweep import driver
from mutransfer.sweep.executors import local
from mutransfer.sweep.store import claims

HEARTBEAT_SECONDS, STALE_SECONDS, POLL_SECONDS = 0.5, 5.0, 0.2
HURRY = """
import mutransfer.sweep.store.claims
mutransfer.sweep.store.claims.HEARTBEAT_SECONDS = {}
"""
FEIGN = """
import socket
socket.gethostname = lambda: {!r}
"""


def in_workers(text: str) -> None:
    """Have every worker that this process will start run something first."""
    before, serving, after = local.BOOT.partition(
        "from mutransfer.sweep.executors.worker import serve"
    )
    assert serving, "workers are started otherwise now"
    local.BOOT = before + text + serving + after


def be(host: str) -> None:
    """Take on another host's name, here and in workers."""
    how, _, name = host.partition(":")
    if how == "named":
        ours, parents = (os.readlink(f"/proc/{pid}/ns/uts") for pid in ("self", os.getppid()))
        assert ours != parents, "the name of this machine is not ours to change"
        socket.sethostname(name)
    elif how == "feigned":
        socket.gethostname = lambda: name
        in_workers(FEIGN.format(name))


def hurry() -> None:
    """Shorten the waiting, here and in workers."""
    claims.HEARTBEAT_SECONDS = HEARTBEAT_SECONDS
    driver.STALE_SECONDS, driver.POLL_SECONDS = STALE_SECONDS, POLL_SECONDS
    in_workers(HURRY.format(HEARTBEAT_SECONDS))


if __name__ == "__main__":
    be(sys.argv.pop(1))
    hurry()
    main()
