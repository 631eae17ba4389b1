"""This file is an analysis in words for the terminal: verdicts first, then every number."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from mutransfer.analysis import Estimate, GroupReport, Prediction, Report

LABEL = 24  # letters that the names of the numbers take

Write = Callable[[float], str]


@dataclass(slots=True)
class _Lines:
    """Lines of numbers; reasons are gathered, so that each is said once.

    Args:
        lines: What is written so far.
        unknown: Reason -> names of the numbers that have no value for it.
        unbounded: Reason -> names of the numbers that have no interval for it.
    """

    lines: list[str] = field(default_factory=list)
    unknown: dict[str, list[str]] = field(default_factory=dict)
    unbounded: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, told: str) -> None:
        """Write a line."""
        self.lines.append(f"  {name:<{LABEL}}{told}")

    def number(
        self, name: str, estimate: Estimate, unit: str = "", *, write: Write | None = None
    ) -> None:
        """Write an estimate, or remember why there is none."""
        told = text_of(estimate, write or _number)
        if told:
            self.add(name, f"{told} {unit}".rstrip())
        self.reason(name, estimate)

    def reason(self, name: str, estimate: Estimate) -> None:
        """Remember why a number lacks its value or its interval."""
        if estimate.undetermined is not None:
            gathered = self.unknown if estimate.value is None else self.unbounded
            gathered.setdefault(estimate.undetermined, []).append(name.strip())

    def told(self, known: str) -> list[str]:
        """Give the lines, then the reasons; the one that is known already is not repeated."""
        gathered = (("not known", self.unknown), ("no interval", self.unbounded))
        for what, reasons in gathered:
            for reason, names in reasons.items():
                why = "for the reason above" if reason == known else reason
                self.lines.append(f"  {what}: {', '.join(dict.fromkeys(names))} ({why})")
        return self.lines


def verdict_text(report: Report, unfinished: int = 0) -> str:
    """Say each group's verdict, the numbers beside it, and who is better at its own optimum."""
    notes = [*report.notes, *([f"{unfinished} trials are unfinished"] if unfinished else [])]
    blocks = ["\n".join(notes)] if notes else []
    blocks += [_group_text(group, report) for group in report.values()]
    for c in report.comparisons:
        found = f"is {text_of(c.difference, _number)} nats worse than {c.reference}"
        if c.difference.value is None:
            found = f"cannot be compared with {c.reference}: {c.difference.undetermined}"
        blocks.append(f"at its own best rate, {c.group} {found} at {report.scale} {c.width:g}")
    return "\n\n".join(blocks)


def _group_text(group: GroupReport, report: Report) -> str:
    """Say one group's verdict and numbers."""
    lines = _Lines()
    _transfer_lines(lines, group, report)
    _scaling_lines(lines, group, report)
    if diverged := sum(sum(curve.num_diverged) for curve in group.curves):
        lines.add("diverged runs", str(diverged))
    return "\n".join(
        [f"{group.name}: {group.verdict}", f"  {group.reason}", *lines.told(group.reason)]
    )


def _transfer_lines(lines: _Lines, group: GroupReport, report: Report) -> None:
    """Say what decides, and what it was decided from."""
    per_octave = f"octaves of {report.hyperparameter} per octave of {report.scale}"
    lines.number("regret", group.regret, "nats")
    if told := text_of(group.regret_share, _percent):
        lines.add("  of the best loss", f"{told} (threshold {100 * report.threshold:g} %)")
    lines.number("  between rates tried", group.grid_regret, "nats")
    lines.number("drift", group.drift, per_octave)
    if group.sensitivity.low is not None and group.sensitivity.high is not None:
        ends = f"{_number(group.sensitivity.low)} to {_number(group.sensitivity.high)}"
        lines.add(f"  without one {report.scale}", ends)
    best = [f"{o.width:g}: {text_of(o.log2_lr, _power, brief=True) or '?'}" for o in group.optimum]
    lines.add(f"best {report.hyperparameter}", ", ".join(best))
    paper = {True: "yes", False: "no", None: "not available"}[group.paper_criterion]
    lines.add("same on the grid", paper)


def _scaling_lines(lines: _Lines, group: GroupReport, report: Report) -> None:
    """Say how the group scales."""
    scaling, laws = group.scaling, group.laws
    lines.number("loss at infinity L∞", laws.loss_inf, "nats")
    lines.number("loss exponent α", laws.alpha)
    lines.number("curvature exponent γlog", laws.gamma_log)
    lines.number("robustness κ = α+γlog", scaling.kappa, "(negative is robust)")
    floor = scaling.errors.noise_floor.value
    beside = "" if floor is None else f"(noise alone leaves {_number(floor)})"
    lines.number("predictability E", scaling.E, f"nats² {beside}")
    if report.reference:
        lines.number("asymptotic gap R(∞)", group.R_inf, f"nats from {report.reference}")
    if scaling.fast.speed != "undetermined":
        lines.add("transfer is", f"{scaling.fast.speed} (arXiv:2512.22768)")
    else:
        lines.reason("fast transfer", scaling.fast.margin)
    if any(one.estimate.value is not None for one in scaling.lr_sensitivity):
        each = [
            f"{one.width:g}: {text_of(one.estimate, _number, brief=True) or '?'}"
            for one in scaling.lr_sensitivity
        ]
        lines.add("rate sensitivity", f"{', '.join(each)} nats")
    if scaling.is_skewed:
        lines.number("curves are skewed", scaling.skew, "octaves that best rates err by")
    if group.saved.value is not None:
        lines.number("compute saved", group.saved, "of tuning at the largest", write=_percent)


def prediction_text(prediction: Prediction) -> str:
    """Say what to expect at a target."""
    lines = _Lines()
    tuned = prediction.hyperparameter
    lines.number(tuned, prediction.lr)
    lines.number("  as a power of two", prediction.log2_lr, write=_power)
    for law in prediction.laws if prediction.lr.value is not None else ():
        missed = law.held_out.value
        said = "" if missed is None else f", misses the largest by {_number(missed)} octaves"
        chosen = "chosen: " if law.name == prediction.law else ""
        told = text_of(law.log2_lr, _power) or "?"
        lines.add(f"  {law.name} law", f"{chosen}{told}{said}")
    lines.number("loss there", prediction.loss, "nats")
    lines.number("regret there", prediction.regret, "nats")
    lines.number("  of the loss", prediction.regret_share, write=_percent)
    lines.lines += [f"  careful: {warning}" for warning in prediction.warnings]
    head = f"{prediction.group}: {tuned} at {prediction.scale} {prediction.width:g}, " + (
        f"{prediction.extrapolation:.3g}x the largest with an optimum"
        if math.isfinite(prediction.extrapolation)
        else "where no optimum is known"
    )
    return "\n".join([head, *lines.told("")])


def text_of(estimate: Estimate, write: Write, *, brief: bool = False) -> str:
    """Write a value with its interval, or the bound that is known, or nothing.

    Example:
        >>> text_of(Estimate(0.5, 0.41, 0.62), "{:.2f}".format)
        '0.50 [0.41, 0.62]'
        >>> text_of(Estimate(None, 0.41, None, "diverged"), "{:.2f}".format)
        'at least 0.41'
    """
    if estimate.value is None:
        return "" if not estimate.low else f"at least {write(estimate.low)}"
    value = write(estimate.value)
    if brief or (estimate.low is None and estimate.high is None):
        return value
    low = "?" if estimate.low is None else write(estimate.low)
    high = "?" if estimate.high is None else write(estimate.high)
    return f"{value} [{low}, {high}]"


def _number(value: float) -> str:
    """Write three digits."""
    return f"{value:.3g}"


def _power(value: float) -> str:
    """Write a power of two."""
    return f"2^{value:.2f}"


def _percent(value: float) -> str:
    """Write a share."""
    return f"{100 * value:.3g} %"
