"""This file is the named studies: those that ship with the package, listed, shown and run."""

from __future__ import annotations

import threading
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

from mutransfer.analysis import Report
from mutransfer.errors import StudyError, UsageError, nearest
from mutransfer.records import LadderSpec, StudySpec, TrialSpec
from mutransfer.sweep import Outcome
from mutransfer.workflows.analyze import analyze_path, report_path
from mutransfer.workflows.studies.run import StudyRun, run_study


@dataclass(frozen=True, slots=True)
class NamedStudy:
    """A study that ships with the package, as its file's first comments describe it.

    Args:
        name: What `mutransfer studies run` takes.
        question: What it asks.
        source: Where the question, or the expected answer, is from.
        command: What runs it.
        expected: The answer that it is expected to give.
    """

    name: str
    question: str
    source: str
    command: str
    expected: str

    @property
    def title(self) -> str:
        """The question as a heading."""
        return self.question[:1].upper() + self.question[1:]


@dataclass(frozen=True, slots=True)
class NamedRun:
    """What a named sweep leaves behind.

    Args:
        run: Its trials and their store.
        report: The verdicts, or None where trials failed.
        page: The HTML page, or None.
    """

    run: StudyRun
    report: Report | None
    page: Path | None


def named_studies() -> list[NamedStudy]:
    """Describe every study that ships with the package, by name."""
    return [_described(name, study_text(name)) for name in _names()]


def study_text(name: str) -> str:
    """Give a named study's file, as it stands.

    Raises:
        UsageError: There is no study of this name.
    """
    known = _names()
    if name not in known:
        raise UsageError(
            f"there is no study '{name}'",
            why="a study that is guessed at would answer another question",
            fix=nearest(name, known),
        )
    return (files("mutransfer") / "studies" / f"{name}.toml").read_text(encoding="utf-8")


def named_study(name: str) -> StudySpec | LadderSpec:
    """Read a named study: a grid of trials, or a ladder of checks.

    Raises:
        UsageError: There is no study of this name.

    Example:
        >>> named_study("demo").axes["width"]
        (32, 64, 128)
    """
    data = tomllib.loads(study_text(name))
    kind = LadderSpec if "rungs" in data else StudySpec
    return kind.read(data, error=StudyError, where=f"{name}.toml")


def run_named(
    name: str,
    *,
    store: Path | None = None,
    workers: int | Literal["auto"] = "auto",
    stop: threading.Event | None = None,
    on_start: Callable[[list[TrialSpec]], None] = lambda trials: None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> NamedRun:
    """Run a named sweep's trials, analyze them, write the page; what is done is not done again."""
    study = named_study(name)
    assert isinstance(study, StudySpec), f"{name} has no trials"
    run = run_study(
        study, store=store, workers=workers, stop=stop, on_start=on_start, on_outcome=on_outcome
    )
    if run.summary.done < run.summary.total:
        return NamedRun(run, None, None)
    results, report = analyze_path(run.store)
    page = run.store / "report.html"
    if run.summary.ran or run.summary.shared or not page.exists():
        title = _described(name, study_text(name)).title
        report_path(run.store, page, results=results, report=report, title=title)
    return NamedRun(run, report, page)


def _names() -> list[str]:
    """List the study files."""
    folder = files("mutransfer") / "studies"
    found = (entry.name for entry in folder.iterdir())
    return sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml"))


def _described(name: str, text: str) -> NamedStudy:
    """Read the comments that a study file begins with; each may go on over several lines."""
    said = dict.fromkeys(("question", "source", "command", "expected"), "")
    current = None
    for line in text.splitlines():
        comment = line.removeprefix("#").strip()
        if not line.startswith("#") or not comment:
            break
        key, colon, rest = comment.partition(":")
        if colon and key.lower() in said:
            current, comment = key.lower(), rest
        if current is not None:
            said[current] = f"{said[current]} {comment.strip()}".strip()
    return NamedStudy(name, **said)
