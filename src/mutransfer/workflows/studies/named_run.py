"""Runs of named sweeps: one study, or all studies of a source with coinciding trials shared."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mutransfer.analysis import Report, ScalesReport, TuningReport
from mutransfer.errors import DataError, UsageError
from mutransfer.records import LadderSpec, StudySpec, TrialResult, TrialSpec
from mutransfer.sweep import Outcome, TrialStore
from mutransfer.workflows.analyze import analyze_path, write_page
from mutransfer.workflows.studies.catalog import describe, named_study
from mutransfer.workflows.studies.lab import same_training
from mutransfer.workflows.studies.run import StudyRun, prepare_study, run_study
from mutransfer.workflows.studies.scales import Scale


@dataclass(frozen=True, slots=True)
class NamedStudyRun:
    """The result of running a named sweep.

    Args:
        run: Its trials and their store.
        report: The analysis, or None where trials failed.
        page: The HTML page, or None.
    """

    run: StudyRun
    report: Report | TuningReport | None
    page: Path | None


def sweep_study(name: str, scale: Scale | None = None, text: Path | None = None) -> StudySpec:
    """Return a named sweep, trained on the user's text if there is one.

    Args:
        name: Name of the study.
        scale: 'mini', the default, or 'paper'.
        text: A file or folder of text in place of the study's own.

    Raises:
        UsageError: The study is a ladder, or has no such scale.
        DataError: The text does not exist.
    """
    study = named_study(name, scale)
    if isinstance(study, LadderSpec):
        raise UsageError(
            f"{name} is a ladder of coordinate checks, which trains no trials",
            why="a scale, a text and a dry run would be ignored",
            fix=f"mutransfer studies run {name}",
        )
    if text is None:
        return study
    if not os.path.exists(text):
        raise DataError(
            f"--text {text} does not exist",
            why="all trials are trained on this text",
            fix="name a file or a folder of text, or leave --text out for that of this package",
        )
    assert study.lab is not None
    lab = study.lab.model_copy(
        update={"text": str(text.absolute()), "tokens": None, "dataset": None}
    )
    return study.model_copy(update={"lab": lab})


def run_named_study(
    name: str,
    *,
    scale: Scale | None = None,
    text: Path | None = None,
    store: Path | None = None,
    share: bool = False,
    workers: int | Literal["auto"] = "auto",
    stop: threading.Event | None = None,
    on_start: Callable[[list[TrialSpec]], None] = lambda trials: None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> NamedStudyRun:
    """Run the remaining trials of a named sweep, analyze them, and write the page.

    Args:
        name: Name of the study.
        scale: 'mini', the default, or 'paper'.
        text: A file or folder of text in place of the study's own.
        store: Where results go; `runs/<name>` by default.
        share: Copy the results of trials that are the same training from the stores in the folder
            around `store`, in place of training again.
        workers: Number of processes, or 'auto'.
        stop: Once this event is set, no trial is started.
        on_start: Called with all trials before the first one starts.
        on_outcome: Called with the outcome of each trial.

    Raises:
        UsageError: The study is a ladder, or has no such scale.
        StoreError: A store cannot be read or written.
        DataError: The text cannot be read.
    """
    study = sweep_study(name, scale, text)
    path = store or Path("runs") / study.study.name
    copied = share_results(study, path) if share else 0
    run = run_study(
        study, store=path, workers=workers, stop=stop, on_start=on_start, on_outcome=on_outcome
    )
    if run.summary.done < run.summary.total:
        return NamedStudyRun(run, None, None)
    results, report = analyze_path(run.store)
    assert not isinstance(report, ScalesReport)  # a named study has one scale
    page = run.store / "report.html"
    # Writing the page takes seconds: where no trial was added, the page is still true.
    if copied or run.summary.ran or run.summary.shared or not page.exists():
        write_page(run.store, page, results=results, report=report, title=describe(name).title)
    return NamedStudyRun(run, report, page)


def share_results(study: StudySpec, store: Path) -> int:
    """Copy results of trials that are the same training from the stores in the same folder.

    Returns:
        The number of copied results.
    """
    others = [path.parent for path in sorted(store.parent.glob("*/store.json"))]
    others = [path for path in others if path != store]
    own = TrialStore(store) if (store / "store.json").exists() else None
    # Another driver may be training a trial right now: it will publish the result.
    missing = {
        same_training(trial): trial
        for trial in (prepare_study(study).trials if others else ())
        if own is None or not (own.is_done(trial.id) or own.current_claim(trial.id) is not None)
    }
    count = len(missing)
    for key, result in _lab_results(others) if missing else ():
        if (trial := missing.pop(key, None)) is not None:
            own = own or TrialStore(store, create=True)
            own.share(result, trial)
    return count - len(missing)


def _lab_results(stores: Iterable[Path]) -> Iterable[tuple[str, TrialResult]]:
    """Yield the results of lab trials in some stores, with the key of their training."""
    for path in stores:
        for result in TrialStore(path).results():
            if result.spec.runner.kind == "lab":
                yield same_training(result.spec), result
