"""This file is the command runner: one trial of any program, without a shell."""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mutransfer.errors import StudyError, TrialError
from mutransfer.records import CommandTable, TrialResult, TrialSpec
from mutransfer.records.command import parse_duration, substitute
from mutransfer.sweep.devices import device
from mutransfer.sweep.files import read_inside
from mutransfer.sweep.processes import Interrupted, end_group, place, start, was_ended
from mutransfer.sweep.runners.losses import ENV_FILE, STDOUT, matches, read_loss

STDERR = "stderr.txt"
ENDED = "ended.json"  # exit status and seconds of a program that came to its end
TAIL_LINES = 5
TAIL_BYTES = 2**14


@dataclass(frozen=True, slots=True)
class CommandRun:
    """Run a program for one trial and read its loss.

    Args:
        table: The study's `[runner]`.
        cwd: Where it runs.
        commit: Commit of the source checkout it runs in, if it is one.
    """

    table: CommandTable
    cwd: Path
    commit: str | None = None

    def __call__(self, spec: TrialSpec, trial_dir: Path) -> TrialResult:
        """Run the program to its end.

        Raises:
            TrialError: It could not start, took too long, failed, or left no loss.
            Interrupted: It was ended, by us or by the cluster.
        """
        for former in _former_attempts(trial_dir):
            # A study that sought its loss in the wrong place, and was mended, trains nothing anew.
            with suppress(OSError, ValueError, KeyError, TypeError, TrialError):
                ended = json.loads(read_inside(former / ENDED))
                return self._result(spec, former, int(ended["status"]), float(ended["seconds"]))
        began = time.perf_counter()
        status = self._run(spec, trial_dir)
        took = time.perf_counter() - began
        (trial_dir / ENDED).write_text(json.dumps({"status": status, "seconds": took}))
        return self._result(spec, trial_dir, status, took)

    def _result(self, spec: TrialSpec, folder: Path, status: int, took: float) -> TrialResult:
        """Read what a program that ended has left."""
        loss, diverged = self._judged(status, folder)
        return TrialResult(
            id=spec.id,
            spec=spec,
            loss=loss if math.isfinite(loss) else None,
            diverged_at=0 if diverged else None,
            seconds=took,
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
            host=place().partition(" ")[0],
            commit=self.commit,
        )

    def substituted(self, spec: TrialSpec, trial_dir: Path) -> tuple[list[str], dict[str, str]]:
        """Give the arguments of a trial, and what is added to its environment."""
        values = {
            **spec.values,
            "trial_dir": str(trial_dir.absolute()),
            "python": sys.executable,
            "device": device(),
        }
        env = {name: substitute(text, values) for name, text in self.table.env.items()}
        if self.table.loss.env is not None:
            env[self.table.loss.env] = str(trial_dir.absolute() / ENV_FILE)
        return [substitute(argument, values) for argument in self.table.arguments], env

    def shown(self, spec: TrialSpec, trial_dir: Path) -> str:
        """Write a trial's command as one would type it."""
        arguments, env = self.substituted(spec, trial_dir)
        lines = [f"cd {shlex.quote(str(self.cwd))}"] if self.cwd != Path.cwd() else []
        assigned = [f"{name}={shlex.quote(value)}" for name, value in env.items()]
        return " && ".join([*lines, " ".join([*assigned, shlex.join(arguments)])])

    def check(self, first: TrialSpec) -> None:
        """Find out before the first trial what would fail them all.

        Raises:
            StudyError: The folder or the program is not there.
        """
        if not self.cwd.is_dir():
            raise StudyError(
                f"runner.cwd is {self.cwd}, which is no folder",
                why="every trial would fail there",
                fix="name a folder; a relative one starts at the study file's folder",
            )
        program = self.substituted(first, Path("."))[0][0]
        # With a slash it is relative to the folder in which it is to run.
        sought = str(self.cwd / program) if os.sep in program else program
        if shutil.which(sought, path=self.table.env.get("PATH")) is None:
            raise StudyError(
                f"runner.command starts '{program}', which is no program here",
                why="every trial would fail",
                fix="write {python} for this Python, or the program's full path",
            )

    def _run(self, spec: TrialSpec, trial_dir: Path) -> int:
        """Run the program and give its exit status; whatever it leaves running is ended."""
        arguments, env = self.substituted(spec, trial_dir)
        limit = None if self.table.timeout is None else parse_duration(self.table.timeout)
        try:
            with (trial_dir / STDOUT).open("wb") as out, (trial_dir / STDERR).open("wb") as err:
                process = start(
                    arguments,
                    cwd=self.cwd,
                    env={**os.environ, **env},
                    out=out,
                    err=err,
                    attempt=trial_dir,
                )
        except (OSError, ValueError) as problem:
            raise TrialError(
                f"'{arguments[0]}' cannot be started: {problem}",
                why="the program named by the study is what trains",
                fix="correct [runner] command, or make the program executable",
            ) from None
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            raise TrialError(
                f"ran longer than {self.table.timeout}",
                why=f"[runner] timeout is {self.table.timeout}; {_tail(trial_dir)}",
                fix="raise the timeout, or find out why the program hangs",
            ) from None
        finally:
            end_group(trial_dir)
            process.wait()
        if was_ended(status):
            raise Interrupted
        return status

    def _judged(self, status: int, trial_dir: Path) -> tuple[float, bool]:
        """Tell loss and divergence from what the program left; raise where it failed."""
        told = self.table.diverged
        diverged = told is not None and (
            (told.exit is not None and status == told.exit)
            or (told.regex is not None and matches(told.regex, _logs(trial_dir)))
        )
        if status and not diverged:
            said = f"signal {-status}" if status < 0 else f"exit status {status}"
            raise TrialError(
                f"{said}: {_last_line(trial_dir)}",
                why=f"the program failed; {_tail(trial_dir)}",
                fix=f"see {trial_dir / STDERR} and {STDOUT} beside it",
            )
        try:
            loss = read_loss(self.table.loss, trial_dir)
        except TrialError:
            if diverged:
                return math.nan, True
            raise
        return loss, diverged or not math.isfinite(loss)


def _former_attempts(trial_dir: Path) -> list[Path]:
    """Name the other attempts of a trial, in a store."""
    folder = trial_dir.parent
    return sorted(folder.iterdir()) if folder.name == "attempts" else []


def _logs(trial_dir: Path) -> list[Path]:
    """Name what a program printed."""
    return [trial_dir / STDOUT, trial_dir / STDERR]


def _lines(trial_dir: Path) -> list[str]:
    """Give the last lines of stderr, or of stdout where stderr is empty."""
    for path in reversed(_logs(trial_dir)):
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
        if lines := deque((line for line in text.splitlines() if line.strip()), TAIL_LINES):
            return [line[:500] for line in lines]
    return ["it printed nothing"]


def _last_line(trial_dir: Path) -> str:
    """Give the line in which programs say what went wrong."""
    return _lines(trial_dir)[-1].strip()


def _tail(trial_dir: Path) -> str:
    """Lay out the last lines for an error."""
    return "its last lines:\n" + "\n".join(f"    | {line}" for line in _lines(trial_dir))
