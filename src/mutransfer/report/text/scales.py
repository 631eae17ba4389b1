"""An analysis over several scales as text for the terminal: verdicts, exponents, cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mutransfer.analysis import Estimate, ScalesGroupReport, ScalesReport
from mutransfer.analysis.format import format_power, format_rate, format_size
from mutransfer.analysis.types.scales import CellOptimum, PathExponent
from mutransfer.report.text.analysis import Lines, format_estimate, source_notes

MOST_CELLS = 40  # the JSON has all


def scales_text(report: ScalesReport, unfinished: int = 0) -> str:
    """Format each group's verdicts along every scale, its exponents, and its cells."""
    blocks = source_notes(report.notes, unfinished)
    blocks += [_group_text(group, report) for group in report.values()]
    return "\n\n".join(blocks)


def _group_text(group: ScalesGroupReport, report: ScalesReport) -> str:
    """Format one group."""
    head = [f"{group.name}:"]
    for verdict in group.verdicts:
        along = f"{verdict.scale} at fixed {verdict.ratio}" if verdict.ratio else verdict.scale
        head += [f"  along {along}: {verdict.verdict}", f"    {verdict.reason}"]
    lines = Lines()
    _add_rate(lines, group, report)
    _add_loss(lines, group, report)
    return "\n".join([*head, *lines.with_reasons(), *_cell_lines(group.cells, report)])


def _add_rate(lines: Lines, group: ScalesGroupReport, report: ScalesReport) -> None:
    """Append the law of the best rate."""
    rate, tuned = group.rate, report.hyperparameter
    center = f" at {format_sizes(rate.center)}" if rate.center else ""
    lines.estimate(f"best {tuned}", rate.log2_lr, center, formatter=format_rate)
    for scale, exponent in rate.exponents.items():
        lines.estimate(f"  exponent of {scale}", exponent)
    _add_paths(lines, rate.paths)
    bounds = f", and {rate.num_bounds} bound the law from one side" if rate.num_bounds else ""
    if rate.scatter is not None:
        cells = f"between {rate.num_cells} cells with an optimum{bounds}"
        lines.add("  scatter", f"{rate.scatter:.3g} octaves beyond noise {cells}")
    if not any(has_interval(cell.log2_lr) for cell in group.cells) and has_interval(rate.log2_lr):
        lines.add("  intervals", "rest on this scatter alone, since there is none of any cell")


def _add_loss(lines: Lines, group: ScalesGroupReport, report: ScalesReport) -> None:
    """Append the law of the best loss."""
    loss, unit = group.loss, f" {report.loss_unit}" if report.loss_unit else ""
    lines.estimate("loss at infinity L∞", loss.loss_inf, unit)
    for scale, exponent in loss.exponents.items():
        lines.estimate(f"  loss exponent of {scale}", exponent)
    _add_paths(lines, loss.paths)
    if loss.scatter is not None:
        lines.add(
            "  scatter", f"{loss.scatter:.3g}{unit} beyond noise between {loss.num_cells} cells"
        )


def _add_paths(lines: Lines, paths: Iterable[PathExponent]) -> None:
    """Append exponents along paths on which several scales vary together."""
    for path in paths:
        lines.estimate(f"  exponent of {'·'.join(path.powers)}", path.exponent, f" in {path.scale}")


def has_interval(estimate: Estimate) -> bool:
    """Return whether an estimate has an end of an interval."""
    return estimate.low is not None or estimate.high is not None


def format_sizes(sizes: Mapping[str, float]) -> str:
    """Format one value of every scale.

    Example:
        >>> format_sizes({"params": 4.3e8, "batch": 512.0})
        'params 4.3e+08, batch 512'
    """
    return ", ".join(f"{scale} {format_size(size)}" for scale, size in sizes.items())


def format_best_rate(cell: CellOptimum) -> str:
    """Format the best rate of a cell, or the rate that it lies below or above."""
    if cell.log2_lr.value is not None:
        return format_estimate(cell.log2_lr, format_power)
    if cell.side is not None and cell.limit is not None:
        return f"{cell.side} {format_power(cell.limit)}"
    return "?"


def _cell_lines(cells: Sequence[CellOptimum], report: ScalesReport) -> list[str]:
    """Return a table of the cells; of many cells, of those without an optimum."""
    shown, title = list(cells), f"{len(cells)} cells"
    if len(cells) > MOST_CELLS:
        shown = [cell for cell in cells if cell.log2_lr.value is None]
        title = (
            f"{len(shown)} of {len(cells)} cells have no optimum; --json and the report have all"
        )
    more = f"    and {len(shown) - MOST_CELLS} more" if len(shown) > MOST_CELLS else ""
    shown = shown[:MOST_CELLS]
    heads = [*report.scales, f"best {report.hyperparameter}", "best loss", "off the law"]
    rows = [heads, *(_cell_row(cell) for cell in shown)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(heads))]
    table = [
        "    " + "  ".join(text.rjust(w) for text, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return [f"  {title}", *(table if shown else []), *([more] if more else [])]


def _cell_row(cell: CellOptimum) -> list[str]:
    """Return the texts of one cell."""
    loss = cell.loss.value if cell.loss.value is not None else cell.grid_loss
    at_most = "" if cell.loss.value is not None else "at most "
    return [
        *map(format_size, cell.sizes.values()),
        format_best_rate(cell),
        "?" if loss is None else f"{at_most}{loss:.4f}",
        "" if cell.residual is None else f"{cell.residual:+.2f} octaves",
    ]
