"""Verdicts and tables of best points, importances and interactions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mutransfer.report.figures.slice_panels import group_title
from mutransfer.report.format import (
    as_sentence,
    escape,
    format_cost,
    format_interval,
    format_loss,
    format_number,
    format_percent,
    format_slope,
    format_width,
)
from mutransfer.report.page.cards import CLASSES, MARKS
from mutransfer.report.page.elements import Footnotes, bullets, fact, table

if TYPE_CHECKING:
    from mutransfer.analysis import PredictedValue, TunedGroup, TunedValue, TunedWidth, TuningReport

FORMS = {"quadratic": "with interactions", "diagonal": "without interactions", "sample": ""}


def tuning_headline(report: TuningReport) -> str:
    """Return every group's verdict in one sentence, as HTML."""
    clauses = [
        f"<b>{escape(group_title(report, name))}</b> "
        + ("is undetermined" if group.verdict == "undetermined" else group.verdict)
        for name, group in report.items()
    ]
    return "; ".join(clauses) + "."


def point_verdicts(report: TuningReport) -> str:
    """Return one card per group, as HTML."""
    cards = "\n".join(_card(report, name, group) for name, group in report.items())
    return f'<div class="cards">{cards}</div>'


def _card(report: TuningReport, name: str, group: TunedGroup) -> str:
    """Return one group's card."""
    notes, scale = Footnotes(), escape(report.scale)
    unit = f" {report.loss_unit}" if report.loss_unit else ""
    small, large = (format_width(group.widths[k].width) for k in (0, -1))
    share = notes.estimate(group.regret_share, format_percent)
    facts = [
        fact(
            "Regret of the whole point",
            f"{notes.estimate(group.regret, format_cost)}{escape(unit)}<br>{share} of the loss",
            f"What you pay at {scale} {large} for using the best point of {scale} {small}.",
        )
    ]
    facts += [
        fact(
            f"Drift of {escape(hyperparameter)}",
            notes.estimate(drift, format_slope),
            f"Octaves per octave of {scale}; zero means that the best value stays.",
        )
        for hyperparameter, drift in group.drift.items()
    ]
    mark, css = MARKS[group.verdict], CLASSES[group.verdict]
    return (
        f'<article class="card {css}"><h3>{escape(group_title(report, name))}</h3>'
        f'<p class="verdict"><span aria-hidden="true">{mark}</span> {escape(group.verdict)}</p>'
        f'<p class="reason">{escape(as_sentence(group.reason))}</p>'
        f"<dl>{''.join(facts)}</dl>{notes.to_html()}</article>"
    )


def best_points(report: TuningReport, group: TunedGroup) -> str:
    """Return the table of one group's best points: a row per width and hyperparameter."""
    heads = [report.scale, "Hyperparameter", "Best value", "To use", "Tried",
             "Explains of the variance"]  # fmt: skip
    notes, rows = Footnotes(), []
    for width in group.widths:
        for k, value in enumerate(width.values):
            first = _width_cell(width) if k == 0 else ""
            rows.append([first, *_cells(value, notes)])
    sentences = [
        escape(as_sentence(f"at {report.scale} {format_width(width.width)} {text}"))
        for width in group.widths
        for text in (*(pair.text for pair in width.interactions), width.note)
        if text
    ]
    return table(heads, rows, "optima") + notes.to_html() + bullets(sentences)


def _width_cell(width: TunedWidth) -> str:
    """Return the first cell of a width: its loss, and what was fitted."""
    num = len(width.samples)
    fitted = sum(sample.is_fitted for sample in width.samples)
    text = f"{fitted} of {num} samples {FORMS[width.form]}" if fitted else f"{num} samples"
    if width.num_diverged:
        text += f", {width.num_diverged} diverged"
    loss = "" if width.loss.value is None else f"<br>loss {escape(format_loss(width.loss.value))}"
    return f"<strong>{format_width(width.width)}</strong>{loss}<small>{escape(text)}</small>"


def format_best(value: TunedValue | PredictedValue, notes: Footnotes) -> str:
    """Return a best value with its interval, or the end that the samples bound, as HTML."""
    if value.best.value is not None:
        return notes.estimate(value.best, format_number)
    bound = ""
    if value.best.low is not None:
        bound = f"above {format_number(value.best.low)}"
    elif value.best.high is not None:
        bound = f"below {format_number(value.best.high)}"
    return f"<span>{bound or '–'}</span>{notes.mark(value.best.undetermined)}"


def _cells(value: TunedValue, notes: Footnotes) -> list[str]:
    """Return the cells of one hyperparameter."""
    tried = f"{format_number(value.lowest)} to {format_number(value.highest)}"
    return [
        escape(value.name),
        format_best(value, notes),
        escape(format_number(value.recommended)),
        escape(tried),
        _bar(value, notes),
    ]


def _bar(value: TunedValue, notes: Footnotes) -> str:
    """Return the importance as a bar with its number."""
    share = value.importance
    if share.value is None:
        return f"<span>–</span>{notes.mark(share.undetermined)}"
    low, high = (x if x is not None else share.value for x in (share.low, share.high))
    text = f"{format_percent(round(share.value, 3))} {format_interval(share, _percent)}"
    return (
        f'<div class="share"><b style="width:{100 * share.value:.1f}%"></b>'
        f'<i style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"></i></div>'
        f"<small>{escape(text.strip())}</small>"
    )


def _percent(value: float) -> str:
    """Format a share as a whole percentage."""
    return f"{100 * value:.0f}"
