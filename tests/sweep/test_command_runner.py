"""Commands: run without a shell, their loss read, failures reported, processes terminated."""

import json
import os
import time
from pathlib import Path

import pytest

from mutransfer.errors import StudyError, TrialError
from mutransfer.records import CommandRunner, CommandTable, TrialSpec
from mutransfer.sweep import CommandRun
from mutransfer.sweep.processes import PROCESS_FILE, pid_scope, start_time
from mutransfer.sweep.termination import terminate_trial

PYTHON = "{python} -c '%s' {lr}"
REGEX = {"regex": r"loss (\S+)"}


def spec(lr: object = 0.5) -> TrialSpec:
    return TrialSpec(runner=CommandRunner(command="x"), axes={"lr": lr})


def run(folder: Path, code: str, lr: object = 0.5, **table):
    table = {"command": PYTHON % code, "loss": REGEX} | table
    return CommandRun(CommandTable.model_validate(table), folder)(spec(lr), folder)


def error_text(folder: Path, code: str, **table) -> str:
    with pytest.raises(TrialError) as failed:
        run(folder, code, **table)
    return str(failed.value).replace(str(folder), "DIR")


def test_a_command_runs_in_the_folder_and_environment_of_the_study(tmp_path) -> None:
    code = 'import os, sys; print(os.getcwd(), sys.argv[1:], os.environ["A"]); print("loss 2.5")'
    result = run(tmp_path, code, env={"A": "{lr}:{device}"})
    assert (tmp_path / "stdout.txt").read_text() == f"{tmp_path} ['0.5'] 0.5:cpu\nloss 2.5\n"
    assert (result.loss, result.diverged_at, result.id) == (2.5, None, spec().id)
    assert 0 < result.seconds < 30


def test_values_are_not_interpreted_by_a_shell(tmp_path) -> None:
    hostile = "x; touch stolen; $(touch stolen) `touch stolen` > stolen | touch stolen"
    code = 'import sys; print(sys.argv[1:], file=sys.stderr); print("loss 1")'
    run(tmp_path, code, lr=hostile)
    assert (tmp_path / "stderr.txt").read_text() == f"{[hostile]}\n"
    assert not (tmp_path / "stolen").exists()


def test_a_variable_names_the_file_of_the_loss(tmp_path) -> None:
    code = 'import os; open(os.environ["RESULT"], "w").write("2.25")'
    assert run(tmp_path, code, loss={"env": "RESULT"}).loss == 2.25


@pytest.mark.parametrize(
    ("code", "rule", "loss"),
    [
        ('print("loss 9"); exit(3)', {"exit": 3}, 9.0),
        ("exit(3)", {"exit": 3}, None),
        ('print("loss 9\\n loss is nan")', {"regex": "loss is nan"}, 9.0),
        ('import sys; sys.exit("boom: inf")', {"regex": "boom"}, None),
        ('print("loss nan")', None, None),
    ],
)
def test_a_diverged_program_is_a_result(tmp_path, code, rule, loss) -> None:
    # The pattern of the loss must not match the message of divergence.
    result = run(tmp_path, code, diverged=rule, loss={"regex": r"^loss (\S+)$"})
    assert (result.loss, result.diverged_at) == (loss, 0)


def test_a_failing_program_is_reported_with_its_last_lines(tmp_path) -> None:
    text = error_text(tmp_path, 'print("fine"); raise ValueError("bad rate")')
    assert text.splitlines()[0] == "exit status 1: ValueError: bad rate"
    assert "    | Traceback (most recent call last):" in text
    assert text.splitlines()[-1] == "  fix: see DIR/stderr.txt and stdout.txt in the same folder"
    crash = error_text(tmp_path, "import os; print(1, flush=True); os.kill(os.getpid(), 11)")
    assert crash.startswith("signal 11 (SIGSEGV): 1\n")


def test_a_silent_failure_says_how_to_run_the_program_by_hand(tmp_path) -> None:
    what, why, fix = error_text(tmp_path, "exit(137)").splitlines()
    assert what == (
        "exit status 137 (128 + SIGKILL, perhaps out of memory): the program printed nothing"
    )
    assert why == "  why: the program failed without a message; what it still buffered is lost"
    advice, _, line = fix.partition(", or run it by hand: ")
    assert advice == '  fix: add env = { PYTHONUNBUFFERED = "1" } to [runner]'
    assert os.waitstatus_to_exitcode(os.system(line.replace("DIR", str(tmp_path)))) == 137


def test_a_program_that_leaves_no_loss_has_failed(tmp_path) -> None:
    assert error_text(tmp_path, "pass").splitlines()[0] == (
        r"no loss in stdout.txt: no line matches 'loss (\S+)'"
    )


def is_alive(pid: int) -> bool:
    return start_time(pid) is not None


def test_a_program_that_takes_too_long_is_terminated_with_its_children(tmp_path) -> None:
    code = (
        'import subprocess, time; child = subprocess.Popen(["sleep", "60"]); '
        'open("child", "w").write(str(child.pid)); print("on my way", flush=True); time.sleep(60)'
    )
    start = time.monotonic()
    text = error_text(tmp_path, code, timeout="1s")
    assert time.monotonic() - start < 10
    assert text.splitlines()[:3] == [
        "ran longer than 1s",
        "  why: [runner] timeout is 1s; its last lines:",
        "    | on my way",
    ]
    assert not is_alive(int((tmp_path / "child").read_text()))


def test_processes_that_a_finished_program_leaves_are_terminated(tmp_path) -> None:
    code = (
        'import subprocess; child = subprocess.Popen(["sleep", "60"]); '
        'open("child", "w").write(str(child.pid)); print("loss 1")'
    )
    assert run(tmp_path, code).loss == 1
    assert not is_alive(int((tmp_path / "child").read_text()))


def test_a_record_of_another_place_or_process_terminates_nothing(tmp_path) -> None:
    import subprocess

    child = subprocess.Popen(["sleep", "60"], start_new_session=True)
    record = {"place": pid_scope(), "pid": child.pid, "started": start_time(child.pid)}
    for wrong in ({"place": "elsewhere"}, {"started": "1"}, {"pid": 0}, {"pid": -1}, {"pid": "x"}):
        (tmp_path / PROCESS_FILE).write_text(json.dumps(record | wrong))
        terminate_trial(tmp_path, patience=0.1)
        assert child.poll() is None
    (tmp_path / PROCESS_FILE).write_text(json.dumps(record))
    terminate_trial(tmp_path, patience=0.1)
    assert child.wait(5) < 0


def test_a_missing_program_is_an_error_before_the_first_trial(tmp_path) -> None:
    def check(command: str, cwd: Path = tmp_path) -> str:
        with pytest.raises(StudyError) as raised:
            CommandRun(CommandTable(command=command, loss=REGEX), cwd).check(spec())
        return str(raised.value).splitlines()[0].replace(str(tmp_path), "DIR")

    assert check("trian {lr}") == "runner.command starts 'trian', which is not a program here"
    assert check("./train {lr}") == "runner.command starts './train', which is not a program here"
    assert check("x", tmp_path / "no") == "runner.cwd is DIR/no, which is not a folder"
    (tmp_path / "train").write_text("#!/bin/sh\n")
    (tmp_path / "train").chmod(0o755)
    CommandRun(CommandTable(command="./train", loss=REGEX), tmp_path).check(spec())


def test_the_command_line_can_be_typed_at_a_shell(tmp_path) -> None:
    table = CommandTable(command="sh -c 'echo {lr} > \"x y\"'", env={"A": "b c"}, loss=REGEX)
    command = CommandRun(table, tmp_path).command_line(spec(), Path("/t"))
    assert command == f"cd {tmp_path} && A='b c' sh -c 'echo 0.5 > \"x y\"'"
    assert os.system(command) == 0
    assert (tmp_path / "x y").read_text() == "0.5\n"
