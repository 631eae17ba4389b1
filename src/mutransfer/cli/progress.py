"""This file is a sweep's progress: a bar on a terminal, a line per trial elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from mutransfer.records import TrialSpec
from mutransfer.sweep import Outcome


class SweepProgress:
    """Count outcomes and say what happens, on stderr.

    Args:
        console: Where to write.
        bar: rich's progress display, or None where there is no terminal.
        intro: What the trials are for, said before the first one.
    """

    def __init__(self, console: Console, bar: Progress | None, intro: str = "") -> None:
        self._console = console
        self._intro = intro
        self._bar = bar
        self._task = bar.add_task("", total=None) if bar else None
        self._total = self._seen = self._before = self._failed = self._diverged = 0
        self._best: dict[object, float] = {}

    def on_start(self, trials: list[TrialSpec]) -> None:
        """Say how much there is to do."""
        self._total = len(trials)
        self._say(f"{self._intro}{len(trials)} trials")
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=len(trials))

    def on_outcome(self, outcome: Outcome) -> None:
        """Count one trial."""
        self._seen += 1
        self._before += outcome.before
        if self._before == self._seen == self._total or (self._before and not outcome.before):
            self._say(f"{self._before} done before")
            self._before = 0
        result = outcome.result
        self._failed += outcome.status == "failed"
        if result is not None:
            self._diverged += result.diverged_at is not None
            width = outcome.spec.values.get("width", "all")
            if result.loss is not None and result.diverged_at is None:
                self._best[width] = min(self._best.get(width, result.loss), result.loss)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=1, description=self._counts())
        elif not outcome.before:
            self._say(self._line(outcome))
        if outcome.status == "failed":
            self._say(f"failed: {_point(outcome.spec)}: {outcome.error.splitlines()[0]}")

    def _line(self, outcome: Outcome) -> str:
        """Describe one trial in one line."""
        result, digits = outcome.result, len(str(self._total))
        said = {"failed": "failed", "taken": "another driver works on it"}.get(outcome.status, "")
        if result is not None:
            loss = "not finite" if result.loss is None else f"{result.loss:.4f}"
            said = f"loss {loss}"
            said += "" if result.diverged_at is None else f", diverged at step {result.diverged_at}"
            said += ", shared" if result.shared_from else f", {result.seconds:.1f} s"
        return f"[{self._seen:{digits}d}/{self._total}] {_point(outcome.spec)}  {said}"

    def _counts(self) -> str:
        """Sum up for the bar."""
        best = "  ".join(f"{w}: {loss:.3f}" for w, loss in self._best.items())
        return f"{self._failed} failed, {self._diverged} diverged  best loss {best}"

    def _say(self, text: str) -> None:
        """Print plain text above the bar."""
        self._console.print(Text(text))


def _point(spec: TrialSpec) -> str:
    """Name a trial by its point on the grid."""
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in spec.axes.items()
    )


@contextmanager
def sweep_progress(intro: str = "") -> Iterator[SweepProgress]:
    """Show progress while the context lasts."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    if not sys.stderr.isatty():
        yield SweepProgress(console, None, intro)
        return
    columns = (
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield SweepProgress(console, bar, intro)
