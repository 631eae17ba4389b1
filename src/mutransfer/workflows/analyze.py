"""Analysis, prediction and report of a trial store or a results file, without torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutransfer.analysis import (
    WINDOW,
    HoldOut,
    Prediction,
    Report,
    Results,
    analyze,
    hold_out,
    load_results,
    predict_groups,
)
from mutransfer.errors import StoreError
from mutransfer.report.text.snippet import snippet
from mutransfer.rules import Plan

# The default target of a report's predictions is this many times the largest width [assumed].
EXAMPLE_TARGET = 16
# A page shows a held-out check only where this many sizes predict the largest one.
MIN_KEPT = 3


@dataclass(frozen=True, slots=True)
class AnalysisOptions:
    """How to read results. None means the setting of the study, or else the default.

    Args:
        columns: Our column name -> the name in the results.
        scale: The column that grows.
        hyperparameter: The column that is tuned.
        group_by: The columns that separate groups.
        window: Half-width in ln(rate) of the fit around the optimum.
    """

    columns: Mapping[str, str] | None = None
    scale: str | None = None
    hyperparameter: str | None = None
    group_by: Sequence[str] | None = None
    window: float = WINDOW


def analyze_path(
    path: str | Path,
    options: AnalysisOptions = AnalysisOptions(),
    *,
    threshold: float | None = None,
    reference: str | None = None,
) -> tuple[Results, Report]:
    """Load a store or a file, and analyze it."""
    results = load_results(path, columns=options.columns)
    report = analyze(
        results,
        scale=options.scale,
        hyperparameter=options.hyperparameter,
        group_by=options.group_by,
        threshold=threshold,
        reference=reference,
        window=options.window,
    )
    return results, report


def predict_path(
    path: str | Path,
    width: float,
    options: AnalysisOptions = AnalysisOptions(),
    *,
    group: str | None = None,
) -> tuple[Results, list[Prediction]]:
    """Load a store or a file, and predict for one group or for all of them."""
    results = load_results(path, columns=options.columns)
    predictions = predict_groups(
        results,
        width=width,
        group=group,
        scale=options.scale,
        hyperparameter=options.hyperparameter,
        group_by=options.group_by,
        window=options.window,
    )
    return results, predictions


def hold_out_path(
    path: str | Path,
    options: AnalysisOptions = AnalysisOptions(),
    *,
    group: str | None = None,
) -> tuple[Results, list[HoldOut]]:
    """Load a store or a file, and predict its largest sizes from the others."""
    results = load_results(path, columns=options.columns)
    checks = hold_out(
        results,
        group=group,
        scale=options.scale,
        hyperparameter=options.hyperparameter,
        group_by=options.group_by,
        window=options.window,
    )
    return results, checks


def published_laws_beside(
    results: Results,
    predictions: Sequence[Prediction],
    target: Mapping[str, float],
    options: AnalysisOptions = AnalysisOptions(),
) -> tuple[str, list[dict[str, Any]]]:
    """Return published laws of the rate beside predictions, as text and as data for JSON.

    Args:
        results: The results that the predictions are from.
        predictions: The predictions.
        target: The target's sizes, of the scales and any others that laws depend on. Sizes that
            are the same in all runs need not be named.
        options: How the results were read.
    """
    from mutransfer.literature.laws import common_sizes, compare_laws, named_sizes, sweep_anchors
    from mutransfer.literature.laws.text import laws_data, laws_text

    anchors = sweep_anchors(
        results,
        target,
        scale=options.scale,
        hyperparameter=options.hyperparameter,
        group_by=options.group_by,
        window=options.window,
    )
    sizes = {**common_sizes(results), **named_sizes(target)}
    texts, rows = [], []
    for prediction in predictions:
        laws = compare_laws(sizes, anchors[prediction.group])
        texts.append(laws_text(laws, sizes, prediction.log2_lr, prediction.group))
        rows += laws_data(laws, prediction.group)
    return "\n\n".join(texts), rows


def stored_plans(path: str | Path) -> list[Plan]:
    """Return the plan of each parametrization at the largest width of a lab store.

    The trainer saves its plan in the attempt's folder; other stores have no plans.
    """
    from mutransfer.sweep import TrialStore  # slow to import, and a file has no plans

    try:
        store = TrialStore(path)
    except StoreError:
        return []
    plans: dict[str, Plan] = {}
    for trial_id in store.ids():
        # An attempt without a result may have left an incomplete plan.
        for result in sorted(store.folder(trial_id).glob("attempts/*/result.json"))[:1]:
            file = result.parent / "plan.json"
            # A store is data from elsewhere: a link could point to any file.
            if file.is_file() and not any(map(os.path.islink, [file, *file.parents[:2]])):
                plan = Plan.from_json(file.read_text(errors="replace"))
                largest = plans.setdefault(plan.parametrization, plan)
                if plan.target > largest.target:
                    plans[plan.parametrization] = plan
    return [plans[name] for name in sorted(plans)]


def write_page(
    path: str | Path,
    output: str | Path,
    *,
    results: Results,
    report: Report,
    width: float | None = None,
    figures: str | Path | None = None,
    title: str = "",
) -> tuple[Path, list[Path]]:
    """Write the report page of a store or a file.

    Args:
        path: The store or the file.
        output: The page.
        results: The results loaded from `path`.
        report: Their analysis.
        width: Target of the predictions; 16 times the largest width by default.
        figures: A folder for the figures as PNG, SVG and PDF too.
        title: Heading of the page.

    Returns:
        The path of the page, and those of the figures.
    """
    from mutransfer.report import write_figures, write_report
    from mutransfer.workflows.comparison.claims import judge_store

    largest = max(curve.width for group in report.values() for curve in group.curves)
    predictions = predict_groups(
        results,
        width=width or EXAMPLE_TARGET * largest,
        scale=report.scale,
        hyperparameter=report.hyperparameter,
        group_by=report.group_by,
        window=report.window,
        draws=report.draws,
        seed=report.seed,
    )
    checks = hold_out(
        results,
        scale=report.scale,
        hyperparameter=report.hyperparameter,
        group_by=report.group_by,
        window=report.window,
        draws=report.draws,
        seed=report.seed,
    )
    study = Path(path) / "study.json"
    page = write_report(
        output,
        results=results,
        report=report,
        plan=stored_plans(path),
        study=study.read_text(errors="replace") if study.is_file() else "",
        title=title,
        predictions=predictions,
        snippets={prediction.group: snippet(prediction) for prediction in predictions},
        hold_outs=[check for check in checks if len(check.kept) >= MIN_KEPT],
        claims=judge_store(path) if study.is_file() else None,
    )
    if figures is None:
        return page, []
    return page, write_figures(figures, report, predictions=predictions)
