"""An analysis of several hyperparameters as text for the terminal."""

from __future__ import annotations

from mutransfer.analysis import (
    PredictedValue,
    Report,
    TunedGroup,
    TunedValue,
    TunedWidth,
    TuningReport,
)
from mutransfer.analysis.format import format_loss, format_share, format_value
from mutransfer.report.text.analysis import format_estimate, source_notes, verdict_text

FORMS = {
    "quadratic": "a polynomial with interactions",
    "diagonal": "a polynomial without interactions",
    "sample": "the best sample",
}


def analysis_text(report: Report | TuningReport, unfinished: int = 0) -> str:
    """Format an analysis of one hyperparameter or of several."""
    if isinstance(report, TuningReport):
        return tuning_text(report, unfinished)
    return verdict_text(report, unfinished)


def tuning_text(report: TuningReport, unfinished: int = 0) -> str:
    """Format each group's verdict, its best points and what matters in them."""
    blocks = source_notes(report.notes, unfinished)
    blocks += [_group_text(group, report) for group in report.values()]
    return "\n\n".join(blocks)


def _group_text(group: TunedGroup, report: TuningReport) -> str:
    """Format one group: verdict, regret, drifts, and one block per width."""
    lines = [f"{group.name}: {group.verdict}", f"  {group.reason}"]
    unit = report.loss_unit

    def cost(value: float) -> str:
        return format_loss(value, unit)

    if text := format_estimate(group.regret, cost):
        lines.append(f"  regret of the whole point  {text}")
    if text := format_estimate(group.regret_share, format_share):
        limit = format_share(report.threshold)
        lines.append(f"    of the best loss         {text} (threshold {limit})")
    for name, drift in group.drift.items():
        if text := format_estimate(drift, "{:.3g}".format):
            lines.append(f"  drift of {name:<17} {text} octaves per octave of {report.scale}")
    reasons = [group.reason]
    for width in group.widths:
        lines += _width_lines(width, report, reasons)
    return "\n".join(lines)


def _width_lines(width: TunedWidth, report: TuningReport, reasons: list[str]) -> list[str]:
    """Format the best point at one width; a reason that was printed before is not repeated."""
    fitted = sum(sample.is_fitted for sample in width.samples)
    counts = f"{len(width.samples)} samples"
    if width.form != "sample":
        counts = f"{fitted} of {counts}, {FORMS[width.form]}"
    if width.num_diverged:
        counts += f", {width.num_diverged} diverged"
    loss = format_estimate(width.loss, "{:.4g}".format)
    at = f"  {report.scale} {format_value(width.width)}"
    lines = [f"{at}: loss {loss} ({counts})" if loss else f"{at}: the best sample ({counts})"]
    names = max(map(len, report.hyperparameters))
    values = [format_best(value) for value in width.values]
    longest = max(map(len, values))
    missing = []
    for value, text in zip(width.values, values, strict=True):
        share = format_estimate(value.importance, "{:.0%}".format)
        matters = f"  explains {share} of the variance" if share else ""
        lines.append(f"    {value.name:<{names}}  {text:<{longest}}{matters}".rstrip())
        missing.append(value.best)
    lines += [f"    {pair.text}" for pair in width.interactions if pair.text]
    for note in (width.note, *(estimate.undetermined for estimate in missing)):
        if note and note not in reasons:
            reasons.append(note)
            lines.append(f"    note: {note}")
    return lines


def format_best(value: TunedValue | PredictedValue) -> str:
    """Format a best value with its interval, or its bound, or what the samples prefer.

    Example:
        >>> from mutransfer.analysis import Estimate
        >>> best = Estimate(None, 0.08, None, "the minimum lies at the edge")
        >>> none = Estimate()
        >>> format_best(TunedValue("a", "log", best, 0.1, 0.01, 0.1, "high", none, None, None))
        '? above 0.08, use 0.1'
    """

    def digits(number: float) -> str:
        return f"{number:.3g}"

    best = value.best
    if best.value is not None:
        return format_estimate(best, digits)
    bound = ""
    if best.low is not None:
        bound = f" above {digits(best.low)}"
    elif best.high is not None:
        bound = f" below {digits(best.high)}"
    return f"?{bound}, use {digits(value.recommended)}"
