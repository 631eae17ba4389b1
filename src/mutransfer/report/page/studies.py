"""The page of a comparison with a paper: every experiment, ours beside the paper's."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mutransfer.analysis.format import format_power
from mutransfer.report.figures.drawing.specs import Rows
from mutransfer.report.figures.numbers.loss import all_widths
from mutransfer.report.figures.panels import loss_panels, studies_panel, verdict_line
from mutransfer.report.files import make_parent, write_file
from mutransfer.report.format import (
    as_sentence,
    escape,
    format_loss,
    format_number,
    format_percent,
    format_slope,
    format_width,
)
from mutransfer.report.page.cards import CLASSES, MARKS, YES_NO
from mutransfer.report.page.charts import Charts, legend
from mutransfer.report.page.claims import claim_sections
from mutransfer.report.page.document import document
from mutransfer.report.page.elements import Footnotes, asset, bullets, fact, section, table
from mutransfer.report.text.claims import claim_summary
from mutransfer.report.text.studies import (
    CAUSES,
    HEADINGS,
    counted_studies,
    paper_cautions,
    paper_loss,
    summary,
)
from mutransfer.report.theme import page_theme

if TYPE_CHECKING:
    from mutransfer.analysis import Report

Data = Mapping[str, Any]

SAYS = {"transfers": "transfers", "does not transfer": "does not transfer", None: "–"}
BEST_RATES = "The table of experiments has the best rates."
STILL_WIDTH = 130  # pixels beside the names of the studies
TITLE = "Which changes keep the best learning rate?"
CLAIMS_TITLE = "Why does µP transfer?"


def write_comparison(
    path: str | os.PathLike[str], data: Data, reports: Mapping[str, Report]
) -> Path:
    """Write a comparison of studies with a paper as one HTML page that works offline.

    Args:
        path: The file; missing folders are made.
        data: What `StudyComparison.to_json` returns.
        reports: The analysis of each study by its name, for the curves.

    Returns:
        The file.

    Raises:
        ResultsError: The file cannot be written.
    """
    file = Path(path)
    make_parent(file)  # fails before the charts are drawn, not after it
    return write_file(file, comparison_page(data, reports).encode(errors="replace"))


def comparison_page(data: Data, reports: Mapping[str, Report]) -> str:
    """Return the whole page as text."""
    charts = Charts()
    widths = sorted({width for report in reports.values() for width in all_widths(report)})
    claims = data["claims"]
    sections = _verdict_sections(data, reports, widths, charts) if data["studies"] else []
    sections += claim_sections(claims) if claims else []
    sections.append(section("Where these numbers are from", "", origin(data)))
    sentences = [summary(data)] if data["studies"] else []
    sentences += [claim_summary(claims)] if claims else []
    title = TITLE if data["studies"] else CLAIMS_TITLE
    headline = escape(" ".join(sentences))
    return document(title, headline, sections, charts, num_widths=max(len(widths), 1))


def _verdict_sections(
    data: Data, reports: Mapping[str, Report], widths: Sequence[float], charts: Charts
) -> list[str]:
    """Return the sections on studies that are compared verdict by verdict."""
    ordered = {**data, "studies": in_order(data["studies"])}
    limit = " and ".join(map(format_percent, data["thresholds"]))
    criteria = (
        f"{escape(data['paper'])}. "
        "<b>The paper</b> says that the best rate transfers if the best of its rates, four times "
        "apart, is the same at every width; one seed. <b>Here</b> it transfers if the rate of the "
        f"smallest width costs at most {escape(limit)} of the loss at the largest, with 95 % "
        "confidence. Where the verdicts differ, the last column says whether the criteria or the "
        "widths alone explain it."
    )
    return [
        section("Experiment by experiment", criteria, tables(ordered)),
        *figures(ordered, charts),
        curves(reports, widths, charts),
    ]


def in_order(rows: Sequence[Data]) -> list[Data]:
    """Return the studies by whether they agree with the paper."""
    outcomes = list(HEADINGS)
    return sorted(rows, key=lambda row: outcomes.index(row["agreement"]["outcome"]))


def tables(data: Data) -> str:
    """Return one table per outcome, with the evidence of the paper's verdicts as footnotes."""
    heads = ["Study", "Paper", "Here", "Best rates", "Loss − baseline", "Why"]
    blocks, notes = [], Footnotes()
    for outcome, heading in HEADINGS.items():
        rows = [
            _cells(row, notes) for row in data["studies"] if row["agreement"]["outcome"] == outcome
        ]
        if rows:
            title = escape(f"{heading}: {counted_studies(len(rows))}")
            blocks.append(
                f'<h3 class="apart">{title}</h3>{table(heads, rows, css="notes studies")}'
            )
    return "".join(blocks) + notes.to_html()


def _cells(row: Data, notes: Footnotes) -> list[str]:
    """Return the cells of one study, as HTML."""
    ours, agreement, cost = row["ours"], row["agreement"], row["cost"]
    verdict, same = ours["verdict"], YES_NO[ours["same_best_on_grid"]]
    cause = CAUSES[agreement["cause"]].strip()
    mark = f"{cause}: " if cause else ""
    rates = escape(", ".join(map(_rate, ours["best_rates"])))
    return [
        f"<b>{escape(row['name'])}</b><small>{cost['trials']} trials</small>"
        f"<small>{format_number(cost['core_minutes'], 2)} core minutes</small>",
        _paper(row["paper"], notes),
        f'<span class="verdict {CLASSES[verdict]}">{MARKS[verdict]} {escape(verdict)}</span>'
        f"<small>{_estimate(ours['regret_share'], format_percent)}</small>",
        f"{rates}<small>drift {_estimate(ours['drift'], format_slope)}</small>"
        f"<small>same on the grid: {same}</small>",
        _loss(row["loss_difference"], row["paper"]),
        escape(as_sentence(f"{mark}{agreement['why']}")),
    ]


def _paper(paper: Data | None, notes: Footnotes) -> str:
    """Return the paper's verdict with its evidence, and the regret of its cells, as HTML."""
    if paper is None:
        return "–"
    regret = ""
    if paper["regrets"]:
        last = paper["regrets"][-1]
        share = escape(format_percent(last["share"]))
        regret = f"<small>{share} ({last['nats']:.3f} nats)</small>"
        if cautions := paper_cautions(paper):
            regret += f"<small>{escape(cautions)}</small>"
    return f"{SAYS[paper['verdict']]}{notes.mark(paper['certainty'])}{regret}"


def _rate(rate: Data) -> str:
    """Format the best rate of a width."""
    value = rate["log2_lr"]["value"]
    return "?" if value is None else format_power(value)


def _estimate(estimate: Data, formatter: Any) -> str:  # noqa: ANN401 - a formatter of numbers
    """Return a value with its interval under it, or its lower bound, as HTML."""
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    if value is None:
        return f"at least {escape(formatter(low))}" if low else "?"
    if low is None and high is None:
        return escape(formatter(value))
    ends = ("?" if end is None else formatter(end) for end in (low, high))
    return f'{escape(formatter(value))} <span class="interval">[{escape(", ".join(ends))}]</span>'


def _loss(loss: Data, paper: Data | None) -> str:
    """Return the loss minus that of the baseline, with the paper's, as HTML."""
    difference = loss["difference"]
    if loss["width"] is None or difference["value"] is None:
        return f'<span class="lacking">{escape(difference["undetermined"] or "–")}</span>'
    size = loss["parameters"]
    more = ""
    if size is not None and abs(size - 1) >= 0.02:
        more = f"<small>{format_number(size)} × its parameters</small>"
    theirs = paper_loss(paper)
    more += f"<small>paper: {escape(theirs)}</small>" if theirs else ""
    return _estimate(difference, format_loss) + more


def figures(data: Data, charts: Charts) -> list[str]:
    """Return the sections of regret and drift."""
    theme = page_theme()
    notes = {
        "regret": "Circles are ours, with one-sided 95 % bounds; green transfers, red does not, "
        "yellow is undetermined. Diamonds are the paper's cells. The dashed line is the threshold, "
        "in percent of the loss; the axis is logarithmic beyond 1 %.",
        "drift": "In octaves of rate per octave of width. Circles are ours, with 90 % intervals. "
        "Diamonds are from the best rates on the "
        "paper's grid, which move in steps of two octaves.",
    }
    sections = []
    for quantity in ("regret", "drift"):
        panel = studies_panel(data, quantity, theme, ("container", 0))
        label = f"{panel.title} of every study."
        chart = charts.add(
            panel, theme, label, numbers="The table has the numbers.", still_width=STILL_WIDTH
        )
        figure = f'<figure class="panel wide">{chart}</figure>'
        sections.append(section(panel.title, notes[quantity], figure))
    return sections


def curves(reports: Mapping[str, Report], widths: Sequence[float], charts: Charts) -> str:
    """Return the section of loss against rate, one panel per study and group."""
    theme = page_theme(len(widths))
    shown = []
    for study, report in reports.items():
        for name, group in report.items():
            title = study if len(report) == 1 else f"{study}: {name}"
            own = replace(report, groups={title: group}, group_by=("study",))
            (panel,) = loss_panels(own, theme, ("container", 220))
            panel = replace(panel, rows=_with_indices_of(widths, panel.rows, all_widths(own)))
            label = f"{title}: loss against learning rate, one line per {report.scale}."
            shown.append(
                f'<figure class="panel {CLASSES[group.verdict]}"><h3>{escape(title)}</h3>'
                f'<p class="note">{escape(verdict_line(group))}</p>'
                f"{charts.add(panel, theme, label, numbers=BEST_RATES)}</figure>"
            )
    names = [f"width {format_width(width)}" for width in widths]
    body = f'{legend(names, theme.ramp)}<div class="panels three">{"".join(shown)}</div>'
    note = "Each panel has its own axes. If the rate transfers, the diamonds are above each other."
    return section("Loss against learning rate", note, body + asset("key.html"))


def _with_indices_of(widths: Sequence[float], rows: Rows, own: Sequence[float]) -> Rows:
    """Number the widths of one study as the legend of all studies does."""
    index = [widths.index(width) for width in own]
    return {
        name: [{**row, "index": index[row["index"]]} if "index" in row else row for row in data]
        for name, data in rows.items()
    }


def origin(data: Data) -> str:
    """Return where the numbers are from, and what was left out, as HTML."""
    claims = data["claims"] or {"studies": [], "not_run": []}
    rows = [*data["studies"], *claims["studies"]]
    costs = {row["study"]: row["cost"] for row in rows}
    minutes = sum(cost["core_minutes"] for cost in costs.values())
    trials = sum(cost["trials"] for cost in costs.values())
    papers = [data["paper"]] if data["studies"] else []
    papers += [claims["paper"]] if data["claims"] else []
    facts = [
        fact("Papers" if len(papers) > 1 else "Paper", escape("; ".join(papers))),
        fact(
            "Trials", f"{escape(data['source'])}: {trials}, {format_number(minutes)} core minutes"
        ),
    ]
    if not_run := [*data["not_run"], *claims["not_run"]]:
        facts.append(fact("Not run yet", escape(", ".join(not_run))))
    studies = data["provenance"].get("studies", {})
    for key, title in (("machine", "Machine"), ("commits", "Commits")):
        values = {str(value) for row in studies.values() for value in _as_list(row[key])}
        if values:
            facts.append(fact(title, escape(", ".join(sorted(values)))))
    left_out = bullets(
        [
            f"<b>{escape(entry['folder'])}</b> {escape(as_sentence(entry['reason']))}"
            + (f" <code>{escape(entry['command'])}</code>" if entry["command"] else "")
            for entry in data["left_out"]
        ],
        "notes",
    )
    title = '<h3 class="apart">Left out</h3>' if left_out else ""
    return f'<dl class="facts">{"".join(facts)}</dl>{title}{left_out}'


def _as_list(value: object) -> Sequence[object]:
    """Return a list as it is, and any other value as a list of one."""
    return value if isinstance(value, list) else [value]
