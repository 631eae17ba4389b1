"""Command runner: one trial of any program, without a shell."""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mutransfer.errors import StudyError, TrialError, listed
from mutransfer.records import CommandRunner, CommandTable, TrialResult, TrialSpec
from mutransfer.records.program.command import parse_duration
from mutransfer.records.program.templates import expand, substitute
from mutransfer.sweep.devices import device
from mutransfer.sweep.files import read_no_follow, sync
from mutransfer.sweep.processes import Interrupted, start_program, was_interrupted
from mutransfer.sweep.runners.losses import (
    ENV_FILE,
    STDERR,
    STDOUT,
    any_line_matches,
    loss_path,
    read_loss,
)
from mutransfer.sweep.store.checkpoints import VARIABLE, checkpoint_dir
from mutransfer.sweep.termination import terminate_trial

EXIT_FILE = "ended.json"  # exit status and seconds of a program that ran to its end
TAIL_LINES, TAIL_BYTES = 5, 2**14  # of the output, quoted in an error


@dataclass(frozen=True, slots=True)
class CommandRun:
    """Callable that runs a program for one trial and reads its loss.

    Args:
        table: The study's `[runner]`.
        cwd: Working directory of the program.
        commit: Commit of the source checkout in `cwd`, if there is one.
        float_axes: Axes of which also whole numbers are passed as floats.
        processes: Number of processes of a trial; torchrun starts several.
    """

    table: CommandTable
    cwd: Path
    commit: str | None = None
    float_axes: frozenset[str] = frozenset()
    processes: int = 1

    def __call__(self, spec: TrialSpec, trial_dir: Path) -> TrialResult:
        """Run the program to its end.

        Raises:
            TrialError: The program did not start, took too long, failed, or left no loss.
            Interrupted: This process or the cluster ended the program.
        """
        attempts = trial_dir.parent
        for earlier in sorted(attempts.iterdir()) if attempts.name == "attempts" else ():
            # If only the place of the loss was wrong in the study, an earlier attempt has the loss,
            # and nothing has to be trained again.
            with suppress(OSError, ValueError, KeyError, TypeError, TrialError):
                exit_ = json.loads(read_no_follow(earlier / EXIT_FILE))
                return self._result(spec, earlier, int(exit_["status"]), float(exit_["seconds"]))
        start = time.perf_counter()
        status, terminated = self._run(spec, trial_dir)
        seconds = time.perf_counter() - start
        # A later attempt that finds the exit status reads the loss, which a power cut may not tear.
        for output in {*_logs(trial_dir), loss_path(self.table.loss, trial_dir)}:
            with suppress(OSError):  # none, which reading the loss reports
                sync(output)
        (trial_dir / EXIT_FILE).write_text(json.dumps({"status": status, "seconds": seconds}))
        try:
            return self._result(spec, trial_dir, status, seconds)
        except TrialError as error:
            raise _with_terminated(error, terminated) if terminated else error from None

    def _result(self, spec: TrialSpec, folder: Path, status: int, seconds: float) -> TrialResult:
        """Return the result that a program left in a folder."""
        loss, diverged = self._loss_and_divergence(status, spec, folder)
        return TrialResult(
            id=spec.id,
            spec=spec,
            loss=loss if math.isfinite(loss) else None,
            diverged_at=0 if diverged else None,
            seconds=seconds,
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            host=socket.gethostname(),
            commit=self.commit,
        )

    def arguments_and_env(
        self, spec: TrialSpec, trial_dir: Path
    ) -> tuple[list[str], dict[str, str]]:
        """Return the arguments of a trial, and the variables added to its environment."""
        values = {
            **spec.typed_values(self.float_axes),
            "trial_dir": str(trial_dir.absolute()),
            "checkpoint_dir": str(checkpoint_dir(trial_dir.absolute())),
            "python": sys.executable,
            "device": device(),
        }
        texts = spec.runner.arguments if isinstance(spec.runner, CommandRunner) else {}
        inserted = values | {name: substitute(text, values) for name, text in texts.items()}
        env = {name: substitute(text, inserted) for name, text in self.table.env.items()}
        if self.table.loss.env is not None:
            env[self.table.loss.env] = str(trial_dir.absolute() / ENV_FILE)
        arguments = expand(self.table.words, values, texts)
        if self.processes > 1:
            launcher = ["-m", "torch.distributed.run", "--standalone"]
            launcher.append(f"--nproc-per-node={self.processes}")
            if arguments[1] == "-m":
                launcher.append(arguments.pop(1))
            # Without the dashes, torchrun takes an option of the script that begins like one of
            # its own, such as --log, for that one.
            arguments[1:1] = [*launcher, "--"]
        return arguments, env

    def command_line(self, spec: TrialSpec, trial_dir: Path) -> str:
        """Format the command of a trial as it is typed at a shell."""
        arguments, env = self.arguments_and_env(spec, trial_dir)
        change_folder = [f"cd {shlex.quote(str(self.cwd))}"] if self.cwd != Path.cwd() else []
        variables = [f"{name}={shlex.quote(value)}" for name, value in env.items()]
        return " && ".join([*change_folder, " ".join([*variables, shlex.join(arguments)])])

    def line_by_hand(self, spec: TrialSpec, name: str) -> str:
        """Format the command of a trial as a line for a shell, with a folder outside the store.

        In the store, a run by hand would be mistaken for an attempt of the trial.
        """
        folder = Path(tempfile.gettempdir(), name)
        line, checkpoints = self.command_line(spec, folder), checkpoint_dir(folder)
        created = checkpoints if str(checkpoints) in line else folder
        return f"mkdir -p {shlex.quote(str(created))} && {line}"

    def check(self, first: TrialSpec) -> None:
        """Check, before the first trial starts, for errors that would make every trial fail.

        Raises:
            StudyError: The folder or the program does not exist.
        """
        if not self.cwd.is_dir():
            raise StudyError(
                f"runner.cwd is {self.cwd}, which is not a folder",
                why="every trial would fail there",
                fix="name a folder; a relative one starts at the study file's folder",
            )
        program = self.arguments_and_env(first, Path("."))[0][0]
        # A program with a slash is relative to its working directory.
        path = str(self.cwd / program) if os.sep in program else program
        if shutil.which(path, path=self.table.env.get("PATH")) is None:
            raise StudyError(
                f"runner.command starts '{program}', which is not a program here",
                why="every trial would fail",
                fix="write {python} for this Python, or the program's full path",
            )

    def _run(self, spec: TrialSpec, trial_dir: Path) -> tuple[int, list[str]]:
        """Run the program; return its exit status, and the command lines of what it left running.

        When the function returns, no process of the trial runs, and its GPUs are free.
        """
        arguments, env = self.arguments_and_env(spec, trial_dir)
        timeout = None if self.table.timeout is None else parse_duration(self.table.timeout)
        try:
            with (trial_dir / STDOUT).open("wb") as out, (trial_dir / STDERR).open("wb") as err:
                process = start_program(
                    arguments,
                    cwd=self.cwd,
                    env={**os.environ, VARIABLE: str(checkpoint_dir(trial_dir.absolute())), **env},
                    out=out,
                    err=err,
                    attempt=trial_dir,
                )
        except (OSError, ValueError) as error:
            raise TrialError(
                f"'{arguments[0]}' cannot be started: {error}",
                why="the program named in the study trains the trial",
                fix="correct [runner] command, or make the program executable",
            ) from None
        has_finished = False
        try:
            status = process.wait(timeout)
            has_finished = True
        except subprocess.TimeoutExpired:
            raise TrialError(
                f"ran longer than {self.table.timeout}",
                why=f"[runner] timeout is {self.table.timeout}; "
                f"{_format_tail(_last_lines(trial_dir))}",
                fix="raise the timeout, or find out why the program hangs",
            ) from None
        finally:
            terminated = terminate_trial(trial_dir, has_finished=has_finished)
            process.wait()
        if was_interrupted(status):
            raise Interrupted
        return status, terminated

    def _failure(self, status: int, spec: TrialSpec, trial_dir: Path) -> TrialError:
        """Return the error of a program that failed."""
        end = _format_status(status)
        if lines := _last_lines(trial_dir):
            return TrialError(
                f"{end}: {lines[-1].strip()}",
                why=f"the program failed; {_format_tail(lines)}",
                fix=f"see {trial_dir / STDERR} and {STDOUT} in the same folder",
            )
        by_hand = self.line_by_hand(spec, f"trial-{spec.id[:12]}")
        return TrialError(
            f"{end}: the program printed nothing",
            why="the program failed without a message; what it still buffered is lost",
            fix=f'add env = {{ PYTHONUNBUFFERED = "1" }} to [runner], or run it by hand: {by_hand}',
        )

    def _loss_and_divergence(
        self, status: int, spec: TrialSpec, trial_dir: Path
    ) -> tuple[float, bool]:
        """Return the loss of a program, and whether it diverged; raise if the program failed."""
        rule = self.table.diverged
        diverged = rule is not None and (
            (rule.exit is not None and status == rule.exit)
            or (rule.regex is not None and any_line_matches(rule.regex, _logs(trial_dir)))
        )
        if status and not diverged:
            raise self._failure(status, spec, trial_dir)
        try:
            loss = read_loss(self.table.loss, trial_dir)
        except TrialError:
            if diverged:
                return math.nan, True
            raise
        return loss, diverged or not math.isfinite(loss)


def _with_terminated(error: TrialError, commands: list[str]) -> TrialError:
    """Return an error that also names the processes that a failed program had left."""
    left = listed((command[:100] for command in commands), limit=3)
    return TrialError(
        error.what,
        why=f"{error.why}\n    it ended before the processes it had started, which were "
        f"terminated: {left}",
        fix=f"{error.fix}; if one of these trains, let the command wait for it (no &, no daemon)",
    )


def _logs(trial_dir: Path) -> list[Path]:
    """Return the files of a program's output."""
    return [trial_dir / STDOUT, trial_dir / STDERR]


def _last_lines(trial_dir: Path) -> list[str]:
    """Return the last lines of stderr, or of stdout where stderr is empty, or none."""
    for path in reversed(_logs(trial_dir)):
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
        if lines := deque((line for line in text.splitlines() if line.strip()), TAIL_LINES):
            return [line[:500] for line in lines]
    return []


def _format_tail(lines: list[str]) -> str:
    """Format the last lines of a program for an error message."""
    if not lines:
        return "it printed nothing, or its output was still buffered"
    return "\n".join(["its last lines:", *(f"    | {line}" for line in lines)])


def _format_status(status: int) -> str:
    """Format how a program ended, with the meaning that shells and kernels give to it.

    Example:
        >>> _format_status(7), _format_status(-11)
        ('exit status 7', 'signal 11 (SIGSEGV)')
        >>> _format_status(137)
        'exit status 137 (128 + SIGKILL, perhaps out of memory)'
    """
    number = -status if status < 0 else status - 128
    names = {member.value: member.name for member in signal.Signals}
    name = names.get(number, "")
    hint = ", perhaps out of memory" if number == signal.SIGKILL else ""
    if status < 0:
        return f"signal {number} ({name}{hint})" if name else f"signal {number}"
    if name:
        return f"exit status {status} (128 + {name}{hint})"
    meaning = {126: " (not executable)", 127: " (command not found)"}
    return f"exit status {status}{meaning.get(status, '')}"
