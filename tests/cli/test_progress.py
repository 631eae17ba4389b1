"""Progress of a sweep: one line per trial in a log file, a bar on a terminal."""

import io
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from mutransfer.cli.progress import SweepProgress, status_line
from mutransfer.records import CallableRunner, TrialResult, TrialSpec
from mutransfer.sweep import Outcome


def outcome(lr: float, status: str = "done", **changes) -> Outcome:
    spec = TrialSpec(runner=CallableRunner(name="f"), axes={"width": 8, "lr": lr, "note": "[red]x"})
    measured = {"loss": 2.5, "seconds": 3.0, "finished": "now"} | changes.pop("measured", {})
    result = TrialResult(id=spec.id, spec=spec, **measured) if status == "done" else None
    return Outcome(spec, status, result, **changes)


def printed_lines(*outcomes: Outcome) -> list[str]:
    text = io.StringIO()
    progress = SweepProgress(Console(file=text, soft_wrap=True), None, "the intro\n")
    progress.on_start([outcome.spec for outcome in outcomes])
    for outcome in outcomes:
        progress.on_outcome(outcome)
    return text.getvalue().splitlines()


def test_each_trial_of_this_run_is_one_line_of_plain_text() -> None:
    diverged = {"loss": None, "diverged_at": 7}
    assert printed_lines(
        outcome(0.25, before=True),
        outcome(0.5),
        outcome(1.0, measured=diverged),
        outcome(2.0, "failed", error="KeyError: 'x'\nmore"),
    ) == [
        "the intro",
        "4 trials",
        "1 already done",
        "[2/4] width=8 lr=2^-1 (0.5) note=[red]x  loss 2.5000, 3.0 s",
        "[3/4] width=8 lr=1 note=[red]x  loss not finite, diverged at step 7, 3.0 s",
        "[4/4] width=8 lr=2 note=[red]x  failed",
        "failed: width=8 lr=2 note=[red]x: KeyError: 'x'",
    ]


def test_a_cause_of_failure_is_printed_once() -> None:
    assert printed_lines(
        outcome(0.5, "failed", error="KeyError: 'x'"),
        outcome(1.0, "failed", error="KeyError: 'x'\nelsewhere"),
        outcome(2.0, "failed", error="exit status 1"),
        outcome(4.0, "failed", error="exit status 2", before=True),
    )[2:] == [
        "[1/4] width=8 lr=2^-1 (0.5) note=[red]x  failed",
        "failed: width=8 lr=2^-1 (0.5) note=[red]x: KeyError: 'x'",
        "[2/4] width=8 lr=1 note=[red]x  failed",
        "[3/4] width=8 lr=2 note=[red]x  failed",
        "failed: width=8 lr=2 note=[red]x: exit status 1",
        "[4/4] width=8 lr=4 note=[red]x  skipped, failed in two earlier runs",
    ]


def test_finished_trials_are_counted_in_one_line() -> None:
    assert printed_lines(outcome(0.5, before=True), outcome(1.0, before=True))[1:] == [
        "2 trials",
        "2 already done",
    ]


def test_the_bar_counts_trials_and_estimates_the_time_left() -> None:
    """Two trials took 3 s each, two are left, and two run at once."""
    console = Console(file=io.StringIO(), force_terminal=True)
    bar = Progress(console=console)
    progress = SweepProgress(console, bar)
    attempt = Path("attempt")
    progress.on_start([outcome(lr).spec for lr in (1, 2, 3, 4, 5)])
    for lr in (1, 2):
        progress.on_outcome(outcome(lr, "running"))
    progress.on_outcome(outcome(1, measured={"diverged_at": 7}, attempt=attempt))
    progress.on_outcome(outcome(2, "failed", error="boom"))
    progress.on_outcome(outcome(3, measured={"loss": 2.25}, attempt=attempt))
    progress.on_outcome(outcome(4, "running"))
    (task,) = bar.tasks
    assert (task.completed, task.total) == (3, 5)
    assert task.description == ("1 running, 1 failed, 1 diverged, 3 s left\nbest loss  8: 2.250")


def test_a_claim_of_another_driver_is_reported_while_waiting_for_it() -> None:
    assert printed_lines(outcome(1.0, "waiting", error="node7, process 12"))[-1] == (
        "width=8 lr=1 note=[red]x is claimed by node7, process 12: waiting for its heartbeat"
    )


def test_a_status_line_is_shown_on_a_terminal_only(monkeypatch) -> None:
    shown = []
    for is_terminal in (False, True):
        stderr = io.StringIO()
        stderr.isatty = lambda is_terminal=is_terminal: is_terminal
        monkeypatch.setattr("sys.stderr", stderr)
        with status_line() as show:
            show("training: [red]width 64")
        shown.append("training: [red]width 64" in stderr.getvalue())
        assert stderr.getvalue() == "" or is_terminal
    assert shown == [False, True]
