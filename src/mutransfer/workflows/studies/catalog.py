"""Named studies: the study files that ship with the package, described, read and run."""

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
from mutransfer.workflows.analyze import analyze_path, write_page
from mutransfer.workflows.studies.run import StudyRun, run_study


@dataclass(frozen=True, slots=True)
class NamedStudy:
    """A study that ships with the package, as described by the comments that open its file.

    Args:
        name: The argument of `mutransfer studies run`.
        question: The question that it answers.
        source: The source of the question, or of the expected answer.
        command: The command that runs it.
        expected: The expected answer.
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
class NamedStudyRun:
    """The result of running a named sweep.

    Args:
        run: Its trials and their store.
        report: The analysis, or None where trials failed.
        page: The HTML page, or None.
    """

    run: StudyRun
    report: Report | None
    page: Path | None


def named_studies() -> list[NamedStudy]:
    """Return the descriptions of all named studies, sorted by name."""
    return [_description(name, study_text(name)) for name in _names()]


def study_text(name: str) -> str:
    """Return the file of a named study.

    Raises:
        UsageError: There is no study of this name.
    """
    names = _names()
    if name not in names:
        raise UsageError(
            f"there is no study '{name}'",
            why="another study would answer another question",
            fix=nearest(name, names),
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


def run_named_study(
    name: str,
    *,
    store: Path | None = None,
    workers: int | Literal["auto"] = "auto",
    stop: threading.Event | None = None,
    on_start: Callable[[list[TrialSpec]], None] = lambda trials: None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> NamedStudyRun:
    """Run the remaining trials of a named sweep, analyze them, and write the page."""
    study = named_study(name)
    assert isinstance(study, StudySpec), f"{name} has no trials"
    run = run_study(
        study, store=store, workers=workers, stop=stop, on_start=on_start, on_outcome=on_outcome
    )
    if run.summary.done < run.summary.total:
        return NamedStudyRun(run, None, None)
    results, report = analyze_path(run.store)
    page = run.store / "report.html"
    # Writing the page takes seconds: where no trial was added, the page is still true.
    if run.summary.ran or run.summary.shared or not page.exists():
        title = _description(name, study_text(name)).title
        write_page(run.store, page, results=results, report=report, title=title)
    return NamedStudyRun(run, report, page)


def _names() -> list[str]:
    """List the names of the study files."""
    entries = (entry.name for entry in (files("mutransfer") / "studies").iterdir())
    return sorted(name.removesuffix(".toml") for name in entries if name.endswith(".toml"))


def _description(name: str, text: str) -> NamedStudy:
    """Parse the comments that open a study file; each may continue over several lines."""
    comments = dict.fromkeys(("question", "source", "command", "expected"), "")
    current = None
    for line in text.splitlines():
        comment = line.removeprefix("#").strip()
        if not line.startswith("#") or not comment:
            break
        key, colon, rest = comment.partition(":")
        if colon and key.lower() in comments:
            current, comment = key.lower(), rest
        if current is not None:
            comments[current] = f"{comments[current]} {comment.strip()}".strip()
    return NamedStudy(name, **comments)
