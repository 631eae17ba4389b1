"""The recipes of docs/clusters.md that need nothing but a shell, run as they are printed there."""

import os
import re
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "clusters.md"
STUDY = """
schema = 1
[study]
name = "my-model"
[axes]
width = [8, 16]
lr = "2^-8 .. 2^-6"
[runner]
command = "{python} train.py {width} {lr}"
loss = { regex = "loss (.*)" }
"""
TRAIN = """
import math, os, sys
width, lr = map(float, sys.argv[1:])
print(f"{width} {lr}", file=open("calls.log", "a"))
print("loss", 2 + (math.log2(lr) + 7) ** 2 + 1 / width)
"""
MUTRANSFER = f'#!/bin/sh\nexec {sys.executable} -m mutransfer.cli "$@"\n'
SSH = '#!/bin/sh\nshift\ncd / && exec sh -c "$*"\n'  # the host is this one, in another folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder with a study, and put the command and an `ssh` to this host on the path."""
    for name, text in {"mutransfer": MUTRANSFER, "ssh": SSH}.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "study.toml").write_text(STUDY)
    (tmp_path / "train.py").write_text(TRAIN)
    return tmp_path


def recipe(part: str) -> str:
    """Return the only shell script of the page that contains a text."""
    blocks = re.findall(r"```(?:ba)?sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (script,) = [text for text in blocks if part in text]
    return script


def bash(folder: Path, script: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a script in the study's folder."""
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def trials_run(folder: Path) -> list[int]:
    """Return how often each trial ran."""
    return list(Counter((folder / "calls.log").read_text().splitlines()).values())


@pytest.mark.slow
def test_a_loop_runs_every_trial_once_and_then_the_analysis(folder) -> None:
    done = bash(folder, recipe("while true"))
    assert (done.returncode, done.stderr.count("loss")) == (0, 6)
    assert trials_run(folder) == [1] * 6
    assert "drift" in done.stdout


@pytest.mark.slow
def test_hosts_reached_by_ssh_share_the_trials(folder) -> None:
    done = bash(folder, recipe("ssh"))
    assert done.returncode == 0
    assert trials_run(folder) == [1] * 6
    assert "drift" in done.stdout
    logs = [(folder / f"node{k}.log").read_text() for k in (1, 2, 3)]
    assert all("trials done" in log for log in logs)


@pytest.mark.slow
def test_the_tasks_of_a_job_array_share_the_trials(folder) -> None:
    script = recipe("#SBATCH")
    here = {"SLURM_SUBMIT_DIR": str(folder)}
    tasks = " & ".join(["cd / && bash job.sh" for _ in range(3)])
    (folder / "job.sh").write_text(script)
    done = bash(folder, tasks.replace("job.sh", f"'{folder}/job.sh'") + "; wait", **here)
    assert done.returncode == 0
    assert trials_run(folder) == [1] * 6
