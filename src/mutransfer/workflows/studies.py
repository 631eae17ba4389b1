"""This file is `run_study`: from a study file to finished trials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mutransfer.data.corpus import corpus_hash
from mutransfer.errors import StudyError
from mutransfer.records import StudySpec, TrialSpec
from mutransfer.records.lab import NUMERICS
from mutransfer.sweep import (
    LocalExecutor,
    Outcome,
    SweepSummary,
    TrialStore,
    check_lab_trials,
    expand,
    lab_runner,
    read_study,
    run_sweep,
)
from mutransfer.workflows.lab import LabRun, relative_cost, same_training


@dataclass(frozen=True, slots=True)
class StudyRun:
    """A study's trials after a run.

    Args:
        store: The directory that holds them.
        summary: How many are done, diverged, failed.
    """

    store: Path
    summary: SweepSummary


def lab_trials(study: StudySpec, *, where: str, folder: Path) -> tuple[list[TrialSpec], LabRun]:
    """List a lab study's trials and say what trains them.

    Args:
        study: A study with a `[lab]` table.
        where: The file's name, for errors.
        folder: The file's folder, to which a relative `text` refers.

    Raises:
        StudyError: The study has no `[lab]`, or a trial that cannot be.
        DataError: Its text cannot be read.
    """
    if study.lab is None:
        said = "has a [runner]" if study.runner else "has neither [lab] nor [runner]"
        raise StudyError(
            f"{where} {said}; this version runs [lab] studies",
            why="a sweep needs something that trains",
            fix="add [lab] with base_width = 32, or run your own script and bring its losses as "
            "CSV: mutransfer analyze losses.csv",
        )
    text = None if study.lab.text is None else str((folder / study.lab.text).resolve())
    runner = lab_runner(
        study.lab, numerics=NUMERICS, data=corpus_hash(text), derived=dict(study.derived)
    )
    trials = expand(study, runner)
    check_lab_trials(trials, where=where)
    return trials, LabRun(text, study.lab.device)


def list_trials(study: StudySpec, *, where: str, folder: Path) -> list[TrialSpec]:
    """List a study's trials without running anything."""
    return lab_trials(study, where=where, folder=folder)[0]


def run_study(
    study: str | Path | StudySpec,
    *,
    store: str | Path | None = None,
    workers: int = 0,
    on_start: Callable[[list[TrialSpec]], None] = lambda trials: None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> StudyRun:
    """Run a study's trials on this machine; run it again and it resumes.

    Args:
        study: A study file, or a validated study.
        store: Where results go; `runs/<name>` by default.
        workers: Processes, one thread each; one per core by default.
        on_start: Called with all trials before the first one starts.
        on_outcome: Called with each trial's outcome, those already in the store first.

    Raises:
        StudyError: The study is wrong.
        StoreError: The store cannot be read or written.
        DataError: The training text cannot be read.

    Example:
        >>> run = run_study("study.toml")  # doctest: +SKIP
        >>> run.summary.done, run.store  # doctest: +SKIP
        (12, PosixPath('runs/my-study'))
    """
    folder, where = Path(), "this study"
    if not isinstance(study, StudySpec):
        folder, where = Path(study).parent, str(study)
        study = read_study(study)
    executor = LocalExecutor(workers)
    trials, runner = lab_trials(study, where=where, folder=folder)
    home = TrialStore(store or Path("runs") / study.study.name, create=True)
    home.write_study(study, trials)
    on_start(trials)
    summary = run_sweep(
        trials,
        home,
        runner=runner,
        executor=executor,
        same=same_training,
        cost=relative_cost,
        on_outcome=on_outcome,
    )
    return StudyRun(home.path, summary)
