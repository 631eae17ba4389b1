"""Analysis, prediction and report of a trial store or a results file, without torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mutransfer.analysis import (
    WINDOW,
    HoldOut,
    PointPrediction,
    Prediction,
    Report,
    Results,
    ScalesReport,
    TuningReport,
    analyze,
    hold_out,
    load_results,
    predict_groups,
)
from mutransfer.analysis.analyze import (
    check_one_scale,
    hyperparameter_names,
    single_hyperparameter,
)
from mutransfer.errors import ResultsError, StoreError, listed
from mutransfer.report.text.snippet import snippet
from mutransfer.rules import Plan

# The default target of a report's predictions is this many times the largest width [assumed].
EXAMPLE_TARGET = 16
# A page shows a held-out check only where this many sizes predict the largest one.
MIN_KEPT = 3
# With several scales, every combination with a largest size is predicted, in about a second.
MOST_HELD_OUT = 12


@dataclass(frozen=True, slots=True)
class AnalysisOptions:
    """How to read results. None means the setting of the study, or else the default.

    Args:
        columns: Our column name -> the name in the results.
        scale: The column that grows, or several of them.
        hyperparameter: The column that is tuned, or several that are tuned together.
        group_by: The columns that separate groups.
        window: Half-width in ln(rate) of the fit around the optimum.
    """

    columns: Mapping[str, str] | None = None
    scale: str | tuple[str, ...] | None = None
    hyperparameter: str | tuple[str, ...] | None = None
    group_by: Sequence[str] | None = None
    window: float = WINDOW


def analyze_path(
    path: str | Path,
    options: AnalysisOptions = AnalysisOptions(),
    *,
    threshold: float | None = None,
    reference: str | None = None,
) -> tuple[Results, Report | ScalesReport | TuningReport]:
    """Load a store or a file, and analyze it; several scales have a report of their own.

    Raises:
        ResultsError: The results cannot be read or analyzed, or an option has no effect.
    """
    results = load_results(path, columns=options.columns)
    names = hyperparameter_names(results, options.hyperparameter)
    scale = options.scale or results.defaults.scale
    if len(names) > 1:
        check_region_options(options, reference)
        return results, analyze(
            results,
            scale=check_one_scale((scale,) if isinstance(scale, str) else scale, names),
            hyperparameter=names,
            group_by=options.group_by,
            threshold=threshold,
        )
    if isinstance(scale, tuple):
        check_no_reference(reference)
        return results, analyze(
            results,
            scale=scale,
            hyperparameter=names[0],
            group_by=options.group_by,
            threshold=threshold,
            window=options.window,
        )
    report = analyze(
        results,
        scale=scale,
        hyperparameter=names[0],
        group_by=options.group_by,
        threshold=threshold,
        reference=reference,
        window=options.window,
    )
    return results, report


def check_region_options(options: AnalysisOptions, reference: str | None = None) -> None:
    """Raise for options that an analysis of several hyperparameters does not have."""
    options_set = {"--window": options.window != WINDOW, "--reference": reference is not None}
    if unused := [name for name, is_set in options_set.items() if is_set]:
        raise ResultsError(
            f"{listed(unused)} has no effect on several hyperparameters",
            why="the region of a fit is chosen by the data, and R(∞) has no reference",
            fix=f"leave out {listed(unused)}",
        )


def check_no_reference(reference: str | None) -> None:
    """Raise if a reference is given, which an analysis over several scales does not use."""
    if reference is not None:
        raise ResultsError(
            f"the reference {reference!r} has no use with several scales",
            why="R(∞) is a limit along one scale",
            fix="leave out --reference (in Python: reference), or name one scale",
        )


def predict_path(
    path: str | Path,
    width: float | None,
    options: AnalysisOptions = AnalysisOptions(),
    *,
    at: Mapping[str, float] | None = None,
    group: str | None = None,
    compare: bool = False,
) -> tuple[Results, Sequence[Prediction | PointPrediction]]:
    """Load a store or a file, and predict for one group or for all of them.

    Without `options.scale` the scales are that of `width` and those that `at` names. To `compare`
    with published laws, `at` may name sizes too that are no column.
    """
    results = load_results(path, columns=options.columns)
    if at and compare:
        at = {name: size for name, size in at.items() if name in results.axes}
    scale = options.scale
    if scale is None and at:
        first = () if width is None else results.defaults.scales[:1]
        scale = tuple(dict.fromkeys((*first, *at)))
    names = hyperparameter_names(results, options.hyperparameter)
    if len(names) > 1:
        check_region_options(options)
        if compare:
            single_hyperparameter(results, names)  # raises: published laws are of the rate alone
    predictions = predict_groups(
        results,
        width=width,
        at=at,
        group=group,
        scale=scale,
        hyperparameter=names,
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
        hyperparameter=single_hyperparameter(results, options.hyperparameter),
        group_by=options.group_by,
        window=options.window,
    )
    return results, checks


def compare_published_laws(
    results: Results,
    predictions: Sequence[Prediction | PointPrediction],
    target: Mapping[str, float],
    options: AnalysisOptions = AnalysisOptions(),
) -> tuple[str, list[dict[str, Any]]]:
    """Compare predictions with published laws of the rate, as text and as data for JSON.

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
        scale=tuple(predictions[0].at),
        hyperparameter=single_hyperparameter(results, options.hyperparameter),
        group_by=options.group_by,
        window=options.window,
    )
    sizes = {**common_sizes(results), **named_sizes(target)}
    texts, rows = [], []
    for prediction in predictions:
        if isinstance(prediction, PointPrediction):
            continue  # `predict_path` refuses to compare the point of several
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
    report: Report | ScalesReport | TuningReport,
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

    study = Path(path) / "study.json"
    text = study.read_text(errors="replace") if study.is_file() else ""
    plans = stored_plans(path)
    if isinstance(report, TuningReport):
        run = max(size.width for group in report.values() for size in group.widths)
        points = predict_groups(
            results,
            width=width or EXAMPLE_TARGET * run,
            scale=report.scale,
            hyperparameter=report.hyperparameters,
            group_by=report.group_by,
            draws=report.draws,
            seed=report.seed,
        )
        page = write_report(
            output,
            results=results,
            report=report,
            plan=plans,
            study=text,
            title=title,
            predictions=points,
            snippets={point.group: snippet(point) for point in points},
        )
        return page, [] if figures is None else write_figures(figures, report)
    if isinstance(report, ScalesReport):
        _check_no_width(width)
        checks: list[HoldOut] = []
        if (num := _num_held_out(report)) <= MOST_HELD_OUT:
            checks = _page_checks(results, report)
        else:
            note = (
                f"the page does not predict the largest sizes from the others, {num} cells: "
                f"mutransfer predict FILE --scale {','.join(report.scales)} --hold-out"
            )
            report = replace(report, notes=(*report.notes, note))
        page = write_report(
            output,
            results=results,
            report=report,
            plan=plans,
            study=text,
            title=title,
            hold_outs=checks,
        )
        return page, [] if figures is None else write_figures(figures, report)
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
    page = write_report(
        output,
        results=results,
        report=report,
        plan=plans,
        study=text,
        title=title,
        predictions=predictions,
        snippets={prediction.group: snippet(prediction) for prediction in predictions},
        hold_outs=_page_checks(results, report),
        claims=judge_store(path) if study.is_file() else None,
    )
    if figures is None:
        return page, []
    return page, write_figures(figures, report, predictions=predictions)


def _page_checks(results: Results, report: Report | ScalesReport) -> list[HoldOut]:
    """Return the held-out checks that a page shows."""
    checks = hold_out(
        results,
        scale=report.scales if isinstance(report, ScalesReport) else report.scale,
        hyperparameter=report.hyperparameter,
        group_by=report.group_by,
        window=report.window,
        draws=report.draws,
        seed=report.seed,
    )
    return [check for check in checks if len(check.kept) >= MIN_KEPT]


def _num_held_out(report: ScalesReport) -> int:
    """Return how many cells with an optimum have the largest size of a scale, for every scale."""
    num = 0
    for group in report.values():
        cells = [cell.sizes for cell in group.cells if cell.log2_lr.value is not None]
        for scale in report.scales:
            sizes = [cell[scale] for cell in cells]
            num += sizes.count(max(sizes, default=0.0))
    return num


def _check_no_width(width: float | None) -> None:
    """Raise if a page over several scales has a target."""
    if width is not None:
        raise ResultsError(
            f"the width {width:g} is no target where there are several scales",
            why="such a page has no predictions",
            fix="leave out --width: mutransfer predict FILE --at params=7e9,tokens=1.4e11",
        )
