"""Commands of SLURM, played by programs on the path that print what the real ones do."""

import os
from pathlib import Path

import pytest

from mutransfer.errors import ClusterError
from mutransfer.sweep.executors.slurm.commands import (
    NoAnswerError,
    QueueFull,
    list_tasks,
    submit,
)
from mutransfer.sweep.executors.slurm.messages import plain_reason

# What sbatch 22.05.8 printed to stderr, and the fix that it needs.
REFUSALS = {
    "invalid partition specified: nope; Batch job submission failed: Invalid partition name "
    "specified": "write a [slurm] partition that `sinfo --summarize` lists",
    "Batch job submission failed: Invalid account or account/partition combination specified": (
        "write a [slurm] account that `sacctmgr show associations` lists for you"
    ),
    "Batch job submission failed: Requested time limit is invalid (missing or exceeds some "
    "limit)": ("write a shorter [slurm] time; `sinfo -o '%P %l'` shows the limits"),
    "Batch job submission failed: Requested node configuration is not available": (
        "ask for less in [resources] or [slurm] lines; "
        "`sinfo -o '%P %c %m %G %f'` shows what the nodes of each partition have"
    ),
    "Invalid generic resource (gres) specification": (
        "correct what [resources] or [slurm] lines ask for; "
        "`sinfo -o '%P %c %m %G %f'` shows what the nodes of each partition have"
    ),
    "unrecognized option '--foo'": "correct [slurm] lines; `sbatch --help` lists the options",
    "Batch job submission failed: Unable to contact slurm controller (connect failure)": (
        "run it where `scontrol ping` answers, such as on a login node"
    ),
    "Batch job submission failed: Something new": (
        "correct [slurm] in the study file; try it by hand: sbatch 'a folder/job.sh'"
    ),
}


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Return a function that puts a program on the path."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def put(name: str, body: str) -> Path:
        program = tmp_path / name
        program.write_text(
            f'#!/bin/sh\nfor word; do echo "$word"; done >{tmp_path}/words\n{body}\n'
        )
        program.chmod(0o755)
        return tmp_path / "words"

    return put


def test_an_array_is_submitted_and_its_number_read(fake, monkeypatch) -> None:
    """Variables of a surrounding job would become options of the new one."""
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "7")
    monkeypatch.setenv("SLURM_CONF", "/etc/other.conf")
    words = fake("sbatch", 'test -z "$SLURM_CPUS_PER_TASK" && test -n "$SLURM_CONF" && echo "12;c"')
    assert submit(Path("job.sh"), 200, 20) == "12"
    assert words.read_text().split() == ["--parsable", "--array=0-199%20", "job.sh"]
    submit(Path("job.sh"), 1, None)
    assert "--array=0-0" in words.read_text().split()


@pytest.mark.parametrize("message", REFUSALS)
def test_a_refusal_is_an_error_with_what_to_change(fake, message) -> None:
    lines = "\n".join(f"sbatch: error: {line}" for line in message.split("; "))
    fake("sbatch", f"cat >&2 <<'END'\n{lines}\nEND\nexit 1")
    with pytest.raises(ClusterError) as error:
        submit(Path("a folder/job.sh"), 1, None)
    assert str(error.value) == (
        f"sbatch refuses the job: {message}\n"
        "  why: no task was submitted; finished trials are kept\n"
        f"  fix: {REFUSALS[message]}"
    )


def test_a_queue_without_room_is_no_refusal(fake) -> None:
    fake("sbatch", "echo 'sbatch: error: Batch job submission failed: Invalid job array "
         "specification' >&2; exit 1")  # fmt: skip
    with pytest.raises(QueueFull, match="Invalid job array specification"):
        submit(Path("job.sh"), 5000, None)


def test_a_machine_without_slurm_is_an_error(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError) as error:
        submit(Path("job.sh"), 1, None)
    assert str(error.value) == (
        "sbatch cannot be run: No such file or directory\n"
        "  why: --executor slurm submits, watches and cancels jobs through SLURM's own commands\n"
        "  fix: run it on a login node of the cluster, or use --executor local"
    )


def test_tasks_are_listed_in_the_old_and_the_new_form(fake) -> None:
    """Exit statuses are those of wait() up to SLURM 22, and status:signal later."""
    listing = "8|0|RUNNING|None|0|\n8|1|PENDING|Priority|0|\n8|2|FAILED|NonZeroExitCode|512|\n"
    words = fake(
        "squeue", f"printf '{listing}8|3|FAILED|NonZeroExitCode|2:0|\\n9|N/A|NODE_FAIL|None|9|'"
    )
    tasks = list_tasks("mutransfer-a-1")
    assert "--name=mutransfer-a-1" in words.read_text().split()
    assert [task.is_live for task in tasks] == [True, True, False, False, False]
    assert [task.is_waiting for task in tasks] == [False, True, False, False, False]
    assert [task.status for task in tasks] == [0, 0, 2, 2, -9]
    fake("squeue", "echo 'squeue: fatal: Could not establish a configuration source' >&2; exit 1")
    with pytest.raises(NoAnswerError, match=r"^Could not establish a configuration source$"):
        list_tasks("x")


def test_a_reason_is_put_in_plain_words_beside_its_name() -> None:
    assert plain_reason("AssocGrpCPUMinutesLimit") == (
        "a limit of your account is reached (AssocGrpCPUMinutesLimit)"
    )
    assert plain_reason("ReqNodeNotAvail, UnavailableNodes:n1") == (
        "its nodes are down, drained or reserved (ReqNodeNotAvail, UnavailableNodes:n1)"
    )
