"""Preemption by a cluster: SIGTERM to every process of the job at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STUDY = """
schema = 1
[study]
name = "s"
[axes]
width = [8, 16, 32]
lr = [0.25]
[runner]
command = "{python} -c 'import time; time.sleep(30 * ({width} > 8)); print({width} * {lr})'"
loss = { regex = "(.*)" }
"""


def descendants(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    return found


@pytest.mark.slow
def test_a_preempted_job_loses_nothing_and_records_no_failure(tmp_path) -> None:
    (tmp_path / "study.toml").write_text(STUDY)
    line = [sys.executable, "-m", "mutransfer.cli", "sweep", "study.toml", "--workers", "2"]
    driver = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    while len(descendants(driver.pid)) < 5 or not list(tmp_path.glob("runs/s/*/result.json")):
        time.sleep(0.1)
    time.sleep(0.5)
    start, job = time.monotonic(), descendants(driver.pid)
    for pid in job:
        os.kill(pid, signal.SIGTERM)
    out, _ = driver.communicate(timeout=15)
    assert time.monotonic() - start < 10
    assert (driver.returncode, out.splitlines()[0]) == (
        130, "1 of 3 trials done"
    )  # fmt: skip
    assert not list(tmp_path.glob("runs/s/*/attempts/*/error.txt"))
    assert len(list(tmp_path.glob("runs/s/*/claims/1.released"))) == 3
    assert not [pid for pid in job if Path(f"/proc/{pid}").exists()]
