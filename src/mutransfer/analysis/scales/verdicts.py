"""One verdict per scale: what it costs to carry a rate along that scale, all others fixed.

Every line of cells is judged as a ladder of widths is, with the noise and the skew of all cells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mutransfer.analysis.curves.group import FittedGroup, no_draws_reason, optimum_samples
from mutransfer.analysis.format import AxisNames, format_size
from mutransfer.analysis.intervals import LOWER, estimate
from mutransfer.analysis.laws.power_law import fit_power_law
from mutransfer.analysis.scales.cells import Cells
from mutransfer.analysis.scales.lines import CellLine, lines_along, paths
from mutransfer.analysis.transfer.regret import estimate_regret, grid_regret, share_of_loss
from mutransfer.analysis.transfer.verdict import decide
from mutransfer.analysis.types.estimates import Estimate, Verdict
from mutransfer.analysis.types.scales import Line, ScaleVerdict
from mutransfer.analysis.types.scaling import CarriedRegret

PLURAL = {
    "transfers": "transfer",
    "does not transfer": "do not transfer",
    "undetermined": "are undetermined",
}


@dataclass(frozen=True, slots=True)
class Criterion:
    """What decides a verdict.

    Args:
        axes: Names of the scales and of the hyperparameter.
        shifts: How far skewed curves move best rates, in ln(rate); empty if they are not skewed.
        threshold: Regret that still counts as transfer, as a share of the best loss.
        loss_unit: Unit of the losses, or None.
    """

    axes: AxisNames
    shifts: tuple[float, ...]
    threshold: float
    loss_unit: str | None


def scale_verdicts(cells: Cells, criterion: Criterion) -> tuple[ScaleVerdict, ...]:
    """Return one verdict per scale, then one per path."""
    scales, value_CK = cells.scales, cells.values
    along_scales = [
        _verdict(cells, k, None, lines_along(value_CK, scales, k), criterion)
        for k in range(len(scales))
    ]
    along_paths = [
        _verdict(cells, path.scale, path.ratio, path.lines, criterion)
        for path in paths(value_CK, scales)
    ]
    return (*along_scales, *along_paths)


def _verdict(
    cells: Cells, scale: int, ratio: str | None, lines: Sequence[CellLine], criterion: Criterion
) -> ScaleVerdict:
    """Judge every line along a scale or a path, and summarize."""
    name = cells.scales[scale]
    if not lines:
        others = " and ".join(other for other in cells.scales if other != name)
        advice = f"run two values of {name} at the same {others}" if others else "run others"
        reason = f"no two cells differ in {name} alone: {advice}"
        return ScaleVerdict(name, ratio, "undetermined", reason, ())
    judged = tuple(_judged_line(cells, scale, line, len(lines), criterion) for line in lines)
    verdict, reason = summary(judged)
    return ScaleVerdict(name, ratio, verdict, reason, judged)


def _judged_line(
    cells: Cells, scale: int, line: CellLine, num_lines: int, criterion: Criterion
) -> Line:
    """Judge one line; of several, each lower bound may fail less often."""
    group, axes = cells.group, criterion.axes
    first, last = line.cells[0], line.cells[-1]
    small, large = group.curves[first], group.curves[last]
    reason = no_draws_reason(group, [first, last], axes)
    draws = None if reason else (group.draws[first], group.draws[last])
    regret = estimate_regret(
        small, large, draws, reason, axes, shifts=criterion.shifts, tail=LOWER / num_lines
    )
    carried = CarriedRegret(
        proxy=float(cells.values[first, scale]),
        target=float(cells.values[last, scale]),
        regret=regret,
        share=share_of_loss(regret, large, axes),
        grid=grid_regret(small, large, axes),
    )
    own_axes = AxisNames(cells.scales[scale], axes.hyperparameter)
    verdict, text = decide(
        carried, (small, large), criterion.threshold, own_axes, criterion.loss_unit
    )
    drift = _drift(group, line.cells, cells.values[:, scale].tolist(), axes)
    return Line(line.fixed, len(line.cells), verdict, text, drift, carried)


def _drift(
    group: FittedGroup, cells: Sequence[int], sizes: Sequence[float], axes: AxisNames
) -> Estimate:
    """Estimate the slope of log2(best rate) against log2(size) on one line."""
    fitted = [k for k in cells if group.curves[k].quadratic is not None]
    missing = next((text for k in cells if (text := group.curves[k].undetermined)), None)
    if len(fitted) < 2:
        return Estimate(undetermined=missing)
    x_SC = np.array([optimum_samples(group, k)[0] for k in fitted]).T
    slope_S = fit_power_law(np.array([sizes[k] for k in fitted]), x_SC).slope
    return estimate(slope_S, no_draws_reason(group, fitted, axes) or missing)


def summary(lines: Sequence[Line]) -> tuple[Verdict, str]:
    """Summarize the verdicts of lines.

    A line that does not transfer decides: the lower bounds are such that, of all lines, none fails
    with 95 % confidence (Bonferroni). Where every line transfers each upper bound holds with 95 %
    confidence, and so does their conjunction.
    """
    counts = Counter(line.verdict for line in lines)
    verdict: Verdict = "undetermined"
    if counts["does not transfer"]:
        verdict = "does not transfer"
    elif counts["transfers"] == len(lines):
        verdict = "transfers"
    decisive = _decisive_line(verdict, lines)
    where = ", ".join(f"{name} {format_size(value)}" for name, value in decisive.fixed.items())
    reason = f"at {where}: {decisive.reason}" if where else decisive.reason
    if len(lines) == 1:
        return verdict, reason
    if verdict == "transfers":
        return verdict, f"all {len(lines)} lines transfer; the costliest, {reason}"
    first = f"{counts[verdict]} of {len(lines)} lines {PLURAL[verdict]}"
    rest = [f"{num} {PLURAL[name]}" for name, num in counts.most_common() if name != verdict]
    extreme = "the costliest, " if verdict == "does not transfer" else ""
    return verdict, f"{', '.join([first, *rest])}; {extreme}{reason}"


def _decisive_line(verdict: Verdict, lines: Sequence[Line]) -> Line:
    """Return the line that the reason is about: the costliest of those with the verdict."""

    def cost(line: Line) -> float:
        share = line.carried.share
        bound = share.high if verdict == "transfers" else share.low
        return (bound if bound is not None else share.value) or 0.0

    return max((line for line in lines if line.verdict == verdict), key=cost)
