"""Who lives: processes found by what is in their environment, and a sweep's parts among them."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pretend import LOG, TRIAL, born

HERE = Path(__file__).parent
MUTRANSFER = [sys.executable, "-m", "mutransfer.cli"]


@dataclass(frozen=True)
class Living:
    """A process: its number, when it was born, its parent, and what it is."""

    pid: int
    born: str
    parent: int
    words: tuple[str, ...]
    trial: str

    @property
    def is_program(self) -> bool:
        """Whether it is what a trial runs."""
        return any(word.endswith("pretend.py") for word in self.words)

    @property
    def is_worker(self) -> bool:
        """Whether it is a worker of a driver."""
        return any("serve(int(" in word for word in self.words)


def family(log: Path) -> list[Living]:
    """Find every living process of a study, by the log that its environment names."""
    sought, found = f"{LOG}={log}".encode(), []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            if sought not in environment:
                continue
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        trial = [e.partition(b"=")[2].decode() for e in environment if e.startswith(TRIAL.encode())]
        since = born(int(entry.name))
        if since is not None:
            found.append(Living(int(entry.name), since, parent, tuple(words), "".join(trial)))
    return found


def wait_until(said: Callable[[], object], seconds: float) -> bool:
    """Wait until something is true; False if it does not become so."""
    deadline = time.monotonic() + seconds
    while not said():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@cache
def hosts_have_names() -> bool:
    """Tell whether a process can be given another host name here."""
    tool = shutil.which("unshare")
    return tool is not None and not subprocess.call(
        [tool, "--uts", "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def hasty(host: str = "here") -> list[str]:
    """Give the start of a command line: `mutransfer` in a hurry, on a host of some name."""
    moved = []
    if host != "here":
        host = f"{'named' if hosts_have_names() else 'feigned'}:{host}"
        moved = ["unshare", "--uts"] if hosts_have_names() else []
    return [*moved, sys.executable, str(HERE / "hasty.py"), host]


STUDY = """
schema = 1
[study]
name = "{name}"
[axes]
width = {widths}
lr = {lrs}
[derived]
seconds = "{seconds}"
[runner]
command = "{{python}} -I -S pretend.py {{trial_dir}} {{seconds}} {{width}} {{lr}}"
loss = {{ json = "loss.json" }}
"""


def write_study(
    folder: Path, *, seconds: str, name: str = "study", widths: int = 2, lrs: int = 2
) -> Path:
    """Write a study of programs that pretend to train for some seconds, a formula of the axes."""
    shutil.copy(HERE / "pretend.py", folder)
    text = STUDY.format(
        name=name,
        widths=list(range(1, widths + 1)),
        lrs=list(range(1, lrs + 1)),
        seconds=seconds,
    )
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def environment(log: Path) -> dict[str, str]:
    """Give the environment by which a study's processes are recognised."""
    return {**os.environ, LOG: str(log), "COLUMNS": "200"}
