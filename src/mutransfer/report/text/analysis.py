"""An analysis, or a prediction, as text for the terminal: verdicts first, then every number."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mutransfer.analysis import Comparison, Estimate, GroupReport, Prediction, RateLaw, Report
from mutransfer.analysis.format import format_rate, format_share, without_rounding_error
from mutransfer.analysis.types.stability import RateStability
from mutransfer.errors import counted
from mutransfer.report.format import Formatter, unit_suffix

LABEL = 24  # characters of the column of names
SPIKE = 10.0  # rise over roughness: 200 losses of pure noise span 5.5 ± 0.8 [derived: normal range]


class Lines:
    """Lines of named estimates; a reason that several estimates share is printed once."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.missing: dict[str, list[str]] = {}  # reason -> names of estimates without a value
        self.unbounded: dict[str, list[str]] = {}  # reason -> names without an interval

    def add(self, name: str, text: str) -> None:
        """Append one line."""
        self.lines.append(f"  {name:<{LABEL - 1}} {text}")

    def estimate(
        self, name: str, estimate: Estimate, suffix: str = "", *, formatter: Formatter | None = None
    ) -> None:
        """Append an estimate, and collect the reason why its value or interval is missing."""
        if text := format_estimate(estimate, formatter or _number):
            self.add(name, f"{text}{suffix}")
        self.reason(name, estimate)

    def reason(self, name: str, estimate: Estimate) -> None:
        """Collect the reason why an estimate lacks its value or its interval."""
        if estimate.undetermined is not None:
            reasons = self.missing if estimate.value is None else self.unbounded
            reasons.setdefault(estimate.undetermined, []).append(name.strip())

    def with_reasons(self, printed: str = "") -> list[str]:
        """Return the lines, then the reasons; one that was printed before is not repeated."""
        lines = list(self.lines)
        for title, reasons in (("undetermined", self.missing), ("no interval", self.unbounded)):
            for reason, names in reasons.items():
                why = "for the reason above" if reason == printed else reason
                lines.append(f"  {title}: {', '.join(dict.fromkeys(names))} ({why})")
        return lines


def verdict_text(report: Report, unfinished: int = 0) -> str:
    """Format each group's verdict and numbers, and the comparison of the groups' best losses."""
    blocks = source_notes(report.notes, unfinished)
    blocks += [_group_text(group, report) for group in report.values()]
    for c in report.comparisons:
        difference = f"{format_estimate(c.difference, _number)}{unit_suffix(report)}"
        result = f"is {difference} worse than {c.reference}"
        if c.difference.value is None:
            result = f"cannot be compared with {c.reference}: {c.difference.undetermined}"
        best = f"at its own best rate, {c.group} {result} at {report.scale} {c.width:g}"
        blocks.append("\n".join([best, *_metric_lines(c, report)]))
    return "\n\n".join(blocks)


def _metric_lines(comparison: Comparison, report: Report) -> list[str]:
    """Format the differences of the metrics between two groups; none without their laws."""
    metrics = comparison.metrics
    lines = Lines()
    for name, estimate, suffix in (
        ("log10 E, difference", metrics.log10_E, ""),
        ("κ, difference", metrics.kappa, ""),
        ("R(∞), difference", metrics.R_inf, unit_suffix(report)),
    ):
        lines.estimate(name, estimate, suffix, formatter=_signed)
    return lines.with_reasons() if lines.lines else []


def source_notes(notes: Sequence[str], unfinished: int) -> list[str]:
    """Return one block of the notes on what was left out; none if there are no notes."""
    lines = [*notes, *([counted(unfinished, "unfinished trial")] if unfinished else [])]
    return ["\n".join(lines)] if lines else []


def _group_text(group: GroupReport, report: Report) -> str:
    """Format one group's verdict and numbers."""
    lines = Lines()
    _add_transfer(lines, group, report)
    _add_scaling(lines, group, report)
    if diverged := sum(sum(curve.num_diverged) for curve in group.curves):
        lines.add("diverged runs", str(diverged))
    _add_stability(lines, group, report)
    head = [f"{group.name}: {group.verdict}", f"  {group.reason}"]
    return "\n".join([*head, *lines.with_reasons(group.reason)])


def _add_transfer(lines: Lines, group: GroupReport, report: Report) -> None:
    """Append the numbers that the verdict rests on."""
    tuned, scale, unit = report.hyperparameter, report.scale, unit_suffix(report)
    lines.estimate("regret", group.regret, unit)
    if text := format_estimate(group.regret_share, format_share):
        lines.add("  of the best loss", f"{text} (threshold {format_share(report.threshold)})")
    lines.estimate("  between tried rates", group.grid_regret, unit)
    lines.estimate("drift", group.drift, f" octaves of {tuned} per octave of {scale}")
    if group.sensitivity.low is not None and group.sensitivity.high is not None:
        ends = f"{_number(group.sensitivity.low)} to {_number(group.sensitivity.high)}"
        lines.add(f"  without one {scale}", ends)
    best = [f"{o.width:g}: {format_estimate(o.log2_lr, format_rate, brief=True) or '?'}"
            for o in group.optimum]  # fmt: skip
    lines.add(f"best {tuned}", ", ".join(best))
    same = {True: "yes", False: "no", None: "not available"}[group.paper_criterion]
    lines.add("same on the grid", same)


def _add_scaling(lines: Lines, group: GroupReport, report: Report) -> None:
    """Append how the group scales."""
    scaling, laws, unit = group.scaling, group.laws, unit_suffix(report)
    lines.estimate("loss at infinity L∞", laws.loss_inf, unit)
    lines.estimate("loss exponent α", laws.alpha)
    lines.estimate("curvature exponent γlog", laws.gamma_log)
    lines.estimate("robustness κ = α+γlog", scaling.kappa, " (negative is robust)")
    floor = scaling.errors.noise_floor.value
    noise = "" if floor is None else f" (noise alone leaves {_number(floor)})"
    lines.estimate("predictability E", scaling.E, f"{unit_suffix(report, '²')}{noise}")
    if report.reference:
        lines.estimate("asymptotic gap R(∞)", group.R_inf, f"{unit} from {report.reference}")
    if scaling.fast.speed != "undetermined":
        lines.add("transfer is", f"{scaling.fast.speed} (arXiv:2512.22768)")
    else:
        lines.reason("fast transfer", scaling.fast.margin)
    if any(row.estimate.value is not None for row in scaling.lr_sensitivity):
        costs = [f"{row.width:g}: {format_estimate(row.estimate, _number, brief=True) or '?'}"
                 for row in scaling.lr_sensitivity]  # fmt: skip
        lines.add("rate sensitivity", f"{', '.join(costs)}{unit}")
    if scaling.is_skewed:
        lines.estimate("skew of the curves", scaling.skew, " octaves of error of the best rates")
    if group.saved.value is not None:
        lines.estimate(
            "compute saved", group.saved, " of tuning at the largest", formatter=format_share
        )


def _add_stability(lines: Lines, group: GroupReport, report: Report) -> None:
    """Append the runs that diverged near the best rate, and spikes beyond the batches' noise."""
    counts = [f"{w.width:g}: {w.diverged.count} of {w.diverged.total}"
              for w in group.stability if w.diverged.count]  # fmt: skip
    if counts:
        lines.add("  up to 4x the best", ", ".join(counts))
    rises = [(width.width, _spike(width.at(1.0))) for width in group.stability]
    spikes = [f"{width:g}: {_number(rise)}" for width, rise in rises if rise is not None]
    if spikes:
        where = f"{unit_suffix(report)} at the best {report.hyperparameter}"
        lines.add("loss spikes", f"{', '.join(spikes)}{where}")


def _spike(rate: RateStability) -> float | None:
    """Return the largest rise of the training loss, or None where it is that of noise."""
    if rate.largest_rise is None or rate.roughness is None:
        return None
    rise, noise = rate.largest_rise.mean.value, rate.roughness.mean.value
    return rise if rise is not None and noise is not None and rise > SPIKE * noise else None


def prediction_text(prediction: Prediction) -> str:
    """Format the predicted rate, loss and regret at a target."""
    lines = Lines()
    tuned = prediction.hyperparameter
    lines.estimate(tuned, prediction.log2_lr, formatter=format_rate)
    for law in prediction.laws if prediction.lr.low is not None else ():
        lines.add(f"  {law.name} law", _law_text(law))
    if (nearest := prediction.nearest) and (cost := format_cost_share(nearest.regret_share)):
        sizes = ", ".join(f"{name} {size:g}" for name, size in nearest.sizes.items())
        text = f"{format_rate(nearest.log2_lr)}, {cost}"
        lines.add(f"  that of {sizes}", text)
    lines.estimate("loss there", prediction.loss, unit_suffix(prediction))
    lines.estimate("regret there", prediction.regret, unit_suffix(prediction))
    lines.estimate("  of the loss", prediction.regret_share, formatter=format_share)
    lines.lines += [f"  warning: {warning}" for warning in prediction.warnings]
    target = ", ".join(f"{name} {value:g}" for name, value in prediction.at.items())
    largest = "the largest with an optimum" if len(prediction.at) == 1 else "the largest measured"
    head = f"{prediction.group}: {tuned} at {target}, " + (
        f"{prediction.extrapolation:.3g}x {largest}"
        if math.isfinite(prediction.extrapolation)
        else "without any measured optimum"
    )
    return "\n".join([head, *lines.with_reasons()])


def format_cost_share(share: Estimate) -> str:
    """Format what a rate costs at the target; empty where that is undetermined.

    Example:
        >>> format_cost_share(Estimate(0.142))
        'costs about 14.2 % of the loss, without an upper bound'
    """
    value, high = share.value, share.high
    if high is not None:
        return f"costs at most {format_share(high)} of the loss"
    return (
        ""
        if value is None
        else (f"costs about {format_share(value)} of the loss, without an upper bound")
    )


def _law_text(law: RateLaw) -> str:
    """Format one law: its weight, its rate, what that costs, and how well it predicted."""
    error, cost = law.held_out.value, format_cost_share(law.regret_share)
    return (
        f"weight {format_share(round(law.weight, 3))}, "
        f"{format_estimate(law.log2_lr, format_rate, brief=True) or '?'}"
        + (f", {cost}" if cost else "")
        + ("" if error is None else f", misses the largest by {_number(error)} octaves")
    )


def format_estimate(estimate: Estimate, formatter: Formatter, *, brief: bool = False) -> str:
    """Format a value with its interval, or its lower bound; empty where there is neither.

    Example:
        >>> format_estimate(Estimate(0.5, 0.41, 0.62), "{:.2f}".format)
        '0.50 [0.41, 0.62]'
        >>> format_estimate(Estimate(None, 0.41, None, "diverged"), "{:.2f}".format)
        'at least 0.41'
    """
    if estimate.value is None:
        return f"at least {formatter(estimate.low)}" if estimate.low else ""
    if brief or (estimate.low is None and estimate.high is None):
        return formatter(estimate.value)
    low, high = ("?" if end is None else formatter(end) for end in (estimate.low, estimate.high))
    return f"{formatter(estimate.value)} [{low}, {high}]"


def _signed(value: float) -> str:
    """Format three digits of a difference."""
    return f"{without_rounding_error(value):+.3g}"


def _number(value: float) -> str:
    """Format three digits."""
    return f"{without_rounding_error(value):.3g}"
