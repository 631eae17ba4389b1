"""Time that SLURM adds to a trial: `python benchmarks/slurm.py`, as root, after `make slurm`.

Trials that do nothing run on a SLURM of three nodes with two cores each, on this machine, and then
on as many workers of the local executor. A task starts Python and reads the study, so its share of
the time falls with the number of trials in a task.
"""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path

import mutransfer as mt

CLUSTER = Path(__file__).parents[1] / "tests" / "acceptance" / "slurm" / "cluster.sh"
TRIALS, SLOTS = 60, 6
STUDY = """
schema = 1
[study]
name = "benchmark"
[axes]
width = [1]
lr = {rates}
[runner]
command = "sh -c 'echo loss 2.{{width}}{{lr}}'"
loss = {{ regex = 'loss (\\S+)' }}
[slurm]
trials_per_task = {trials_per_task}
"""


def seconds(folder: Path, trials_per_task: int, executor: str) -> float:
    """Run the study in a new store, and return the seconds until its last result."""
    study = folder / f"{executor}-{trials_per_task}.toml"
    rates = list(range(1, TRIALS + 1))
    study.write_text(STUDY.format(rates=rates, trials_per_task=trials_per_task))
    store, start = folder / study.stem, time.perf_counter()
    run = mt.run_study(study, store=store, executor=executor, workers=SLOTS)
    assert run.summary.done == TRIALS
    return time.perf_counter() - start


def main() -> None:
    """Print a table of seconds per trial."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    print(f"commit {commit}, {platform.machine()}, {os.cpu_count()} cores")
    print(f"\n| {TRIALS} trials on {SLOTS} workers | s | ms per trial |\n| --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cluster = folder / "cluster"
        subprocess.run(["bash", CLUSTER, "start", cluster, "3", "2"], check=True)
        os.environ["SLURM_CONF"] = str(cluster / "slurm.conf")
        try:
            for executor, size in (("slurm", 1), ("slurm", 10), ("local", 1)):
                elapsed = seconds(folder, size, executor)
                label = f"{executor}, {size} per task" if executor == "slurm" else executor
                print(f"| {label} | {elapsed:.1f} | {1000 * elapsed / TRIALS:.0f} |", flush=True)
        finally:
            subprocess.run(["bash", CLUSTER, "stop", cluster], check=True)


if __name__ == "__main__":
    main()
