"""The HTML report: a single file that works offline, verdicts first."""

from __future__ import annotations

import contextlib
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mutransfer.analysis.tuning.types import TuningReport
from mutransfer.analysis.types.points import PointPrediction
from mutransfer.analysis.types.report import Report
from mutransfer.analysis.types.scales import ScalesReport
from mutransfer.errors import ResultsError
from mutransfer.report.figures.export import write_figures
from mutransfer.report.figures.numbers.exponents import Check
from mutransfer.report.figures.numbers.loss import all_widths
from mutransfer.report.figures.numbers.sizes import num_steps, size_panels
from mutransfer.report.figures.numbers.stability import DRAWN, training_curves
from mutransfer.report.figures.slice_panels import width_names
from mutransfer.report.files import make_parent, write_file
from mutransfer.report.format import (
    as_sentence,
    escape,
    format_percent,
    hyperparameter_title,
    shorten,
)
from mutransfer.report.page import check as check_page
from mutransfer.report.page import tables
from mutransfer.report.page.cards import headline, verdicts
from mutransfer.report.page.charts import Charts, loss_section, plane_section, trend_section
from mutransfer.report.page.claims import claims_section
from mutransfer.report.page.document import document
from mutransfer.report.page.elements import asset, listed, section, text_box
from mutransfer.report.page.scaling import planes_note, scaling_table
from mutransfer.report.page.sections.hold_out import hold_out_section
from mutransfer.report.page.sections.predictions import prediction_section
from mutransfer.report.page.sections.scales import scales_headline, scales_question, scales_sections
from mutransfer.report.page.stability import stability_section, training_section
from mutransfer.report.page.tuning.cards import tuning_headline
from mutransfer.report.page.tuning.sections import tuning_sections
from mutransfer.rules import Plan

if TYPE_CHECKING:
    from mutransfer.analysis import HoldOut, Prediction
    from mutransfer.analysis.results import Results

LONGEST_NOTE = 300  # characters under the headline; the list of notes has all
UNNAMED = "columns"  # the source of results that were passed in memory
NO_SNIPPETS: Mapping[str, str] = MappingProxyType({})


def write_report(
    path: str | os.PathLike[str],
    *,
    results: Results | None = None,
    report: Report | ScalesReport | TuningReport | None = None,
    plan: Plan | Sequence[Plan] = (),
    study: str = "",
    title: str = "",
    figures: str | os.PathLike[str] | None = None,
    predictions: Sequence[Prediction | PointPrediction] = (),
    snippets: Mapping[str, str] = NO_SNIPPETS,
    hold_outs: Sequence[HoldOut] = (),
    check: Check | None = None,
    claims: Mapping[str, Any] | None = None,
) -> Path:
    """Write results and their analysis, or a coordinate check, as one HTML page that works offline.

    The page contains its data, scripts and style, and a policy that forbids every connection.
    Without scripts it shows still pictures and the same numbers.

    Args:
        path: The file; missing folders are made.
        results: The trials, which the page names as its source; None for a check alone.
        report: The result of `analyze`; computed here if None.
        plan: A plan, or several, to show as well.
        study: The study file, or any other description, shown as it stands.
        title: Heading of the page; by default the question, with the study's name.
        figures: A folder for the figures as PNG, SVG and PDF, or None.
        predictions: The results of `predict`, for cards and figures.
        snippets: Code to copy for a prediction, by group.
        hold_outs: The results of `hold_out`, for the section on the largest size.
        check: The result of `coord_check`, or None.
        claims: A `paper`, and the judgement of each of its `claims`, or None.

    Returns:
        The file.

    Raises:
        ResultsError: There is nothing to show, the results cannot be analyzed, or the file cannot
            be written.

    Example:
        >>> import tempfile
        >>> class Check:
        ...     def to_json(self):
        ...         return dict(outcome="pass", findings=[], diagnoses=[], reasons=[], power={},
        ...                     settings={})
        >>> write_report(tempfile.mkdtemp() + "/page.html", check=Check()).name
        'page.html'
    """
    file = Path(path)
    has_analysis = report is not None or bool(predictions or snippets)
    if results is None and (has_analysis or check is None):
        raise _missing_results(has_analysis=has_analysis)
    make_parent(file)  # fails before the analysis, not after it
    if report is None and results is not None:
        from mutransfer.analysis import analyze

        report = analyze(results)
    text = page(
        results,
        report,
        plans=(plan,) if isinstance(plan, Plan) else tuple(plan),
        study=study,
        title=title,
        predictions=predictions,
        snippets=snippets,
        hold_outs=hold_outs,
        check=check,
        claims=claims,
    )
    # JSON can hold a lone surrogate, which UTF-8 cannot encode.
    write_file(file, text.encode(errors="replace"))
    if figures is not None:
        rates = [p for p in predictions if not isinstance(p, PointPrediction)]
        write_figures(figures, report, rates, check, results)
    return file


def _missing_results(*, has_analysis: bool) -> ResultsError:
    """Return the error for a page without a source of its numbers."""
    return ResultsError(
        "there are no results" if has_analysis else "there is nothing to show",
        why="a page names the source of its numbers",
        fix="results=load_results('losses.csv'), or check= alone for a coordinate check",
    )


def page(
    results: Results | None,
    report: Report | ScalesReport | TuningReport | None,
    *,
    plans: Sequence[Plan] = (),
    study: str = "",
    title: str = "",
    predictions: Sequence[Prediction | PointPrediction] = (),
    snippets: Mapping[str, str] = NO_SNIPPETS,
    hold_outs: Sequence[HoldOut] = (),
    check: Check | None = None,
    claims: Mapping[str, Any] | None = None,
) -> str:
    """Return the whole page as text."""
    charts = Charts()
    sections, headlines, questions = [], [], []
    num_widths, steps = 1, 0
    if isinstance(report, TuningReport) and results is not None:
        points = [p for p in predictions if isinstance(p, PointPrediction)]
        sections += tuning_sections(report, points, snippets, charts)
        headlines.append(tuning_headline(report))
        questions.append(tuning_question(report, study, results.provenance.source))
        num_widths = len(width_names(report))
    elif isinstance(report, ScalesReport) and results is not None:
        sections, num_widths = scales_sections(report, hold_outs, charts)
        headlines.append(scales_headline(report))
        source = results.provenance.source
        questions.append(with_name(scales_question(report), study, source))
    elif isinstance(report, Report) and results is not None:
        rates = [p for p in predictions if not isinstance(p, PointPrediction)]
        verdict, *others = _analysis_sections(report, rates, snippets, hold_outs, charts)
        sections += [verdict, *([claims_section(claims)] if claims else []), *others]
        drawn = training_curves(results, report)
        sections += training_section(report, drawn, charts) + stability_section(report, charts)
        headlines.append(headline(report))
        questions.append(question(report, study, results.provenance.source))
        num_widths = max(len(all_widths(report)), 1)
        steps = len(DRAWN) if drawn else 0
    if check is not None:
        data = check.to_json()
        sections += [section(*parts) for parts in check_page.check_sections(data, charts)]
        headlines.append(check_page.check_headline(data))
        questions.append(check_page.QUESTION)
        steps = max(steps, num_steps(size_panels(data)))
    sections += _source_sections(results, report, plans, study)
    return document(
        title or questions[0],
        " ".join(headlines),
        sections,
        charts,
        note=_first_note(report) if report else "",
        num_widths=num_widths,
        num_steps=steps,
    )


def question(report: Report, study: str = "", source: str = "") -> str:
    """Return the question that the page answers, with the name of the study or of the file.

    Example:
        >>> from mutransfer.analysis import Report
        >>> nothing = Report({}, 0.01, "width", "lr", (), (), "", 1.1, (), 1000, 0)
        >>> question(nothing, study='study = {name = "demo"}')
        'demo: does the best learning rate transfer over width?'
    """
    text = f"oes the best {hyperparameter_title(report)} transfer over {report.scale}?"
    return with_name(f"D{text}", study, source)


def tuning_question(report: TuningReport, study: str, source: str) -> str:
    """Return the question of a page about several hyperparameters."""
    names = listed(report.hyperparameters, 5)
    text = f"What is the best point of {names}, and does it transfer over {report.scale}?"
    return with_name(text, study, source)


def with_name(question: str, study: str, source: str) -> str:
    """Return a question with the name of the study, or of the file, before it."""
    name = shorten(study_name(study) or tables.source_name(source).rpartition("/")[2])
    is_named = name and name != UNNAMED
    return f"{name}: {question[0].lower()}{question[1:]}" if is_named else question


def study_name(text: str) -> str:
    r"""Return the name in a study's TOML or JSON; empty where it has none.

    Example:
        >>> study_name('[study]\nname = "demo"'), study_name('{"name": "demo"}'), study_name("?")
        ('demo', 'demo', '')
    """
    data: object = None
    for parse in (json.loads, tomllib.loads):
        with contextlib.suppress(ValueError, RecursionError):
            data = parse(text)
            break
    if isinstance(data, dict):
        inner = data.get("study", data)
        name = inner.get("name") if isinstance(inner, dict) else None
        return name if isinstance(name, str) else ""
    return ""


def _first_note(report: Report | ScalesReport | TuningReport) -> str:
    """Return the first note about the data, for the place under the headline."""
    if not report.notes:
        return ""
    num = len(report.notes) - 1
    more = f" {num} more below." if num else ""
    text = escape(shorten(as_sentence(report.notes[0]), LONGEST_NOTE))
    return f'<p class="note">About the data: {text}{more}</p>'


def _analysis_sections(
    report: Report,
    predictions: Sequence[Prediction],
    snippets: Mapping[str, str],
    hold_outs: Sequence[HoldOut],
    charts: Charts,
) -> list[str]:
    """Return the sections of an analysis in reading order."""
    scale, tuned = escape(report.scale), escape(hyperparameter_title(report))
    threshold = format_percent(report.threshold)
    criterion = (
        f"A group <b>transfers</b> if its regret is at most {threshold} of the loss with 95 %"
        " confidence, <b>does not</b> if it is larger with the same confidence, and is"
        " <b>undetermined</b> otherwise."
    )
    losses = (
        f"Each line is one {scale}. If the {tuned} transfers, the diamonds stand above each"
        " other, on the dashed line."
    )
    trends = (
        "A level line on the left means that the best rate stays. On the right, the lower line"
        " is the better model, each at its own best rate."
    )
    regrets = (
        f"The share of the loss that the best rate of one {scale} (row) costs at a larger one"
        f" (column), and below it the 95 % bound: ✓ at most {threshold}, ✗ more, ? undetermined."
    )
    ahead = (
        "These are extrapolations of fitted laws. Check the rate with one run before a large one."
    )
    sections = [section("Verdict", criterion, verdicts(report))]
    if predictions:
        cards = prediction_section(report, predictions, snippets)
        sections.append(section("What to use at the target", ahead, cards))
    sections += hold_out_section(report, hold_outs)
    chart = loss_section(report, charts) + asset("key.html")
    sections.append(section(f"Loss against {tuned}", losses, chart))
    title = f"The best rate, and the loss there, against {scale}"
    chart = trend_section(report, charts, predictions) + asset("key_width.html")
    sections.append(section(title, trends, chart))
    if matrices := tables.regret_matrices(report):
        sections.append(section("Regret from every proxy to every target", regrets, matrices))
    body = f'<h3 class="apart">Scaling in numbers</h3>{scaling_table(report)}'
    scaling = plane_section(report, charts) + body
    return [*sections, section("Scaling", planes_note(report), scaling)]


def _source_sections(
    results: Results | None,
    report: Report | ScalesReport | TuningReport | None,
    plans: Sequence[Plan],
    study: str,
) -> list[str]:
    """Return the sections with everything that the answers rest on."""
    sections = []
    if isinstance(report, Report):
        if compared := tables.comparisons(report):
            sections.append(section("Which is better at its own best rate", "", compared))
        sections.append(section("Optima in numbers", "", tables.optima(report)))
    if plans:
        note = "The factors of each kind of parameter; layers with equal factors share a row."
        sections.append(section("Plan", note, tables.plan_tables(plans)))
    if study:
        sections.append(section("The study", "", text_box(study, "study")))
    if results is not None and report is not None:
        origin = tables.provenance(results.provenance, report)
        sections.append(section("Where these numbers are from", "", origin))
        if isinstance(report, Report):
            sections.append(section("How to read this page", "", asset("glossary.html")))
    return sections
