"""This file is a sweep's progress: a bar on a terminal, a line per trial elsewhere."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from mutransfer.cli.output import point_text
from mutransfer.errors import plain
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
        self._running: set[str] = set()
        self._at_once = 1
        self._best: dict[object, float] = {}
        self._left: Counter[object] = Counter()
        self._took: defaultdict[object, list[float]] = defaultdict(list)

    def on_start(self, trials: list[TrialSpec]) -> None:
        """Say how much there is to do."""
        self._total = len(trials)
        self._left = Counter(_size(spec) for spec in trials)
        self._say(f"{self._intro}{len(trials)} trials")
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=len(trials))

    def on_outcome(self, outcome: Outcome) -> None:
        """Count one trial, or say that it runs."""
        if outcome.status == "waiting":
            point = point_text(outcome.spec.axes)
            self._say(f"{point} is claimed by {outcome.error}: waiting for a sign of life")
        elif outcome.status == "running":
            self._running.add(outcome.spec.id)
            self._at_once = max(self._at_once, len(self._running))
        else:
            self._count(outcome)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._seen, description=self._counts())

    def _count(self, outcome: Outcome) -> None:
        """Count a trial's end."""
        self._seen += 1
        self._running.discard(outcome.spec.id)
        self._before += outcome.before
        if self._before == self._seen == self._total or (self._before and not outcome.before):
            self._say(f"{self._before} done before")
            self._before = 0
        result, size = outcome.result, _size(outcome.spec)
        self._left[size] -= 1
        self._failed += outcome.status == "failed"
        if result is not None:
            self._diverged += result.diverged_at is not None
            if outcome.attempt is not None:
                self._took[size].append(result.seconds)
            if result.loss is not None and result.diverged_at is None:
                self._best[size] = min(self._best.get(size, result.loss), result.loss)
        if self._bar is None and not outcome.before:
            self._say(self._line(outcome))
        if outcome.status == "failed":
            first = outcome.error.splitlines()[0]
            self._say(f"failed: {point_text(outcome.spec.axes)}: {first}")

    def _line(self, outcome: Outcome) -> str:
        """Describe one trial in one line."""
        result, digits = outcome.result, len(str(self._total))
        said: str = outcome.status
        if outcome.status == "taken":
            said = "another driver works on it"
        if result is not None:
            said = "loss not finite" if result.loss is None else f"loss {result.loss:.4f}"
            if result.diverged_at is not None:
                said += (
                    f", diverged at step {result.diverged_at}"
                    if result.diverged_at
                    else (", diverged")
                )
            said += ", shared" if result.shared_from else f", {result.seconds:.1f} s"
        return f"[{self._seen:{digits}d}/{self._total}] {point_text(outcome.spec.axes)}  {said}"

    def _counts(self) -> str:
        """Sum up for the bar."""
        counts = {"running": len(self._running), "failed": self._failed, "diverged": self._diverged}
        said = [f"{count} {what}" for what, count in counts.items() if count or what == "running"]
        if (seconds := self._seconds_left()) is not None:
            said.append(f"{_duration(seconds)} left")
        best = "  ".join(
            f"{size}: {loss:.3f}" for size, loss in sorted(self._best.items(), key=_order)
        )
        return ", ".join(said) + (f"\nbest loss  {best}" if best else "")

    def _seconds_left(self) -> float | None:
        """Estimate from trials of the same size, or else from all; None before the first ended."""
        every = [seconds for took in self._took.values() for seconds in took]
        if not every:
            return None
        total = 0.0
        for size, count in self._left.items():
            took = self._took.get(size) or every
            total += max(count, 0) * sum(took) / len(took)
        return total / self._at_once

    def _say(self, text: str) -> None:
        """Print plain text above the bar."""
        self._console.print(Text(plain(text)))


def _size(spec: TrialSpec) -> object:
    """Give what a trial's length depends on most."""
    return spec.axes.get("width", "all")


def _order(item: tuple[object, float]) -> tuple[float, str]:
    """Sort sizes as numbers where they are."""
    size = item[0]
    return (float(size), "") if isinstance(size, int | float) else (0.0, str(size))


def _duration(seconds: float) -> str:
    """Round a duration to what matters."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


@contextmanager
def sweep_progress(intro: str = "") -> Iterator[SweepProgress]:
    """Show progress while the context lasts."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    if not sys.stderr.isatty():
        yield SweepProgress(console, None, intro)
        return
    columns = (
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield SweepProgress(console, bar, intro)
