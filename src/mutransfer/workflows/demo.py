"""This file is the demo: the main job on embedded text, SP against µP, from trials to page."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal

from mutransfer.analysis import Report
from mutransfer.records import StudySpec, TrialSpec
from mutransfer.sweep import Outcome, read_study
from mutransfer.workflows.reading import analyze_path, report_path
from mutransfer.workflows.studies import StudyRun, run_study

DEMOS = {"small": "demo.toml", "large": "demo-large.toml"}


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo leaves behind.

    Args:
        run: Its trials and their store.
        report: The verdicts, or None where trials failed.
        page: The HTML page, or None.
    """

    run: StudyRun
    report: Report | None
    page: Path | None


def demo_study(scale: str) -> StudySpec:
    """Read the demo's study, shipped with the package."""
    with as_file(files("mutransfer") / "studies" / DEMOS[scale]) as path:
        return read_study(path)


def run_demo(
    scale: str,
    *,
    store: Path | None = None,
    workers: int | Literal["auto"] = "auto",
    stop: threading.Event | None = None,
    on_start: Callable[[list[TrialSpec]], None] = lambda trials: None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> Demo:
    """Run the demo's trials, analyze them, write the page; what is done is not done again."""
    study = demo_study(scale)
    run = run_study(
        study, store=store, workers=workers, stop=stop, on_start=on_start, on_outcome=on_outcome
    )
    if run.summary.done < run.summary.total:
        return Demo(run, None, None)
    results, report = analyze_path(run.store)
    page = run.store / "report.html"
    if run.summary.ran or run.summary.shared or not page.exists():
        report_path(
            run.store, page, results=results, report=report, title="The demo: SP against µP"
        )
    return Demo(run, report, page)
