"""A SLURM of three nodes on this machine, and sweeps on it, as the tests see them."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

SCRIPT = Path(__file__).parent / "cluster.sh"
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "unshare")
NODES = ("n1", "n2", "n3")
MAX_ARRAY = 11  # so that a sweep needs several arrays
STUDY = """
schema = 1
[study]
name = "study"
[axes]
width = {widths}
lr = {lrs}
[runner]
command = "sh -c 'echo start {{width}}-{{lr}} $$(date +%s.%N) $SLURMD_NODENAME >>log; \
sleep {seconds}; echo end {{width}}-{{lr}} $$(date +%s.%N) >>log; echo loss 2.{{width}}'"
loss = {{ regex = 'loss (\\S+)' }}
[slurm]
{settings}
"""


def why_not() -> str:
    """Return why SLURM cannot be started here, or nothing."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if missing:
        return f"{missing[0]} is missing: make slurm installs it"
    if os.getuid() != 0:
        return "only root can start the nodes"
    allowed = subprocess.run(["unshare", "--uts", "--pid", "--fork", "true"], check=False)
    return "" if allowed.returncode == 0 else "no namespaces here"


PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


def wait_until(condition: Callable[[], object], seconds: float) -> bool:
    """Wait until a condition holds; return False if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


class Cluster:
    """The nodes, and commands of SLURM."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        conf = str(folder / "slurm.conf")
        self.env = {**os.environ, "PATH": PATH, "SLURM_CONF": conf, "COLUMNS": "300"}
        self.env["XDG_CONFIG_HOME"] = str(folder)

    def node(self, verb: str, *words: str) -> None:
        """Start or stop nodes."""
        env = {**self.env, "MAX_ARRAY": str(MAX_ARRAY)}
        subprocess.run(["bash", str(SCRIPT), verb, str(self.folder), *words], env=env, check=True)

    def __call__(self, *words: str) -> str:
        """Run a command of SLURM and return what it prints."""
        return subprocess.run(
            words, env=self.env, capture_output=True, text=True, check=True, timeout=60
        ).stdout


class Sweep:
    """A study on the cluster, and the state of its store."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder, self.store = cluster, folder, folder / "store"
        self.log = folder / "log"

    def write(self, *, widths: int, lrs: int, seconds: float, settings: str = "") -> None:
        """Write the study: each trial sleeps for some seconds."""
        axes = {"widths": list(range(1, widths + 1)), "lrs": list(range(1, lrs + 1))}
        text = STUDY.format(**axes, seconds=seconds, settings=settings).replace("$$", "$")
        (self.folder / "study.toml").write_text(text)

    def start(self, *options: str) -> subprocess.Popen:
        """Start the driver."""
        words = ["sweep", "study.toml", "--store", "store", "--executor", "slurm", *options]
        return subprocess.Popen(
            [sys.executable, "-m", "mutransfer.cli", *words],
            cwd=self.folder,
            env=self.cluster.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, driver: subprocess.Popen) -> str:
        """Wait for the end of a driver that must succeed, and return its output."""
        output, _ = driver.communicate(timeout=500)
        assert driver.returncode == 0, output + self.cluster("squeue", "--array")
        return output

    def num_done(self) -> int:
        """Return the number of trials with a result."""
        return len(list(self.store.glob("*/result.json")))

    def runs_on(self, node: str) -> bool:
        """Return whether a program runs on a node."""
        ends = {line.split()[1] for line in self.lines() if line.startswith("end")}
        starts = (line.split() for line in self.lines() if line.startswith("start"))
        return any(words[3] == node and words[1] not in ends for words in starts)

    def running(self) -> int:
        """Return the number of programs that started and did not end."""
        events = Counter(line.split()[0] for line in self.lines())
        return events["start"] - events["end"]

    def lines(self) -> list[str]:
        """Return the log of the programs."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def tasks(self) -> list[str]:
        """Return the tasks in the queue that wait or run."""
        name = next((self.store / "slurm").glob("job.sh")).read_text()
        name = name.partition("--job-name=")[2].split()[0]
        return self.cluster("squeue", "-h", "-r", f"--name={name}", "-o", "%i %T").splitlines()

    def check(self, num_trials: int) -> None:
        """Assert that no trial was lost, and that none was repeated once it had ended."""
        results = list(self.store.glob("*/result.json"))
        assert len(results) == num_trials
        completed = Counter(path.parts[-4] for path in self.store.glob("*/attempts/*/result.json"))
        assert set(completed.values()) == {1}
        ends = Counter(line.split()[1] for line in self.lines() if line.startswith("end"))
        assert len(ends) == num_trials
        ids = {json.loads(path.read_text())["id"] for path in results}
        assert ids == set(completed)
