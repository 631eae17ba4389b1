"""This file is reading results: analysis, prediction, report with plans. No torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mutransfer.analysis import (
    WINDOW,
    Prediction,
    Report,
    Results,
    analyze,
    load_results,
    predict_groups,
)
from mutransfer.errors import StoreError
from mutransfer.report.text.snippet import snippet
from mutransfer.rules import Plan

EXAMPLE_TARGET = 16  # times the largest width: the report's target where none is asked for


@dataclass(frozen=True, slots=True)
class Asked:
    """How results are to be read; None takes the study's own setting, else the usual.

    Args:
        columns: Our name -> the results' own.
        scale: The column that grows.
        hyperparameter: The column that is tuned.
        group_by: The columns that separate groups.
        window: Half-width in ln(rate) of what counts as near the best.
    """

    columns: Mapping[str, str] | None = None
    scale: str | None = None
    hyperparameter: str | None = None
    group_by: Sequence[str] | None = None
    window: float = WINDOW


def analyze_path(
    path: str | Path,
    asked: Asked = Asked(),
    *,
    threshold: float | None = None,
    reference: str | None = None,
) -> tuple[Results, Report]:
    """Load a store or a file and analyze it."""
    results = load_results(path, columns=asked.columns)
    report = analyze(
        results,
        scale=asked.scale,
        hyperparameter=asked.hyperparameter,
        group_by=asked.group_by,
        threshold=threshold,
        reference=reference,
        window=asked.window,
    )
    return results, report


def predict_path(
    path: str | Path,
    width: float,
    asked: Asked = Asked(),
    *,
    group: str | None = None,
) -> list[Prediction]:
    """Load a store or a file and predict for one group, or for every one."""
    results = load_results(path, columns=asked.columns)
    return predict_groups(
        results,
        width=width,
        group=group,
        scale=asked.scale,
        hyperparameter=asked.hyperparameter,
        group_by=asked.group_by,
        window=asked.window,
    )


def stored_plans(path: str | Path) -> list[Plan]:
    """Collect the plan of each parametrization at the largest width of a lab store.

    The trainer leaves its plan in the attempt's folder; other stores have none.
    """
    from mutransfer.sweep import TrialStore  # slow to import, and a file has no plans

    try:
        store = TrialStore(path)
    except StoreError:
        return []
    plans: dict[str, Plan] = {}
    for trial_id in store.ids():
        # An attempt that has no result may have left half a plan.
        for result in sorted(store.folder(trial_id).glob("attempts/*/result.json"))[:1]:
            written = result.parent / "plan.json"
            if written.is_file() and not any(map(os.path.islink, [written, *written.parents[:2]])):
                plan = Plan.from_json(written.read_text(errors="replace"))
                best = plans.setdefault(plan.parametrization, plan)
                if plan.target > best.target:
                    plans[plan.parametrization] = plan
    return [plans[name] for name in sorted(plans)]


def report_path(
    path: str | Path,
    output: str | Path,
    *,
    results: Results,
    report: Report,
    width: float | None = None,
    figures: str | Path | None = None,
    title: str = "",
) -> tuple[Path, list[Path]]:
    """Write the page for a store or a file that was analyzed.

    Args:
        path: The store or the file.
        output: The page.
        results: What was read from it.
        report: What `analyze` answered.
        width: Target of the predictions; 16 times the largest that was run by default.
        figures: A folder for the figures as PNG, SVG and PDF too.
        title: Heading of the page.

    Returns:
        The page, and the figures.
    """
    from mutransfer.report import write_figures, write_report

    study = Path(path) / "study.json"
    predictions = report_predictions(results, report, width)
    page = write_report(
        output,
        results=results,
        report=report,
        plan=stored_plans(path),
        study=study.read_text(errors="replace") if study.is_file() else "",
        title=title,
        predictions=predictions,
        snippets={each.group: snippet(each) for each in predictions},
    )
    drawn = [] if figures is None else write_figures(figures, report, predictions=predictions)
    return page, drawn


def report_predictions(
    results: Results, report: Report, width: float | None = None
) -> list[Prediction]:
    """Predict for every group that has an optimum, as the report was asked."""
    largest = max(curve.width for group in report.values() for curve in group.curves)
    return predict_groups(
        results,
        width=width or EXAMPLE_TARGET * largest,
        scale=report.scale,
        hyperparameter=report.hyperparameter,
        group_by=report.group_by,
        window=report.window,
        draws=report.draws,
        seed=report.seed,
    )
