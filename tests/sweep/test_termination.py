"""Termination: every process of a trial ends with it, wherever the program has put it."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mutransfer.errors import TrialError
from mutransfer.records import CommandRunner, CommandTable, TrialSpec
from mutransfer.sweep import CommandRun, LocalExecutor, TrialStore, run_sweep, termination
from mutransfer.sweep.processes import ATTEMPT, start_time

pytestmark = pytest.mark.skipif(
    not Path("/proc/self").is_dir(), reason="sessions are followed by /proc"
)

# A launcher whose workers are elsewhere; each writes its number when it is ready.
LAUNCHER = """
import os, signal, subprocess, sys, time
WORKER = '''
import os, signal, sys, time
if "stubborn" in sys.argv: signal.signal(signal.SIGTERM, signal.SIG_IGN)
def save(*_): open("saved", "w").close(); sys.exit()
if "saves" in sys.argv: signal.signal(signal.SIGTERM, save)
with open("pids", "a") as file: file.write(f"{os.getpid()}\\\\n")
time.sleep(float(sys.argv[1]))
open("uploaded", "w").close()
'''
def worker(*how, seconds=60, **options):
    line = [sys.executable, "-I", "-S", "-c", WORKER, str(seconds), *how]
    return subprocess.Popen(line, **options)
def daemon(*how, **options):  # a double fork
    if os.fork() == 0:
        os.setsid()
        worker(*how, **options)
        os._exit(0)
def ready(count):
    while not (os.path.exists("pids") and len(open("pids").readlines()) >= count):
        time.sleep(0.01)
"""
SESSIONS = """
worker(start_new_session=True)
worker("saves", start_new_session=True)
worker("stubborn", start_new_session=True)
daemon()
ready(4)
"""


def command_run(folder: Path, code: str, **table: object) -> CommandRun:
    """Return a runner whose program is a launcher."""
    (folder / "launcher.py").write_text(LAUNCHER + code)
    command = {"command": "{python} -I -S launcher.py {lr}", "loss": {"regex": r"loss (\S+)"}}
    return CommandRun(CommandTable.model_validate(command | table), folder)


def spec(lr: float = 0.5) -> TrialSpec:
    return TrialSpec(runner=CommandRunner(command="x"), axes={"lr": lr})


def pids(folder: Path) -> list[int]:
    """Return the numbers of the launcher's workers."""
    return [int(line) for line in (folder / "pids").read_text().split()]


@pytest.fixture(autouse=True)
def short_patience(monkeypatch) -> None:
    """Wait for a moment only where users have seconds."""
    monkeypatch.setattr(termination, "LEFTOVER_SECONDS", 0.5)
    monkeypatch.setattr(termination.terminate_trial, "__defaults__", (0.5,))


def test_sessions_and_daemons_end_with_a_trial_that_takes_too_long(tmp_path) -> None:
    """Control: a process of another attempt, and one without any, are left alone."""
    others = [
        subprocess.Popen(["sleep", "60"], start_new_session=True, env={**os.environ, **variables})
        for variables in ({ATTEMPT: f"{tmp_path}-2"}, {})
    ]
    with pytest.raises(TrialError, match=r"ran longer than 0\.7s"):
        command_run(tmp_path, SESSIONS + "time.sleep(60)", timeout="0.7s")(spec(), tmp_path)
    assert [start_time(pid) for pid in pids(tmp_path)] == [None] * 4
    assert (tmp_path / "saved").exists(), "SIGTERM comes first"
    assert [other.poll() for other in others] == [None, None]
    for other in others:
        other.kill()


def test_a_finished_program_may_leave_a_service_that_ends_soon(tmp_path) -> None:
    code = "worker(seconds=0.2, start_new_session=True); ready(1); print('loss 1')"
    assert command_run(tmp_path, code)(spec(), tmp_path).loss == 1
    assert (tmp_path / "uploaded").exists()
    assert start_time(pids(tmp_path)[0]) is None


def test_a_command_that_trains_in_the_background_is_an_error_that_says_so(tmp_path) -> None:
    with pytest.raises(TrialError) as raised:
        command_run(tmp_path, "daemon(); ready(1)")(spec(), tmp_path)
    lines = str(raised.value).splitlines()
    assert lines[0] == r"no loss in stdout.txt: no line matches 'loss (\S+)'"
    assert lines[2].startswith(
        "    it ended before the processes it had started, which were terminated: "
        f"'{sys.executable} -I -S -c"
    )
    assert lines[-1].endswith(
        "if one of these trains, let the command wait for it (no &, no daemon)"
    )
    assert start_time(pids(tmp_path)[0]) is None


def test_a_worker_is_free_only_when_nothing_of_its_last_trial_runs(tmp_path) -> None:
    """A worker adopts orphans, so that even a cleared environment hides no process."""
    code = """
if sys.argv[1] == "0.5":
    daemon(env={})
    worker(start_new_session=True)
    ready(2)
    time.sleep(60)
alive = [p for p in open("pids").read().split() if os.path.exists(f"/proc/{p}")]
print("loss", len(alive))
"""
    run = command_run(tmp_path, code, timeout="1s")
    store = TrialStore(tmp_path / "runs", create=True)
    trials = [spec(0.5), spec(0.25)]
    summary = run_sweep(trials, store, runner=run, executor=LocalExecutor(1))
    assert list(summary.failed) == [trials[0].id]
    assert store.result(trials[1].id).loss == 0


TORCHRUN = """
import os, time
with open(f"rank{os.environ['RANK']}", "w") as file: file.write(str(os.getpid()))
time.sleep(120)
"""


@pytest.mark.slow
def test_the_workers_of_torchrun_end_with_their_trial(tmp_path) -> None:
    (tmp_path / "train.py").write_text(TORCHRUN)
    command = "{python} -m torch.distributed.run --standalone --nproc-per-node 2 train.py {lr}"
    table = CommandTable(command=command, loss={"regex": r"loss (\S+)"}, timeout="20s")
    ranks = [tmp_path / "rank0", tmp_path / "rank1"]
    alive: list[bool] = []

    def watch() -> None:
        while not all(path.exists() and path.read_text() for path in ranks):
            time.sleep(0.1)
        alive.extend(start_time(int(path.read_text())) is not None for path in ranks)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    with pytest.raises(TrialError, match="ran longer than 20s"):
        CommandRun(table, tmp_path)(spec(), tmp_path)
    assert alive == [True, True]
    assert [start_time(int(path.read_text())) for path in ranks] == [None, None]
