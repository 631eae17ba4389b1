"""Executors by name: where the trials of a study run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mutransfer.errors import UsageError, nearest
from mutransfer.records import StudySpec
from mutransfer.sweep import Executor, LocalExecutor
from mutransfer.sweep.driver import MAX_RUNS
from mutransfer.sweep.executors.ray.executor import RayExecutor
from mutransfer.sweep.executors.slurm.executor import SlurmExecutor
from mutransfer.sweep.executors.slurm.script import Script
from mutransfer.sweep.executors.slurm.settings import slurm_settings


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """What an executor needs beyond the trials.

    Args:
        study: The study.
        study_file: Its file, which programs on other machines can read; None for a mapping.
        store: Directory of the results.
        workers: Number of processes on this machine.
        only: Points of axes that select the trials.
        count: Trials to run at most.
        retry_failed: Whether trials run again that failed before.
        on_message: Called with lines for the user.
    """

    study: StudySpec
    study_file: Path | None
    store: Path
    workers: int | Literal["auto"] = "auto"
    only: Mapping[str, object] = field(default_factory=dict)
    count: int | None = None
    retry_failed: bool = False
    on_message: Callable[[str], None] = lambda text: None


def _local(request: SweepRequest) -> Executor:
    """Return the executor of this machine."""
    return LocalExecutor(request.workers, request.study.resources)


def _ray(request: SweepRequest) -> Executor:
    """Return the executor of a Ray cluster."""
    study = request.study
    return RayExecutor(study.ray.address, study.resources, request.on_message)


def _slurm(request: SweepRequest) -> Executor:
    """Return the executor whose tasks run `mutransfer sweep` on the nodes of a cluster."""
    study, file = request.study, request.study_file
    if file is None:
        raise UsageError(
            "this study is not a file",
            why="tasks on other machines run `mutransfer sweep STUDY.toml`",
            fix="write it to a TOML file with a [runner] command or [lab], and pass its path",
        )
    ignored = {"count": request.count is not None, "workers": request.workers != "auto"}
    if names := [f"{name}=" for name, is_set in ignored.items() if is_set]:
        raise UsageError(
            f"{' and '.join(names)} without effect under executor='slurm'",
            why="tasks run any trial that is left, and [slurm] says how many run at a time",
            fix="write array_limit and trials_per_task in [slurm], or select trials by only=",
        )
    settings, store = slurm_settings(study.slurm), request.store.resolve()
    resources = study.resources
    workers = resources.trials_per_gpu
    words = [sys.executable, "-m", "mutransfer.cli", "sweep", str(file.resolve())]
    words += ["--store", str(store), "--workers", str(workers)]
    words += ["--count", str(workers * settings.trials_per_task)]
    for axis, points in request.only.items():
        values = points if isinstance(points, list | tuple) else [points]
        words += ["--only", f"{axis}={','.join(map(str, values))}"]
    sets_cores = "cpus_per_trial" in resources.model_fields_set
    script = Script(
        store,
        study.study.name,
        words,
        settings,
        gpus=1 if workers > 1 else resources.whole_gpus,
        cpus=resources.cpus_per_trial * workers if sets_cores else None,
        trials=settings.trials_per_task * workers,
    )
    retries = study.runner.retries if study.runner is not None else 0
    return SlurmExecutor(script, MAX_RUNS * (1 + retries), request.retry_failed, request.on_message)


EXECUTORS: dict[str, Callable[[SweepRequest], Executor]] = {
    "local": _local,
    "ray": _ray,
    "slurm": _slurm,
}


def named_executor(name: str, request: SweepRequest) -> Executor:
    """Return the executor of a name.

    Raises:
        UsageError: There is none of this name, or it cannot run the study.

    Example:
        >>> study = StudySpec.model_validate_json(
        ...     '{"schema": 1, "study": {"name": "s"}, "axes": {"width": [8], "lr": [1]}}'
        ... )
        >>> named_executor("local", SweepRequest(study, None, Path("runs/s"), workers=2)).workers
        2
    """
    if name not in EXECUTORS:
        raise UsageError(
            f"there is no executor '{name}'",
            why="an executor is the place where trials run",
            fix=f"--executor: {nearest(name, EXECUTORS)}",
        )
    return EXECUTORS[name](request)
