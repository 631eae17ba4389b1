"""This file is the commands on losses: analyze, predict, report."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import Parameter

from mutransfer.cli.app import Json, Output, Switch, app, examples, names
from mutransfer.cli.output import DONE, NO, UNDETERMINED, Answer
from mutransfer.errors import UsageError

if TYPE_CHECKING:
    from mutransfer.analysis import Report
    from mutransfer.workflows import AnalysisOptions


@Parameter(name="*")
@dataclass(frozen=True)
class Reading:
    """How results are to be read.

    Args:
        columns: Other names of your columns, as width=n_embd,lr=2^log2_lr,loss=val_loss.
        scale: The column that grows; width by default.
        hyperparameter: The column that is tuned; lr by default.
        group_by: Columns that separate groups, with commas; parametrization by default.
        window: How near the best, in ln(rate), losses must be to be fitted; 1.1 by default.
    """

    columns: str | None = None
    scale: str | None = None
    hyperparameter: str | None = None
    group_by: str | None = None
    window: float | None = None


READING = Reading()


@app.command(
    help_epilogue=examples(
        "mutransfer analyze runs/demo",
        "mutransfer analyze losses.csv --columns width=n_embd,lr=learning_rate,loss=val_loss",
        "mutransfer analyze --published lingle2024",
    )
)
def analyze(
    results: Path | None = None,
    *,
    reading: Reading = READING,
    published: str | None = None,
    threshold: float | None = None,
    reference: str | None = None,
    fail_on_no: Switch = False,
    json: Json = False,
) -> Answer:
    """Decide, with intervals, whether the best learning rate transfers over widths.

    Args:
        results: A trial store, or a CSV, JSONL or Parquet file with width, lr, loss and, if
            there are, seed and parametrization.
        reading: How they are to be read.
        published: Published numbers instead: lingle2024 or kalra2026.
        threshold: Regret that still counts as transfer, as a share of the best loss; 0.01.
        reference: The group that R(∞) is measured from; the lower envelope by default.
        fail_on_no: Exit with status 1 if a group does not transfer, 3 if one is undetermined.
        json: Print one JSON document and nothing else.
    """
    from mutransfer.literature.text import published_answer
    from mutransfer.report.text.analysis import verdict_text
    from mutransfer.workflows import analyze_path

    if published is not None:
        if fail_on_no:
            raise UsageError(
                "--published has no verdict for --fail-on-no",
                why="a paper's table has one seed per cell, or no losses at all",
                fix="leave one of them out",
            )
        if results is not None:
            raise UsageError(
                f"both '{results}' and --published {published} are given",
                why="one answer is about one set of losses",
                fix="leave one of them out",
            )
        return Answer(*published_answer(published), DONE, json)
    found, report = analyze_path(
        _given(results), _asked(reading), threshold=threshold, reference=reference
    )
    text = verdict_text(report, found.provenance.unfinished)
    return Answer(text, report.to_json(), _status(report) if fail_on_no else DONE, json)


@app.command(
    help_epilogue=examples(
        "mutransfer predict runs/demo --width 1024 --group mup",
        "mutransfer predict losses.csv --width 8192 --plan plan.json",
    )
)
def predict(
    results: Path | None = None,
    *,
    reading: Reading = READING,
    width: float,
    group: str | None = None,
    plan: Path | None = None,
    json: Json = False,
) -> Answer:
    """Predict rate, loss and regret at a width that was not run, with a snippet to copy.

    Args:
        results: As for analyze.
        reading: As for analyze.
        width: The target: a width, or a value of another scale.
        group: One group only, such as a parametrization.
        plan: A plan for that width, from `mutransfer plan -o`: its factors join the snippet.
        json: Print one JSON document and nothing else.
    """
    from mutransfer.report.text.snippet import prediction_answer
    from mutransfer.workflows import predict_path

    found = predict_path(_given(results), width, _asked(reading), group=group)
    return Answer(*prediction_answer(found, plan), DONE, json)


@app.command(
    help_epilogue=examples(
        "mutransfer report runs/demo", "mutransfer report losses.csv -o page.html --figures figures"
    )
)
def report(
    results: Path | None = None,
    *,
    reading: Reading = READING,
    output: Output = None,
    figures: Path | None = None,
    width: float | None = None,
    threshold: float | None = None,
    reference: str | None = None,
    json: Json = False,
) -> Answer:
    """Write one self-contained page: verdicts, curves, laws, prediction, plan, provenance.

    Args:
        results: As for analyze.
        reading: As for analyze.
        output: The page; report.html in the store, or here for a file.
        figures: A folder for the figures as PNG, SVG and PDF too.
        width: Target of the prediction; 16 times the largest that was run by default.
        threshold: As for analyze.
        reference: As for analyze.
        json: Print one JSON document and nothing else.
    """
    from mutransfer.workflows import analyze_path, write_page

    place = _given(results)
    default = place / "report.html" if os.path.isdir(place) else Path("report.html")
    found, answered = analyze_path(place, _asked(reading), threshold=threshold, reference=reference)
    page, drawn = write_page(
        place, output or default, results=found, report=answered, width=width, figures=figures
    )
    text = "\n".join(map(str, [page, *drawn]))
    data = {"schema": 1, "report": str(page), "figures": [str(path) for path in drawn]}
    return Answer(text, data, DONE, json)


def _given(results: Path | None) -> Path:
    """Refuse nothing at all."""
    if results is not None:
        return results
    raise UsageError(
        "no results are given",
        why="rates are compared by the losses that they led to",
        fix="mutransfer analyze losses.csv  (a file with the columns width, lr, loss)",
    )


def _asked(reading: Reading) -> AnalysisOptions:
    """Read the options that several commands share."""
    from mutransfer.workflows import AnalysisOptions

    window = {} if reading.window is None else {"window": reading.window}
    return AnalysisOptions(
        columns=None if reading.columns is None else _pairs(reading.columns),
        scale=reading.scale,
        hyperparameter=reading.hyperparameter,
        group_by=None if reading.group_by is None else names(reading.group_by),
        **window,
    )


def _pairs(text: str) -> dict[str, str]:
    """Read 'width=n_embd,lr=learning_rate'."""
    pairs = [pair.partition("=") for pair in names(text)]
    if wrong := [name for name, equals, theirs in pairs if not (name and equals and theirs)]:
        raise UsageError(
            f"--columns has {wrong[0]!r}, which is no pair",
            why="each of our names is followed by the name in your file",
            fix="--columns width=n_embd,lr=learning_rate,loss=val_loss",
        )
    return {name.strip(): theirs.strip() for name, _, theirs in pairs}


def _status(report: Report) -> int:
    """Choose the exit status of `--fail-on-no`."""
    verdicts = {group.verdict for group in report.values()}
    if "does not transfer" in verdicts:
        return NO
    return UNDETERMINED if "undetermined" in verdicts else DONE
