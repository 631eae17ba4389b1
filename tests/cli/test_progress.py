"""Progress in a log file: a line per trial of this run, one line for those done before."""

import io

from rich.console import Console

from mutransfer.cli.progress import SweepProgress
from mutransfer.records import CallableRunner, TrialResult, TrialSpec
from mutransfer.sweep import Outcome


def outcome(lr: float, status: str = "done", **changes) -> Outcome:
    spec = TrialSpec(runner=CallableRunner(name="f"), axes={"width": 8, "lr": lr, "note": "[red]x"})
    measured = {"loss": 2.5, "seconds": 3.0, "finished": "now"} | changes.pop("measured", {})
    result = TrialResult(id=spec.id, spec=spec, **measured) if status == "done" else None
    return Outcome(spec, status, result, **changes)


def shown(*outcomes: Outcome) -> list[str]:
    text = io.StringIO()
    progress = SweepProgress(Console(file=text, soft_wrap=True), None, "what for\n")
    progress.on_start([each.spec for each in outcomes])
    for each in outcomes:
        progress.on_outcome(each)
    return text.getvalue().splitlines()


def test_each_trial_of_this_run_is_a_line_and_markup_stays_text() -> None:
    diverged = {"loss": None, "diverged_at": 7}
    assert shown(
        outcome(0.25, before=True),
        outcome(0.5),
        outcome(1.0, measured=diverged),
        outcome(2.0, "failed", error="KeyError: 'x'\nmore"),
    ) == [
        "what for",
        "4 trials",
        "1 done before",
        "[2/4] width=8 lr=0.5 note=[red]x  loss 2.5000, 3.0 s",
        "[3/4] width=8 lr=1 note=[red]x  loss not finite, diverged at step 7, 3.0 s",
        "[4/4] width=8 lr=2 note=[red]x  failed",
        "failed: width=8 lr=2 note=[red]x: KeyError: 'x'",
    ]


def test_a_finished_study_says_so_once() -> None:
    assert shown(outcome(0.5, before=True), outcome(1.0, before=True))[1:] == [
        "2 trials",
        "2 done before",
    ]
