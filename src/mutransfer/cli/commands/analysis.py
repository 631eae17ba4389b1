"""`mutransfer analyze`, `predict` and `report`: commands that read the losses of a sweep."""

from __future__ import annotations

import os
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import Parameter

from mutransfer.cli.app import LOSSES, Output, Switch, app, examples, split_list
from mutransfer.cli.exit_status import NEGATIVE, SUCCESS, UNDETERMINED
from mutransfer.cli.output import CommandResult, check_outputs, check_page
from mutransfer.errors import UsageError

if TYPE_CHECKING:
    from mutransfer.workflows import AnalysisOptions


@Parameter(name="*")
@dataclass(frozen=True)
class ReadOptions:
    """How results are read.

    Args:
        columns: Names of your columns, such as width=n_embd,lr=2^log2_lr,loss=val_loss.
        scale: The column that grows, width by default; or several, such as params,tokens,batch.
        hyperparameter: The column that is tuned, lr by default; or several that were sampled
            together, such as lr,init_std.
        group_by: Comma-separated columns that define the groups; parametrization by default.
        window: Distance from the best rate, in ln(rate), within which losses are fitted; 1.1 by
            default.
    """

    columns: str | None = None
    scale: str | None = None
    hyperparameter: str | None = None
    group_by: str | None = None
    window: float | None = None


DEFAULT_OPTIONS = ReadOptions()


@app.command(
    group=LOSSES,
    help_epilogue=examples(
        "mutransfer analyze runs/demo",
        "mutransfer analyze losses.csv --columns width=n_embd,lr=learning_rate,loss=val_loss",
        "mutransfer analyze losses.csv --hyperparameter lr,init_std,weight_decay",
        "mutransfer analyze losses.csv --scale params,tokens,batch",
        "mutransfer analyze --published lingle2024",
    ),
)
def analyze(
    results: Path | None = None,
    *,
    options: ReadOptions = DEFAULT_OPTIONS,
    published: str | None = None,
    threshold: float | None = None,
    reference: str | None = None,
    fail_on_no: Switch = False,
    json: Switch = False,
) -> CommandResult:
    """Decide, with confidence intervals, whether the best learning rate transfers across widths.

    Args:
        results: A trial store, or a CSV, JSONL or Parquet file with the columns width, lr, loss
            and optionally seed and parametrization.
        options: How results are read.
        published: Analyze published numbers instead: lingle2024 or kalra2026.
        threshold: Largest regret that counts as transfer, as a fraction of the best loss; 0.01 by
            default.
        reference: The group whose irreducible loss R(∞) is measured from; the lowest of all groups
            by default.
        fail_on_no: Exit with status 1 if a group does not transfer, 3 if one is undetermined.
        json: Print one JSON document and nothing else.
    """
    from mutransfer.analysis import ScalesReport
    from mutransfer.literature.text import published_report
    from mutransfer.report.text.scales import scales_text
    from mutransfer.report.text.tuning import analysis_text
    from mutransfer.workflows import analyze_path

    if published is not None:
        if fail_on_no:
            raise UsageError(
                "--published has no verdict for --fail-on-no",
                why="a published table has one seed and few rates, or no losses at all",
                fix="leave one of them out",
            )
        if results is not None:
            raise UsageError(
                f"both '{results}' and --published {published} are given",
                why="an analysis is about one set of losses",
                fix="leave one of them out",
            )
        return CommandResult(*published_report(published), SUCCESS, json)
    losses, report = analyze_path(
        _required(results), _parse_options(options), threshold=threshold, reference=reference
    )
    unfinished = losses.provenance.unfinished
    if isinstance(report, ScalesReport):
        text = scales_text(report, unfinished)
        verdicts = {scale.verdict for group in report.values() for scale in group.verdicts}
    else:
        text = analysis_text(report, unfinished)
        verdicts = {group.verdict for group in report.values()}
    return CommandResult(text, report.to_json(), _status(verdicts) if fail_on_no else SUCCESS, json)


@app.command(
    group=LOSSES,
    help_epilogue=examples(
        "mutransfer predict runs/demo --width 1024 --group mup",
        "mutransfer predict losses.csv --width 8192 --plan plan.json",
        "mutransfer predict losses.csv --at params=7e9,tokens=1.4e11,batch=512",
        "mutransfer predict losses.csv --hold-out",
    ),
)
def predict(
    results: Path | None = None,
    *,
    options: ReadOptions = DEFAULT_OPTIONS,
    width: float | None = None,
    at: str | None = None,
    group: str | None = None,
    plan: Path | None = None,
    hold_out: Switch = False,
    compare: Switch = False,
    json: Switch = False,
) -> CommandResult:
    """Predict the best rate, its loss and its regret at a larger width, with code to copy.

    Args:
        results: A trial store or a file, as for `mutransfer analyze`.
        options: How results are read.
        width: Width to predict at, or value of another scale.
        at: Values of several scales to predict at: SCALE=VALUE,...; with --compare also sizes
            that published laws need.
        group: Predict for one group only, such as a parametrization.
        plan: A plan for that width, from `mutransfer plan -o`, whose factors join the code.
        hold_out: Leave out the largest size, predict it from the others, and compare.
        compare: Show the rates of published laws for this target too.
        json: Print one JSON document and nothing else.
    """
    from mutransfer.report.text.hold_out import hold_out_answer
    from mutransfer.report.text.snippet import prediction_answer
    from mutransfer.workflows import compare_published_laws, hold_out_path, predict_path

    target = {} if at is None else _parse_target(at)
    path, parsed = _required(results), _parse_options(options)
    has_target = width is not None or bool(target)
    if not has_target and (plan is not None or compare or not hold_out):
        raise UsageError(
            "no target is given",
            why="a prediction extrapolates to one size that was not run",
            fix="--width 8192, or --hold-out alone for a check on the runs that there are",
        )
    answers = []
    if has_target:
        losses, predictions = predict_path(
            path, width, parsed, at=target, group=group, compare=compare
        )
        answers.append(prediction_answer(predictions, plan, losses.provenance.unfinished))
        if compare:
            target = {**predictions[0].at, **target}
            text, rows = compare_published_laws(losses, predictions, target, parsed)
            answers.append((text, {"published_laws": rows}))
    if hold_out:
        losses, checks = hold_out_path(path, parsed, group=group)
        unfinished = 0 if answers else losses.provenance.unfinished
        answers.append(hold_out_answer(checks, () if answers else losses.notes, unfinished))
    text = "\n\n".join(text for text, _ in answers)
    data = {key: value for _, part in reversed(answers) for key, value in part.items()}
    return CommandResult(text, data, SUCCESS, json)


@app.command(
    group=LOSSES,
    help_epilogue=examples(
        "mutransfer report runs/demo", "mutransfer report losses.csv -o page.html --figures figures"
    ),
)
def report(
    results: Path | None = None,
    *,
    options: ReadOptions = DEFAULT_OPTIONS,
    output: Output = None,
    figures: Path | None = None,
    width: float | None = None,
    threshold: float | None = None,
    reference: str | None = None,
    json: Switch = False,
) -> CommandResult:
    """Write a self-contained HTML page: verdicts, curves, scaling laws, predictions, plans.

    Args:
        results: A trial store or a file, as for `mutransfer analyze`.
        options: How results are read.
        output: File to write; report.html in the store, or in the current folder for a file.
        figures: Folder to write the figures to, as PNG, SVG and PDF.
        width: Width of the predictions; 16 times the largest that was run by default.
        threshold: As for `mutransfer analyze`.
        reference: As for `mutransfer analyze`.
        json: Print one JSON document and nothing else.
    """
    from mutransfer.workflows import analyze_path, write_page

    path = _required(results)
    check_outputs(output=output, figures=figures)
    check_page("output", output)
    default = path / "report.html" if os.path.isdir(path) else Path("report.html")
    losses, analysis = analyze_path(
        path, _parse_options(options), threshold=threshold, reference=reference
    )
    page, drawn = write_page(
        path, output or default, results=losses, report=analysis, width=width, figures=figures
    )
    text = "\n".join(map(str, [page, *drawn]))
    data = {"schema": 1, "report": str(page), "figures": [str(figure) for figure in drawn]}
    return CommandResult(text, data, SUCCESS, json)


def _required(results: Path | None) -> Path:
    """Raise if no results are given."""
    if results is not None:
        return results
    raise UsageError(
        "no results are given",
        why="learning rates are compared by the losses they reach",
        fix="mutransfer analyze losses.csv  (a file with the columns width, lr, loss)",
    )


def _parse_options(options: ReadOptions) -> AnalysisOptions:
    """Parse the options that the commands share."""
    from mutransfer.workflows import AnalysisOptions

    window = {} if options.window is None else {"window": options.window}
    return AnalysisOptions(
        columns=None if options.columns is None else _parse_columns(options.columns),
        scale=_one_or_several(options.scale),
        hyperparameter=_one_or_several(options.hyperparameter),
        group_by=None if options.group_by is None else split_list(options.group_by),
        **window,
    )


def _one_or_several(text: str | None) -> str | tuple[str, ...] | None:
    """Parse 'lr', or 'lr,init_std'."""
    names = () if text is None else split_list(text)
    return names[0] if len(names) == 1 else names or None


def _parse_columns(text: str) -> dict[str, str]:
    """Parse 'width=n_embd,lr=learning_rate'."""
    pairs = [pair.partition("=") for pair in split_list(text)]
    if wrong := [name for name, equals, column in pairs if not (name and equals and column)]:
        raise UsageError(
            f"--columns has {wrong[0]!r}, which is not of the form NAME=COLUMN",
            why="each standard name is mapped to the name of a column in your file",
            fix="--columns width=n_embd,lr=learning_rate,loss=val_loss",
        )
    return {name.strip(): column.strip() for name, _, column in pairs}


def _parse_target(text: str) -> dict[str, float]:
    """Parse 'params=7e9,tokens=1.4e11'."""
    pairs = [pair.partition("=") for pair in split_list(text)]
    target: dict[str, float] = {}
    for name, _, value in pairs:
        if name.strip() in target:
            raise UsageError(
                f"--at names {name.strip()!r} twice",
                why="a prediction is for one value of every scale",
                fix="leave one of the two out",
            )
        try:
            target[name.strip()] = float(value)
        except ValueError:
            raise UsageError(
                f"--at has {f'{name}={value}' if value else name!r}, which is not SCALE=NUMBER",
                why="a prediction is for one value of every scale",
                fix="--at params=7e9,tokens=1.4e11,batch=512",
            ) from None
    return target


def _status(verdicts: Set[str]) -> int:
    """Return the exit status of `--fail-on-no`."""
    if "does not transfer" in verdicts:
        return NEGATIVE
    return UNDETERMINED if "undetermined" in verdicts else SUCCESS
