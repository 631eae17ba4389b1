"""This file is the page: one HTML file that needs nothing else, verdicts first."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import TYPE_CHECKING

from mutransfer import __version__
from mutransfer.errors import ResultsError
from mutransfer.report.figures.export import write_figures
from mutransfer.report.figures.numbers.check import Check
from mutransfer.report.figures.numbers.check_sizes import num_steps, size_panels
from mutransfer.report.figures.numbers.loss import widths_of
from mutransfer.report.figures.numbers.regret_matrix import matrices
from mutransfer.report.files import make_parent, write_file
from mutransfer.report.format import escaped, sentence, share_text, shortened, tuned_title
from mutransfer.report.page import tables
from mutransfer.report.page.cards import headline, verdicts
from mutransfer.report.page.charts import Charts, loss_section, plane_section, trend_section
from mutransfer.report.page.check import CHECK_QUESTION, check_headline, check_sections
from mutransfer.report.page.predictions import prediction_section
from mutransfer.report.page.scaling import planes_note, scaling_table
from mutransfer.report.theme import css_variables
from mutransfer.rules import Plan

if TYPE_CHECKING:
    from mutransfer.analysis import Prediction, Report
    from mutransfer.analysis.results import Results

EXPORT = "window.vegaEmbed = vegaEmbed;"  # what the page's script needs of the bundle
UNNAMED = "columns"  # the source of results that were handed over in memory
NOTHING: Mapping[str, str] = MappingProxyType({})


def write_report(
    path: str | os.PathLike[str],
    *,
    results: Results | None = None,
    report: Report | None = None,
    plan: Plan | Sequence[Plan] = (),
    study: str = "",
    title: str = "",
    figures: str | os.PathLike[str] | None = None,
    predictions: Sequence[Prediction] = (),
    snippets: Mapping[str, str] = NOTHING,
    check: Check | None = None,
) -> Path:
    """Write results and their analysis, or a coordinate check, as one HTML page that works offline.

    The page holds its data, its scripts and its style; a policy in it forbids every
    connection. Without scripts it shows still pictures and the same numbers.

    Args:
        path: The file; missing folders are made.
        results: The trials, for where the numbers are from; None for a page of a check alone.
        report: What `analyze` answered; made here if None.
        plan: A plan, or several, to show beside the results.
        study: What was asked, as text such as a study file; shown as it is.
        title: Heading of the page; by default the question, with the study's name.
        figures: A folder for the figures as PNG, SVG and PDF too, or None.
        predictions: What `predict` answered, for cards and for the figures.
        snippets: What to type for a prediction, by its group; shown as it is, to be copied.
        check: What `coord_check` answered, or None.

    Returns:
        The file.

    Raises:
        ResultsError: Where there is nothing to show, the results cannot be analyzed, or the file
            cannot be written.

    Example:
        >>> import tempfile
        >>> class Check:
        ...     def to_json(self):
        ...         return dict(outcome="pass", findings=[], diagnoses=[], reasons=[], power={},
        ...                     settings={})
        >>> write_report(tempfile.mkdtemp() + "/page.html", check=Check()).name
        'page.html'
    """
    place = Path(path)
    _refuse_nothing(results, check, analysis=report is not None or bool(predictions or snippets))
    make_parent(place)  # refuse before the work, not after
    if report is None and results is not None:
        from mutransfer.analysis import analyze

        report = analyze(results)
    plans = (plan,) if isinstance(plan, Plan) else tuple(plan)
    text = page(
        results,
        report,
        plans=plans,
        study=study,
        title=title,
        predictions=predictions,
        snippets=snippets,
        check=check,
    )
    # JSON can name what UTF-8 cannot write: half of a pair of surrogates.
    written = write_file(place, text.encode(errors="replace"))
    if figures is not None:
        write_figures(figures, report, predictions, check)
    return written


def _refuse_nothing(results: Results | None, check: Check | None, *, analysis: bool) -> None:
    """Refuse a page of nothing, and an analysis without what it was made of."""
    if results is None and (analysis or check is None):
        raise ResultsError(
            "there are no results" if analysis else "there is nothing to show",
            why="a page says where its numbers are from",
            fix="results=load_results('losses.csv'), or check= alone for a coordinate check",
        )


def page(
    results: Results | None,
    report: Report | None,
    *,
    plans: Sequence[Plan] = (),
    study: str = "",
    title: str = "",
    predictions: Sequence[Prediction] = (),
    snippets: Mapping[str, str] = NOTHING,
    check: Check | None = None,
) -> str:
    """Write the whole page as text."""
    charts = Charts()
    parts, told, asked = [], [], []
    if results is not None and report is not None:
        predicted = prediction_section(report, predictions, snippets) if predictions else ""
        parts += _answers(report, predicted, charts, predictions)
        told.append(headline(report))
        asked.append(question(report, study, results.provenance.source))
    if check is not None:
        parts += [_section(*part) for part in check_sections(check.to_json(), charts)]
        told.append(check_headline(check.to_json()))
        asked.append(CHECK_QUESTION)
    parts += _facts(results, report, plans, study)
    bundle, script = _bundle(), _asset("page.js")
    num_widths = len(widths_of(report)) if report else 1
    steps = num_steps(size_panels(check.to_json())) if check else 0
    style = css_variables(max(num_widths, 1), steps) + _asset("page.css")
    return Template(_asset("page.html")).substitute(
        policy=policy(bundle, script),
        title=escaped(title or asked[0]),
        style=style,
        headline=" ".join(told),
        changed=_changed(report) if report else "",
        body="\n".join(parts),
        version=__version__,
        charts=charts.scripts(),
        bundle=bundle,
        script=script,
    )


def question(report: Report, study: str = "", source: str = "") -> str:
    """Ask what the page answers, with the name of the study or of the file.

    Example:
        >>> from mutransfer.analysis import Report
        >>> nothing = Report({}, 0.01, "width", "lr", (), (), "", 1.1, (), 1000, 0)
        >>> question(nothing, study='study = {name = "demo"}')
        'demo: does the best learning rate transfer over width?'
    """
    asked = f"oes the best {tuned_title(report)} transfer over {report.scale}?"
    name = shortened(study_name(study) or tables.source_name(source).rpartition("/")[2])
    return f"{name}: d{asked}" if name and name != UNNAMED else f"D{asked}"


def study_name(text: str) -> str:
    r"""Read the name out of a study's TOML or JSON; empty where it has none.

    Example:
        >>> study_name('[study]\nname = "demo"'), study_name('{"name": "demo"}'), study_name("?")
        ('demo', 'demo', '')
    """
    data: object = None
    for read in (json.loads, tomllib.loads):
        with contextlib.suppress(ValueError, RecursionError):
            data = read(text)
            break
    if isinstance(data, dict):
        inner = data.get("study", data)
        name = inner.get("name") if isinstance(inner, dict) else None
        return name if isinstance(name, str) else ""
    return ""


def _changed(report: Report) -> str:
    """Say under the headline that something was left out, as HTML."""
    if not report.notes:
        return ""
    more = len(report.notes) - 1
    told = f" {more} more below." if more else ""
    return f'<p class="note">About the data: {escaped(sentence(report.notes[0]))}{told}</p>'


def policy(*scripts: str) -> str:
    """Write a policy that runs these scripts only, and lets nothing in or out.

    Example:
        >>> policy("")
        "default-src 'none'; script-src 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='; ..."
    """
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _bundle() -> str:
    """Bundle Vega and its helpers: two seconds, once per process."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle(EXPORT)
    return bundle


def _asset(name: str) -> str:
    """Read a file of this package."""
    return (files("mutransfer.report.page") / name).read_text(encoding="utf-8")


def _answers(
    report: Report, predicted: str, charts: Charts, predictions: Sequence[Prediction]
) -> list[str]:
    """Write what is answered, in the order in which it is read."""
    scale, tuned = escaped(report.scale), escaped(tuned_title(report))
    threshold = share_text(report.threshold)
    judged = (
        f"A group <b>transfers</b> when its regret is at most {threshold} of the loss with 95 %"
        " confidence, <b>does not</b> when it is above with the same confidence, and is"
        " <b>undetermined</b> otherwise."
    )
    across = (
        f"Each line is one {scale}. If the {tuned} transfers, the diamonds stand above each"
        " other, on the dashed line."
    )
    up = (
        "A level line on the left: the best rate stays. The lower line on the right: the better"
        " model, each at its own best rate."
    )
    carried = (
        f"The share of the loss that the best rate of one {scale} (row) costs at a larger one"
        f" (column), and below it the 95 % bound. ✓ at most {threshold}, ✗ more, ? not decided."
    )
    ahead = "Extrapolated from laws: check it with one run before a large one."
    matrix = matrices(report)
    sections = [
        _section("Verdict", judged, verdicts(report)),
        _section("What to use at the target", ahead, predicted) if predicted else "",
        _section(
            f"Loss against {tuned}", across, loss_section(report, charts) + _asset("key.html")
        ),
        _section(
            f"The best rate, and the loss there, against {scale}",
            up,
            trend_section(report, charts, predictions) + _asset("key_width.html"),
        ),
        _section("Regret from every proxy to every target", carried, matrix) if matrix else "",
        _section("Scaling", planes_note(report), plane_section(report, charts) + _numbers(report)),
    ]
    return [section for section in sections if section]


def _numbers(report: Report) -> str:
    """Write the table of scaling with its heading, as HTML."""
    return f'<h3 class="apart">Scaling in numbers</h3>{scaling_table(report)}'


def _facts(
    results: Results | None, report: Report | None, plans: Sequence[Plan], study: str
) -> list[str]:
    """Write what the answers rest on."""
    sections = []
    if report and (compared := tables.comparisons(report)):
        sections.append(_section("Which is better at its own best rate", "", compared))
    if report is not None:
        sections.append(_section("Optima in numbers", "", tables.optima(report)))
    if plans:
        note = "What each kind of parameter is multiplied by; layers alike share a row."
        sections.append(_section("Plan", note, tables.plans(plans)))
    if study:
        asked = '<pre class="scroll" tabindex="0" role="region" aria-label="study">'
        sections.append(_section("The study", "", f"{asked}{escaped(study)}</pre>"))
    if results is not None and report is not None:
        origin = tables.provenance(results.provenance, report)
        sections.append(_section("Where these numbers are from", "", origin))
        sections.append(_section("How to read this page", "", _asset("glossary.html")))
    return sections


def _section(title: str, note: str, body: str) -> str:
    """Write one section; all parts are HTML already."""
    lead = f'<p class="note">{note}</p>' if note else ""
    return f"<section><h2>{title}</h2>{lead}{body}</section>"
