"""Executors by name, and what each needs to know of a study."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mutransfer.errors import UsageError, nearest
from mutransfer.records import StudySpec
from mutransfer.sweep import Executor, LocalExecutor
from mutransfer.sweep.executors.slurm.executor import SlurmExecutor
from mutransfer.sweep.executors.slurm.script import Script
from mutransfer.sweep.executors.slurm.settings import slurm_settings

ExecutorName = Literal["local", "slurm"]


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """A sweep that an executor is to run.

    Args:
        study: The study.
        file: Its file; None if the study is an object of this process.
        store: Where results go.
        workers: Processes of this machine.
        only: Selected values of axes.
        report: Called with lines for the user.
    """

    study: StudySpec
    file: Path | None
    store: Path
    workers: int | Literal["auto"]
    only: Mapping[str, object]
    report: Callable[[str], None]


def make_executor(name: str, request: SweepRequest) -> Executor:
    """Return the executor of a name.

    Raises:
        UsageError: There is no such executor, or it cannot run this study.
    """
    if name not in EXECUTORS:
        raise UsageError(
            f"there is no executor '{name}'",
            why="an executor is where trials run",
            fix=nearest(name, EXECUTORS),
        )
    return EXECUTORS[name](request)


def _local(request: SweepRequest) -> Executor:
    """Return the executor of this machine."""
    return LocalExecutor(request.workers)


def _slurm(request: SweepRequest) -> Executor:
    """Return the executor whose tasks run `mutransfer sweep` on the nodes of a cluster."""
    if request.file is None:
        raise UsageError(
            "this study is not a file",
            why="tasks on other machines run `mutransfer sweep STUDY.toml`",
            fix="write it to a TOML file with a [runner] command or [lab], and pass its path",
        )
    settings, store = slurm_settings(request.study.slurm), request.store.resolve()
    command = [sys.executable, "-m", "mutransfer.cli", "sweep", str(request.file.resolve())]
    command += ["--store", str(store), "--workers", "1"]
    for axis, points in request.only.items():
        values = points if isinstance(points, list | tuple) else [points]
        command += ["--only", f"{axis}={','.join(map(str, values))}"]
    script = Script(store, request.study.study.name, command, settings)
    return SlurmExecutor(script, report=request.report)


EXECUTORS: dict[str, Callable[[SweepRequest], Executor]] = {"local": _local, "slurm": _slurm}
