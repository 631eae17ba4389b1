"""Executors by name: where the trials of a study run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mutransfer.errors import UsageError, nearest
from mutransfer.records import StudySpec
from mutransfer.sweep import Executor, LocalExecutor


@dataclass(frozen=True, slots=True)
class SweepRequest:
    """What an executor needs beyond the trials.

    Args:
        study: The study.
        study_file: Its file, which programs on other machines can read; None for a mapping.
        store: Directory of the results.
        workers: Number of processes on this machine.
        only: Points of axes that select the trials.
        retry_failed: Whether trials run again that failed before.
        on_message: Called with lines for the user.
    """

    study: StudySpec
    study_file: Path | None
    store: Path
    workers: int | Literal["auto"] = "auto"
    only: Mapping[str, object] = field(default_factory=dict)
    retry_failed: bool = False
    on_message: Callable[[str], None] = lambda text: None


def _local(request: SweepRequest) -> Executor:
    """Return the executor of this machine."""
    return LocalExecutor(request.workers, request.study.resources)


EXECUTORS: dict[str, Callable[[SweepRequest], Executor]] = {"local": _local}


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
