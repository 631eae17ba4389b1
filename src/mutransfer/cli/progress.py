"""Progress on stderr: a bar of a sweep or one line per trial, and a line of a running check."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from mutransfer.cli.output import format_point
from mutransfer.errors import counted, plain
from mutransfer.records import TrialSpec
from mutransfer.sweep import Outcome, sharing_notes


class SweepProgress:
    """Display of a sweep's progress on stderr.

    Args:
        console: Where to write.
        bar: rich's progress display, or None without a terminal.
        intro: Text printed before the first trial.
        shows_others: Whether lines are printed for trials of other drivers too, such as those
            that they have claimed.
    """

    def __init__(
        self, console: Console, bar: Progress | None, intro: str = "", shows_others: bool = True
    ) -> None:
        self._console = console
        self._intro = intro
        self._shows_others = shows_others
        self._bar = bar
        self._task = bar.add_task("", total=None) if bar else None
        self._total = self._ended = self._already_done = self._failed = self._diverged = 0
        self._running: set[str] = set()
        self._causes: set[str] = set()
        self._parallel = 1
        self._best_loss: dict[object, float] = {}
        self._remaining: Counter[object] = Counter()
        self._seconds: defaultdict[object, list[float]] = defaultdict(list)

    def on_start(self, trials: list[TrialSpec]) -> None:
        """Print how many trials there are; a search calls this again for every round."""
        self._total += len(trials)
        self._remaining.update(_size(spec) for spec in trials)
        self._print(f"{self._intro}{counted(len(trials), 'trial')}")
        for note in sharing_notes(trials):
            self._print(note)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, total=self._total)

    def on_outcome(self, outcome: Outcome) -> None:
        """Update the display with a trial that waits, starts or ends."""
        if outcome.status == "waiting":
            point = format_point(outcome.spec.axes)
            self._print(f"{point} is claimed by {outcome.error}: waiting for its heartbeat")
        elif outcome.status == "running":
            self._running.add(outcome.spec.id)
            self._parallel = max(self._parallel, len(self._running))
        else:
            self._count(outcome)
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._ended, description=self._description())

    def on_message(self, text: str) -> None:
        """Print lines of an executor."""
        self._print(text)

    def _count(self, outcome: Outcome) -> None:
        """Count a trial that ended."""
        self._ended += 1
        self._running.discard(outcome.spec.id)
        was_done = outcome.before and outcome.status == "done"
        self._already_done += was_done
        all_done = self._already_done == self._ended == self._total
        if all_done or (self._already_done and not was_done):
            self._print(f"{self._already_done} already done")
            self._already_done = 0
        result, size = outcome.result, _size(outcome.spec)
        self._remaining[size] -= 1
        self._failed += outcome.status == "failed"
        if result is not None:
            self._diverged += result.diverged_at is not None
            if outcome.attempt is not None:
                self._seconds[size].append(result.seconds)
            if result.loss is not None and result.diverged_at is None:
                self._best_loss[size] = min(self._best_loss.get(size, result.loss), result.loss)
        is_own = self._shows_others or outcome.attempt is not None
        if self._bar is None and not was_done and is_own:
            self._print(self._format_trial(outcome))
        if outcome.status == "failed" and not outcome.before:
            # One cause often fails every trial; the summary lists all trials of each cause.
            cause = outcome.error.splitlines()[0]
            if cause not in self._causes:
                self._print(f"failed: {format_point(outcome.spec.axes)}: {cause}")
            self._causes.add(cause)

    def _format_trial(self, outcome: Outcome) -> str:
        """Format the end of a trial as one line."""
        result = outcome.result
        text: str = "running in another driver" if outcome.status == "taken" else outcome.status
        if outcome.status == "failed" and outcome.before:
            text = "skipped, failed in two earlier runs"
        if result is not None:
            text = "loss not finite" if result.loss is None else f"loss {result.loss:.4f}"
            if result.diverged_at is not None:
                at = f" at step {result.diverged_at}" if result.diverged_at else ""
                text += f", diverged{at}"
            shared = "same as an identical trial"
            text += f", {shared if result.shared_from else f'{result.seconds:.1f} s'}"
        number = f"{self._ended:{len(str(self._total))}d}"
        return f"[{number}/{self._total}] {format_point(outcome.spec.axes)}  {text}"

    def _description(self) -> str:
        """Format the counts beside the bar, and the best losses below it."""
        parts = [f"{len(self._running)} running"]
        counts = {"failed": self._failed, "diverged": self._diverged}
        parts += [f"{count} {name}" for name, count in counts.items() if count]
        if (seconds := self._seconds_left()) is not None:
            parts.append(f"{_format_duration(seconds)} left")
        best = "  ".join(
            f"{size}: {loss:.3f}" for size, loss in sorted(self._best_loss.items(), key=_sort_key)
        )
        return ", ".join(parts) + (f"\nbest loss  {best}" if best else "")

    def _seconds_left(self) -> float | None:
        """Estimate from finished trials, of the same size if there are any; None without any."""
        every = [seconds for trials in self._seconds.values() for seconds in trials]
        if not every:
            return None
        total = 0.0
        for size, count in self._remaining.items():
            trials = self._seconds.get(size) or every
            total += max(count, 0) * sum(trials) / len(trials)
        return total / self._parallel

    def _print(self, text: str) -> None:
        """Print plain text above the bar."""
        self._console.print(Text(plain(text)))


def _size(spec: TrialSpec) -> object:
    """Return the axis value that a trial's duration depends on most."""
    return spec.axes.get("width", "all")


def _sort_key(item: tuple[object, float]) -> tuple[float, str]:
    """Sort numeric sizes as numbers."""
    size = item[0]
    return (float(size), "") if isinstance(size, int | float) else (0.0, str(size))


def _format_duration(seconds: float) -> str:
    """Format a duration in seconds, minutes or hours."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


@contextmanager
def sweep_progress(intro: str = "", shows_others: bool = True) -> Iterator[SweepProgress]:
    """Display progress while the context lasts."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    if not sys.stderr.isatty():
        yield SweepProgress(console, None, intro, shows_others)
        return
    columns = (
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield SweepProgress(console, bar, intro, shows_others)


@contextmanager
def status_line() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows a line of text on a terminal, and does nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    console = Console(stderr=True, highlight=False)
    with console.status("") as status:
        yield lambda text: status.update(Text(plain(text)))
