"""Commands of SLURM: submit, list and cancel the tasks of a sweep.

`squeue` prints the fields that are named here in every version of SLURM since 2020. Its `--json`
needs a plugin that many sites leave out, its keys differ from version to version, and that of
22.05 prints every job of the cluster, whatever is selected [measured: squeue 22.05.8].
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mutransfer.errors import ClusterError
from mutransfer.sweep.executors.slurm.messages import is_full, problem, refusal

# A busy controller answers within some seconds, and clients give up after 10 by default [assumed].
TIMEOUT_SECONDS = 30.0
FIELDS = ("ArrayJobID", "ArrayTaskID", "State", "Reason", "exit_code")
WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT")
ENDED = (
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "PREEMPTED", "REVOKED", "TIMEOUT",
)  # fmt: skip


class QueueFull(Exception):  # noqa: N818 - fewer tasks are submitted then, and users never see it
    """The queue has no room for an array of so many tasks, now or ever."""


class NoAnswerError(Exception):
    """The queue cannot be listed, with the message of `squeue`."""


@dataclass(frozen=True, slots=True)
class Task:
    """A task of a job array, as `squeue` lists it.

    Args:
        job: Number of the array.
        index: Index in the array.
        state: State in SLURM's words, such as PENDING.
        reason: Why it waits, or why it ended.
        status: Exit status; 0 before its end.
    """

    job: str
    index: str
    state: str
    reason: str
    status: int

    @property
    def key(self) -> tuple[str, str]:
        """Array and index, which a task keeps when it is requeued."""
        return self.job, self.index

    @property
    def description(self) -> str:
        """State in SLURM's words, with the exit status of a task that failed by itself."""
        return f"{self.state} with status {self.status}" if self.status > 0 else self.state

    @property
    def is_live(self) -> bool:
        """Whether it waits or runs."""
        return self.state not in ENDED

    @property
    def is_waiting(self) -> bool:
        """Whether it has not started, or starts again."""
        return self.state in WAITING


def list_tasks(name: str) -> list[Task]:
    """Return the tasks of jobs of a name, the lately ended ones included.

    Args:
        name: Name of the jobs.

    Raises:
        NoAnswerError: The controller cannot be reached, perhaps for a while.
    """
    fields = ",".join(f"{field}:|" for field in FIELDS)
    options = ("--noheader", "--array", "--states=all", f"--user={os.getuid()}", f"--name={name}")
    try:
        process = _run(["squeue", *options, f"--Format={fields}"])
    except subprocess.TimeoutExpired:
        raise NoAnswerError(f"no answer in {TIMEOUT_SECONDS:g} seconds") from None
    if process.returncode != 0:
        raise NoAnswerError(problem(process.stderr))
    return [parse_task(line) for line in process.stdout.splitlines() if line.strip()]


def parse_task(line: str) -> Task:
    """Parse a line of `squeue`.

    Example:
        >>> parse_task("8|3|FAILED|NonZeroExitCode|768|")
        Task(job='8', index='3', state='FAILED', reason='NonZeroExitCode', status=3)
    """
    job, index, state, reason, code = (field.strip() for field in line.split("|")[: len(FIELDS)])
    # Newer versions print status:signal, older ones the number that wait() returns.
    status, colon, _ = code.partition(":")
    number = int(status) if status.isdecimal() else 0
    return Task(job, index, state, reason, number if colon else os.waitstatus_to_exitcode(number))


def submit(script: Path, num_tasks: int, limit: int | None) -> str:
    """Submit a job array, and return its number.

    Args:
        script: The sbatch script.
        num_tasks: Tasks of the array.
        limit: Tasks that run at the same time.

    Raises:
        QueueFull: The queue has no room for so many tasks.
        ClusterError: SLURM refuses the job, or cannot be reached.
    """
    array = f"0-{num_tasks - 1}" + (f"%{limit}" if limit is not None else "")
    # Within a job, such as an interactive session, its variables would become defaults of ours.
    env = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_") or k == "SLURM_CONF"}
    words = ["sbatch", "--parsable", f"--array={array}", str(script)]
    try:
        process = _run(words, env)
    except subprocess.TimeoutExpired:
        # sbatch waits by itself while the controller accepts no jobs.
        raise QueueFull("sbatch does not answer") from None
    if process.returncode == 0:
        return process.stdout.strip().splitlines()[-1].partition(";")[0]
    if is_full(process.stderr):
        raise QueueFull(problem(process.stderr))
    raise refusal(process.stderr, script)


def cancel(name: str, *, only_waiting: bool = False) -> None:
    """Cancel the tasks of jobs of a name, or those that have not started."""
    options = ["--state=PENDING"] if only_waiting else []
    with suppress(subprocess.TimeoutExpired):
        _run(["scancel", f"--user={os.getuid()}", f"--name={name}", *options])


def _run(
    words: Sequence[str], env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of SLURM, which Ctrl-C in the terminal does not reach."""
    try:
        return subprocess.run(
            words,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_SECONDS,
            start_new_session=True,
            check=False,
        )
    except OSError as error:
        raise ClusterError(
            f"{words[0]} cannot be run: {error.strerror}",
            why="--executor slurm submits, watches and cancels jobs through SLURM's own commands",
            fix="run it on a login node of the cluster, or use --executor local",
        ) from None
