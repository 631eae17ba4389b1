"""Fake studies, and their living processes: found by a variable in their environment."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fake_training import LOG, TRIAL, start_time

HERE = Path(__file__).parent
MUTRANSFER = [sys.executable, "-m", "mutransfer.cli"]


@dataclass(frozen=True)
class Process:
    """A process: its number, its start time, its parent, its command line and its trial."""

    pid: int
    started: str
    parent: int
    words: tuple[str, ...]
    trial: str

    @property
    def is_program(self) -> bool:
        """Whether it is the program of a trial."""
        return any(word.endswith("fake_training.py") for word in self.words)

    @property
    def is_worker(self) -> bool:
        """Whether it is a worker of a driver."""
        return any("serve(int(" in word for word in self.words)


def processes_of(log: Path) -> list[Process]:
    """Return every living process of a study, by the log that its environment names."""
    marker, processes = f"{LOG}={log}".encode(), []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
            if marker not in variables:
                continue
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        trial = [v.partition(b"=")[2].decode() for v in variables if v.startswith(TRIAL.encode())]
        started = start_time(int(entry.name))
        if started is not None:
            process = Process(int(entry.name), started, parent, tuple(words), "".join(trial))
            processes.append(process)
    return processes


def wait_until(condition: Callable[[], object], seconds: float) -> bool:
    """Wait until a condition holds; return False if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@cache
def can_rename_host() -> bool:
    """Return whether a process can be given another host name here."""
    tool = shutil.which("unshare")
    return tool is not None and not subprocess.call(
        [tool, "--uts", "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def with_short_timeouts(host: str = "here") -> list[str]:
    """Return the start of a command line: `mutransfer` with short timeouts, on a named host."""
    prefix = []
    if host != "here":
        host = f"{'renamed' if can_rename_host() else 'patched'}:{host}"
        prefix = ["unshare", "--uts"] if can_rename_host() else []
    return [*prefix, sys.executable, str(HERE / "short_timeouts.py"), host]


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
command = "{{python}} -I -S fake_training.py {{trial_dir}} {{seconds}} {{width}} {{lr}}"
loss = {{ json = "loss.json" }}
"""


def write_study(
    folder: Path, *, seconds: str, name: str = "study", widths: int = 2, lrs: int = 2
) -> Path:
    """Write a study whose programs pretend to train for some seconds, a formula of the axes."""
    shutil.copy(HERE / "fake_training.py", folder)
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
    """Return the environment by which a study's processes are recognized."""
    return {**os.environ, LOG: str(log), "COLUMNS": "200"}
