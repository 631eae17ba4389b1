"""`sweep`: dry runs, selections, failures and retries, statuses, and interruptions."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from mutransfer.cli import main

STUDY = """
schema = 1
[study]
name = "s"
[axes]
width = [8, 16]
lr = [0.25, 0.5]
[runner]
command = "{python} train.py {width} {lr}"
loss = { regex = "loss (.*)" }
"""

TRAIN = """
import os, sys, time
width, lr = sys.argv[1:]
if os.path.exists("slow"):
    time.sleep(float(open("slow").read()))
if lr == "0.5" and not os.path.exists("fixed"):
    raise ValueError("bad \\x1b[31mrate")
print("loss", 2 + float(lr) / int(width))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text(STUDY)
    (tmp_path / "train.py").write_text(TRAIN)
    return tmp_path


@pytest.fixture
def run(capsys, folder):
    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit_:
            main(["sweep", *arguments])
        return (exit_.value.code, *capsys.readouterr())

    return call


def test_a_dry_run_lists_the_trials_and_prints_the_first_command(run, folder) -> None:
    status, out, _ = run("study.toml", "--dry-run")
    lines = out.splitlines()
    assert (status, lines[4:6]) == (0, ["4 trials, 0 done", "the first command:"])
    assert lines[0].endswith("  width=8 lr=2^-2 (0.25)")
    scratch = Path(tempfile.gettempdir(), "mutransfer-s")
    assert lines[6] == f"mkdir -p {scratch} && {sys.executable} train.py 8 0.25"
    assert not (folder / "runs").exists()
    data = json.loads(run("study.toml", "--dry-run", "--only", "width=16", "--json")[1])
    assert [trial["axes"]["width"] for trial in data["trials"]] == [16, 16]
    assert data["first_command"].endswith(f"{sys.executable} train.py 16 0.25")


ARGUMENTS = """
schema = 1
[study]
name = "s"
[axes]
width = [64, 96]
lr = [0.5, 1.0, 2]
parametrization = ["sp", "mup"]
amp = [true, false]
[derived]
mult = "width / 64"
heads = "width // 32"
[runner]
command = "train {parametrization} --lr={lr} --heads={heads} --amp={amp}"
loss = { regex = "loss (.*)" }
[runner.arguments.parametrization]
sp = ""
mup = "--mup_enabled=true --mup_multiplier={mult}"
"""


@pytest.mark.parametrize(
    ("only", "arguments"),
    [
        ("width=64 lr=1 parametrization=sp amp=true", "--lr=1.0 --heads=2 --amp=True"),
        (
            "width=64 lr=2.0 parametrization=mup amp=False",
            "--mup_enabled=true --mup_multiplier=1.0 --lr=2.0 --heads=2 --amp=False",
        ),
        (
            "width=96 lr=0.5 parametrization=mup amp=TRUE",
            "--mup_enabled=true --mup_multiplier=1.5 --lr=0.5 --heads=3 --amp=True",
        ),
    ],
)
def test_a_command_gets_floats_where_python_has_floats_and_the_arguments_of_its_point(
    run, folder, monkeypatch, only, arguments
) -> None:
    (folder / "bin").mkdir()
    (folder / "bin" / "train").write_text("#!/bin/sh\n")
    (folder / "bin" / "train").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    (folder / "study.toml").write_text(ARGUMENTS)
    options = [word for point in only.split() for word in ("--only", point)]
    data = json.loads(run("study.toml", "--dry-run", *options, "--json")[1])
    assert len(data["trials"]) == 1
    assert data["first_command"].partition(" && ")[2] == f"train {arguments}"


def test_failed_trials_run_twice_and_then_only_with_retry_failed(run, folder) -> None:
    status, out, err = run("study.toml", "--workers", "1")
    assert status == 4
    first, second = err.splitlines()[:2]
    assert first == "4 trials"
    assert re.fullmatch(r"\[1/4\] width=8 lr=2\^-2 \(0\.25\)  loss 2\.0312, .*", second)
    assert out.splitlines()[:3] == [
        "2 of 4 trials done",
        r"2 trials failed: exit status 1: ValueError: bad \x1b[31mrate",
        "    at width=8 lr=2^-1 (0.5); width=16 lr=2^-1 (0.5)",
    ]
    assert "    | Traceback (most recent call last):" in out
    assert "\x1b" not in out + err
    assert "next:  fix the cause and run the same command again" in out.splitlines()
    status, out, _ = run("study.toml")
    assert status == 4
    assert "next:  fix the cause, then add --retry-failed" in out.splitlines()
    status, out, err = run("study.toml")
    assert (
        "skipped 2 trials, after failures in two earlier runs: add --retry-failed to try again"
        in out
    )
    assert "next:" not in out
    assert err.splitlines() == [
        "4 trials",
        "2 already done",
        "[3/4] width=8 lr=2^-1 (0.5)  skipped, failed in two earlier runs",
        "[4/4] width=16 lr=2^-1 (0.5)  skipped, failed in two earlier runs",
    ]
    assert "exhausted" not in json.loads(run("study.toml", "--json")[1])
    (folder / "fixed").touch()
    assert run("study.toml")[0] == 4, "skipped, fixed or not"
    status, out, _ = run("study.toml", "--retry-failed")
    assert (status, out.splitlines()[0]) == (0, "4 of 4 trials done")


def test_the_text_about_a_single_trial_is_in_the_singular(run, folder) -> None:
    only = ("--only", "lr=0.5", "--only", "width=8")
    assert "1 trial, 0 done" in run("study.toml", "--dry-run", *only)[1].splitlines()
    for _ in range(2):
        out, err = run("study.toml", *only)[1:]
        assert err.splitlines()[0] == "1 trial"
        assert out.splitlines()[0] == "0 of 1 trial done"
    assert (
        "skipped 1 trial, after failures in two earlier runs: add --retry-failed to try again"
        in run("study.toml", *only)[1].splitlines()
    )


def test_only_selects_points_of_the_axes(run, folder) -> None:
    assert run("study.toml", "--only", "lr=2^-2", "--only", "width=8,16")[0] == 0
    assert run("study.toml", "--only", "lr=9")[::2] == (
        2,
        "StudyError: axis 'lr' has no point '9'\n"
        "  why: fewer trials than requested would run if an unknown point were ignored\n"
        "  fix: choose from '0.25', '0.5'\n",
    )
    assert run("study.toml", "--only", "lr")[2].startswith(
        "UsageError: --only lr selects no points"
    )


def test_the_status_of_a_store_is_printed_while_a_sweep_is_running(run, folder) -> None:
    run("study.toml", "--only", "lr=0.25", "--only", "width=8")
    run("study.toml", "--only", "lr=0.5", "--only", "width=8")
    (folder / "slow").write_text("20")
    driver = subprocess.Popen(
        [sys.executable, "-m", "mutransfer.cli", "sweep", "study.toml", "--only", "width=16",
         "--workers", "1"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            status, out, _ = run("--status", "runs/s")
            if "running: " in out:
                break
            time.sleep(0.2)
        assert (status, out.splitlines()[0]) == (
            0, "1 of 4 trials done; 1 running, 1 failed, 1 to do"
        )  # fmt: skip
        assert "running: width=16 lr=2^-2 (0.25)  (" in out
        assert "best loss at 8: 2.0312  (width=8 lr=2^-2 (0.25))" in out
        data = json.loads(run("--status", "runs/s", "--json")[1])
        assert (data["total"], data["unstarted"], len(data["running"])) == (4, 1, 1)
        assert list(data["best"]) == ["8"]
    finally:
        driver.send_signal(signal.SIGTERM)
        err = driver.communicate(timeout=15)[1]
    assert driver.returncode == 130
    assert "terminated: running trials have 4 s to end" in err
    assert "0 running, 1 failed, 2 to do" in run("--status", "runs/s")[1]


def test_status_takes_no_other_arguments_and_needs_a_store(run, folder) -> None:
    assert run("study.toml", "--status", "runs/s")[2].startswith(
        "UsageError: --status takes no other"
    )
    assert run("--status", "runs/s")[2].splitlines()[0] == (
        "StoreError: the trial store runs/s does not exist"
    )


def test_a_missing_program_fails_the_sweep_before_any_trial(run, folder) -> None:
    (folder / "study.toml").write_text(STUDY.replace("{python}", "pyhton"))
    assert run("study.toml")[::2] == (
        2,
        "StudyError: runner.command starts 'pyhton', which is not a program here\n"
        "  why: every trial would fail\n"
        "  fix: write {python} for this Python, or the program's full path\n",
    )


def test_an_edited_command_leaves_the_trials_of_the_former_one_aside(run, folder) -> None:
    run("study.toml", "--only", "lr=0.25")
    assert "4 trials, 2 done" in run("study.toml", "--dry-run")[1]
    (folder / "study.toml").write_text(STUDY.replace("train.py {width}", "-u train.py {width}"))
    assert "4 trials, 0 done" in run("study.toml", "--dry-run")[1]
    out = run("study.toml", "--only", "lr=0.25")[1]
    assert "the store has 2 other trials, of another command, other data or other axes" in out


def test_the_environment_of_the_user_is_passed_to_the_program(run, folder, monkeypatch) -> None:
    code = "import os; print('threads', os.environ['OMP_NUM_THREADS']); print('loss 1')"
    (folder / "train.py").write_text(code)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    run("study.toml", "--only", "width=8")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    run("study.toml", "--only", "width=16")
    logs = [path.read_text().split()[1] for path in folder.glob("runs/s/*/attempts/*/stdout.txt")]
    assert sorted(logs) == ["1", "1", "3", "3"]
    assert os.environ["OMP_NUM_THREADS"] == "3"


def test_a_corrected_loss_source_is_applied_without_training_again(run, folder) -> None:
    (folder / "fixed").touch()
    (folder / "train.py").write_text(TRAIN + "open('starts', 'a').write('x')\n")
    (folder / "study.toml").write_text(STUDY.replace("loss (.*)", "lost (.*)"))
    assert run("study.toml")[0] == 4
    assert (folder / "starts").read_text() == "xxxx"
    (folder / "study.toml").write_text(STUDY)
    assert run("study.toml")[0] == 0
    assert (folder / "starts").read_text() == "xxxx"


@pytest.mark.parametrize(
    "line", ["sweep study.toml --store", "sweep --status", "analyze", "report"]
)
def test_a_store_of_a_newer_version_is_an_error_of_every_command(line, folder, capsys) -> None:
    store = folder / "newer"
    store.mkdir()
    (store / "store.json").write_text('{"schema": 2}')
    with pytest.raises(SystemExit) as exited:
        main([*line.split(), "newer"])
    out, err = capsys.readouterr()
    assert (exited.value.code, out) == (2, "")
    what, *others = err.splitlines()
    assert what.endswith(" has schema 2, this version reads 1")
    assert others[0].startswith("  why: ")
    assert others[1].endswith("upgrade mutransfer")
    assert [path.name for path in store.iterdir()] == ["store.json"], "nothing was written"


def test_a_loop_of_single_trials_ends_when_nothing_is_left(run, folder) -> None:
    (folder / "fixed").touch()
    once = ("study.toml", "--workers", "1", "--count", "1")
    for left in (3, 2, 1):
        status, out, err = run(*once)
        assert (status, f"{4 - left} of 4 trials done" in out) == (0, True)
        more = f"{left} trial{'s' if left > 1 else ''} to do"
        assert more in out
        assert err.count("loss") == 1, "the trials of other drivers are not listed"
    assert run(*once)[0] == 0
    status, out, _ = run(*once)
    assert (status, "4 of 4 trials done" in out) == (5, True)
    assert run("study.toml")[0] == 0


def test_a_loop_of_single_trials_ends_although_some_failed_twice(run) -> None:
    statuses = [run("study.toml", "--workers", "1", "--count", "1")[0] for _ in range(7)]
    assert sorted(statuses[:6]) == [0, 0, 4, 4, 4, 4]
    assert statuses[6] == 5
    assert run("study.toml")[0] == 4, "without a count, all failures count"


def test_a_loop_of_single_trials_ends_while_others_run(run, folder) -> None:
    (folder / "slow").write_text("8")
    (folder / "fixed").touch()
    command = [sys.executable, "-m", "mutransfer.cli", "sweep", "study.toml", "--workers", "1"]
    only = ("--only", "width=8", "--only", "lr=0.25")
    with subprocess.Popen([*command, *only], stderr=subprocess.DEVNULL) as other:
        while not list(folder.glob("runs/s/*/attempts/*/stdout.txt")):
            assert other.poll() is None
            time.sleep(0.05)
        status, out, _ = run("study.toml", "--workers", "1", "--count", "1", *only)
        other.terminate()
    assert (status, "1 trial still running in another driver" in out) == (6, True)


def test_an_unknown_executor_is_refused(run) -> None:
    status, _, err = run("study.toml", "--executor", "loca")
    assert status == 2
    assert err.splitlines() == [
        "UsageError: there is no executor 'loca'",
        "  why: an executor is the place where trials run",
        "  fix: --executor: did you mean 'local'?",
    ]


BRACKET = """
schema = 1
[study]
name = "rounds"
[axes]
width = [16, 32, 64]
lr = "2^-9 .. 2^-4"
seed = [0, 1, 2]
[search]
strategy = "bracket"
[lab]
base_width = 16
head_width = 16
depth = 1
context = 16
batch = 2
steps = 4
warmup = 1
"""


def test_a_bracket_lists_its_next_round_and_what_follows_at_least(run, folder) -> None:
    (folder / "rounds.toml").write_text(BRACKET)
    status, out, _ = run("rounds.toml", "--dry-run")
    assert status == 0
    assert out.endswith("18 trials, 0 done\nlater rounds of the bracket: 9 trials or more\n")
    assert json.loads(run("rounds.toml", "--dry-run", "--json")[1])["later"] == 9


@pytest.mark.slow
def test_a_bracket_of_the_lab_prints_its_flops_beside_those_of_the_grid(run, folder) -> None:
    (folder / "rounds.toml").write_text(BRACKET)
    assert (
        "18 of 18 trials done"
        in run("rounds.toml", "--only", "lr=2^-9,2^-8,2^-7,2^-6,2^-5,2^-4")[1]
    )
    assert run("rounds.toml", "--dry-run")[1].count("width=16") > 18  # the best rate is an end
    status, out, _ = run("rounds.toml", "--json")
    search = json.loads(out)["search"]
    assert (status, search["unit"], search["grid_trials"]) == (0, "FLOPs", 54)
    assert 0 < search["share"] == search["cost"] / search["grid_cost"]
