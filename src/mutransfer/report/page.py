"""This file is the page: one HTML file that needs nothing else, verdicts first."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from mutransfer import __version__
from mutransfer.report import tables
from mutransfer.report.cards import headline, verdicts
from mutransfer.report.charts import Charts, loss_section, trend_section
from mutransfer.report.data import widths_of
from mutransfer.report.figures import write_figures
from mutransfer.report.files import make_room, write_file
from mutransfer.report.theme import variables
from mutransfer.report.words import escaped, share_text, tuned_title
from mutransfer.rules import Plan

if TYPE_CHECKING:
    from mutransfer.analysis.results import Results
    from mutransfer.analysis import Report

EXPORT = "window.vegaEmbed = vegaEmbed;"  # what the page's script needs of the bundle


def write_report(
    path: str | os.PathLike[str],
    *,
    results: Results,
    report: Report | None = None,
    plan: Plan | Sequence[Plan] = (),
    study: str = "",
    title: str = "",
    figures: str | os.PathLike[str] | None = None,
) -> Path:
    """Write results and their analysis as one HTML page that works offline.

    The page holds its data, its scripts and its style; a policy in it forbids every
    connection. Without scripts it shows still pictures and the same numbers.

    Args:
        path: The file; missing folders are made.
        results: The trials, for where the numbers are from.
        report: What `analyze` answered; made here if None.
        plan: A plan, or several, to show beside the results.
        study: What was asked, as text such as a study file; shown as it is.
        title: Heading of the page.
        figures: A folder for the figures as PNG and SVG too, or None.

    Returns:
        The file.

    Raises:
        ResultsError: Where the results cannot be analyzed or the file cannot be written.
    """
    place = Path(path)
    make_room(place)  # refuse before the work, not after
    if report is None:
        from mutransfer.analysis import analyze

        report = analyze(results)
    plans = (plan,) if isinstance(plan, Plan) else tuple(plan)
    text = page(results, report, plans=plans, study=study, title=title)
    # JSON can name what UTF-8 cannot write: half of a pair of surrogates.
    written = write_file(place, text.encode(errors="replace"))
    if figures is not None:
        write_figures(figures, report)
    return written


def page(
    results: Results,
    report: Report,
    *,
    plans: Sequence[Plan] = (),
    study: str = "",
    title: str = "",
) -> str:
    """Write the whole page as text."""
    charts = Charts()
    body = "\n".join(_sections(results, report, plans, study, charts))
    bundle, script = _bundle(), _asset("page.js")
    question = f"Does the best {tuned_title(report)} transfer over {report.scale}?"
    style = variables(max(len(widths_of(report)), 1)) + _asset("page.css")
    return Template(_asset("page.html")).substitute(
        policy=policy(bundle, script),
        title=escaped(title or question),
        style=style,
        headline=headline(report),
        body=body,
        version=__version__,
        charts=charts.scripts(),
        bundle=bundle,
        script=script,
    )


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
    return (files("mutransfer.report") / name).read_text(encoding="utf-8")


def _sections(
    results: Results, report: Report, plans: Sequence[Plan], study: str, charts: Charts
) -> list[str]:
    """Write the sections in the order in which they are read."""
    scale, tuned = escaped(report.scale), escaped(tuned_title(report))
    threshold = share_text(report.threshold)
    told = [
        f"A group <b>transfers</b> when its regret is at most {threshold} of the loss with 95 %"
        " confidence, <b>does not</b> when it is above with the same confidence, and is"
        " <b>undetermined</b> otherwise.",
    ]
    sections = [
        _section("Verdict", told[0], verdicts(report)),
        _section(
            f"Loss against {tuned}",
            f"Each line is one {scale}. If the {tuned} transfers, the diamonds stand above each"
            " other, on the dashed line.",
            loss_section(report, charts) + _asset("key.html"),
        ),
        _section(
            f"The best rate, and the loss there, against {scale}",
            "A level line on the left: the best rate stays. The lower line on the right: the better"
            " model, each at its own best rate.",
            trend_section(report, charts),
        ),
    ]
    if compared := tables.comparisons(report):
        sections.append(_section("Which is better at its own best rate", "", compared))
    sections.append(_section("Optima in numbers", "", tables.optima(report)))
    if plans:
        note = "What each kind of parameter is multiplied by; layers alike share a row."
        sections.append(_section("Plan", note, tables.plans(plans)))
    if study:
        asked = '<pre class="scroll" tabindex="0" role="region" aria-label="study">'
        sections.append(_section("The study", "", f"{asked}{escaped(study)}</pre>"))
    origin = tables.provenance(results.provenance, report)
    return [
        *sections,
        _section("Where these numbers are from", "", origin),
        _section("How to read this page", "", _asset("glossary.html")),
    ]


def _section(title: str, note: str, body: str) -> str:
    """Write one section; all parts are HTML already."""
    lead = f'<p class="note">{note}</p>' if note else ""
    return f"<section><h2>{title}</h2>{lead}{body}</section>"
