"""Cards of predicted points: the values to use at a size that was not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mutransfer.report.figures.slice_panels import group_title
from mutransfer.report.format import (
    escape,
    format_loss,
    format_number,
    format_percent,
    format_width,
)
from mutransfer.report.page.elements import Footnotes, bullets, fact, table
from mutransfer.report.page.sections.predictions import format_regret, format_snippet
from mutransfer.report.page.tuning.cards import format_best

if TYPE_CHECKING:
    from mutransfer.analysis import PointPrediction, PredictedValue, TuningReport


def point_predictions(
    report: TuningReport, predictions: Sequence[PointPrediction], snippets: Mapping[str, str]
) -> str:
    """Return one card per group: the values, loss and regret of the point, warnings and code."""
    cards = "".join(_card(report, p, snippets.get(p.group, "")) for p in predictions)
    return f'<div class="cards">{cards}</div>'


def _card(report: TuningReport, prediction: PointPrediction, snippet: str) -> str:
    """Return one card."""
    notes = Footnotes()
    heads = ["Hyperparameter", "Best value", "To use", "Costs by itself"]
    values = table(heads, [_cells(value, notes) for value in prediction.values])
    facts = [
        fact(
            "Expected loss",
            notes.estimate(prediction.loss, format_loss),
            "At the best point there.",
        ),
        fact(
            "Expected regret",
            format_regret(prediction, notes),
            "The excess loss from using this whole point there, with its bound.",
        ),
    ]
    size = f"{prediction.scale} {format_width(prediction.width)}"
    title = escape(f"{group_title(report, prediction.group)} at {size}")
    return (
        f'<article class="card plain"><h3>{title}</h3>{values}'
        f"<dl>{''.join(facts)}</dl>{notes.to_html()}"
        f"{bullets([escape(warning) for warning in prediction.warnings], 'warnings')}"
        f"{format_snippet(snippet, title)}</article>"
    )


def _cells(value: PredictedValue, notes: Footnotes) -> list[str]:
    """Return the cells of one hyperparameter."""
    cost = "–" if value.cost.high is None else f"at most {format_percent(value.cost.high)}"
    return [
        escape(value.name),
        format_best(value, notes),
        escape(format_number(value.recommended)),
        escape(cost) + notes.mark(value.cost.undetermined),
    ]
