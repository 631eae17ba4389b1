"""Reports on the published tables, as text and as JSON data."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from mutransfer.analysis.format import format_power
from mutransfer.analysis.types.estimates import json_data
from mutransfer.literature import (
    Citation,
    Effect,
    Median,
    TransferCell,
    TransferCheck,
    TransferTable,
    citation,
    load_transfer_table,
    median_e,
    published_transfer,
    switch_effects,
)

SCHEMA = 1
COLUMNS = 100  # of the terminal
DAGGER = "†"
# E behaves alike within each of these ranges, and differently between them.
LOW_DECAYS, HIGH_DECAYS = (0.0, 1e-3), (3e-3, 1e-2)

_KALRA_CAUTIONS = (
    "kappa is bimodal (modes near +0.6 and -3.4) and jumps between neighbouring weight decays, as "
    "an exponent does when it sits on a bound of its fit: use the definition, not single values.",
    "R(inf) of -2.20, -0.72 and -0.67 are failed fits of the loss at infinite width: the same "
    "value recurs at unrelated weight decays.",
    f"{DAGGER} marks the cells where R(inf) is -0.5 or lower. The flag is ours, not the authors'; "
    "E and kappa of these cells are doubtful too.",
    "The intervals of the effects are ours: 90 %, Student's t on the standard errors of the "
    "regression. They assume that cells are independent and effects additive. The table "
    "contradicts the latter: ln alone harms, all four together do not. The intervals do not "
    "include the error of each released E.",
)


def published_report(name: str) -> tuple[str, dict[str, Any]]:
    """Build the report of `analyze --published`: conclusions recomputed from published numbers.

    Args:
        name: 'lingle2024' or 'kalra2026'.

    Returns:
        Plain text of at most 100 columns that ends in the citation, and the same as JSON data.

    Raises:
        ResultsError: The table does not exist.

    Example:
        >>> text, data = published_report("lingle2024")
        >>> data["experiments"][4]["experiment"], data["experiments"][4]["recomputed"]
        ('lion', False)
    """
    source = citation(name)
    head = {"schema": SCHEMA, "published": name, "citation": json_data(source)}
    if name == "lingle2024":
        checks = published_transfer()
        return _with_citation(format_transfer(checks), source), {**head, **_transfer_data(checks)}
    table = load_transfer_table()
    return _with_citation(format_hybrids(table), source), {**head, **_hybrids_data(table)}


def format_transfer(checks: Sequence[TransferCheck]) -> str:
    """Format disagreements, a table of verdicts and regrets, its notes, and its limits."""
    widths = sorted({width for check in checks for width in check.widths})
    notes = list(dict.fromkeys(note for check in checks for note in check.notes))
    marks = {note: chr(ord("a") + index) for index, note in enumerate(notes)}
    best = "".join(f"{width:>7g}" for width in widths)
    regret = "".join(f"{width:>7g}" for width in widths[1:])
    lines = [
        f"{'':26}{'best rate on the grid':>{len(best)}}  {'same rate':<13}"
        f"{'regret in nats':>{len(regret)}}",
        f"{'experiment, width':<26}{best}  {'cells':<6}{'paper':<7}{regret}  note",
        *(_format_row(check, widths, marks) for check in checks),
    ]
    agreeing = sum(check.agrees for check in checks)
    verdicts = sorted({check.verdict for check in checks})
    return "\n\n".join(
        [
            *(_format_disagreement(check) for check in checks if not check.agrees),
            "\n".join(line.rstrip() for line in lines),
            "\n".join(f"{mark}  {note}" for note, mark in marks.items()),
            _wrap(
                f"The cells confirm the paper's verdict in {agreeing} of {len(checks)} experiments."
                " The regret is the loss at the smallest width's best rate minus the best loss."
            ),
            _wrap(
                f"Our own verdict: {', '.join(verdicts)}. With one seed per cell and rates four "
                "times apart, noise cannot be distinguished from the shape of the curves, so this "
                "table cannot show whether a regret of a few thousandths exceeds the noise between "
                "seeds, or where the optimum lies between two rates."
            ),
        ]
    )


def format_hybrids(table: TransferTable) -> str:
    """Format E, kappa and R(inf) of every hybrid, the effect of each switch on E, and cautions."""
    failed = sum(cell.failed for cell in table.cells)
    medians = (f"  {name:<33} {median.value:.2g}" for name, median in _medians(table).items())
    return "\n\n".join(
        [
            _format_grid("E x 1000, lower is better", table, lambda cell: f"{1000 * cell.E:.3g}"),
            _format_grid("kappa, negative is robust", table, lambda cell: f"{cell.kappa:z.2f}"),
            _format_grid("R(inf) in nats", table, lambda cell: f"{cell.R_inf:z.2f}"),
            f"{len(table.cells)} cells; {failed} failed fits, marked {DAGGER}; - was not released",
            _format_effects(table, *LOW_DECAYS),
            _format_effects(table, *HIGH_DECAYS),
            "\n".join(["Median E:", *medians]),
            "\n".join(_wrap(f"- {caution}", indent="  ") for caution in _KALRA_CAUTIONS),
        ]
    )


def _format_row(check: TransferCheck, widths: Sequence[float], marks: dict[str, str]) -> str:
    """Format the line of one experiment."""
    best = dict(zip(check.widths, map(format_power, check.grid_log2_lr), strict=True))
    regrets = [check.regret.get(width) for width in widths[1:]]
    numbers = ["-" if r is None or r.value is None else f"{r.value:.3f}" for r in regrets]
    return (
        f"{check.experiment:<26}"
        + "".join(f"{best.get(width, '-'):>7}" for width in widths)
        + f"  {_yes_or_no(check.recomputed):<6}{_yes_or_no(check.printed):<7}"
        + "".join(f"{number:>7}" for number in numbers)
        + "  "
        + " ".join(marks[note] for note in check.notes)
    )


def _format_disagreement(check: TransferCheck) -> str:
    """Format a warning that cells and paper disagree."""
    return _wrap(
        f"DISAGREEMENT in {check.experiment}: the cells say {_yes_or_no(check.recomputed)}, the "
        f"paper says {_yes_or_no(check.printed)}. Check the cells before you quote either."
    )


def _format_grid(title: str, table: TransferTable, formatter: Callable[[TransferCell], str]) -> str:
    """Format one number of every cell, with a row per hybrid and a column per weight decay."""
    lines = [
        f"{title}; one column per weight decay",
        f"{'':<14}" + "".join(f"{decay:>8g} " for decay in table.weight_decays),
    ]
    for name in table.parametrizations:
        cells = [table.cell(name, decay) for decay in table.weight_decays]
        lines.append(
            f"{name:<14}"
            + "".join(
                f"{'-':>8} " if c is None else f"{formatter(c):>8}{DAGGER if c.failed else ' '}"
                for c in cells
            )
        )
    return "\n".join(line.rstrip() for line in lines)


def _format_effects(table: TransferTable, lowest: float, highest: float) -> str:
    """Format the effect of each switch on E in a range of weight decays."""
    effects = switch_effects(table, lowest=lowest, highest=highest)
    head = (
        f"From SP to µP, one switch at a time, weight decay {lowest:g} to {highest:g} "
        f"({effects[0].num_cells} cells; 90 % intervals):"
    )
    return "\n".join([head, *map(_format_effect, effects)])


def _format_effect(effect: Effect) -> str:
    """Format the factor by which one switch multiplies or divides E."""
    log10, factor = effect.log10, effect.factor
    assert log10.value is not None
    assert factor.value is not None
    assert factor.low is not None
    assert factor.high is not None
    sign, numbers = "x", (factor.value, factor.low, factor.high)
    if factor.value < 1:
        sign, numbers = "/", (1 / factor.value, 1 / factor.high, 1 / factor.low)
    caution = "  the interval includes no effect" if factor.low <= 1 <= factor.high else ""
    text = "E {} {:.2g} [{:.3g}, {:.3g}]".format(sign, *numbers)
    return f"  {effect.switch + ':':<6} {text:<22} log10 {log10.value:+.2f}{caution}"


def _medians(table: TransferTable) -> dict[str, Median]:
    """Return medians of E that isolate the effect of the embedding's rate."""
    low = LOW_DECAYS[1]
    return {
        "embd on, decay <= 0.001": median_e(table, on=["embd"], highest=low),
        "embd off, decay <= 0.001": median_e(table, off=["embd"], highest=low),
        "embd on, ln off, decay <= 0.001": median_e(table, on=["embd"], off=["ln"], highest=low),
        "embd off, decay 0": median_e(table, off=["embd"], highest=0.0),
        "embd off, decay >= 0.003": median_e(table, off=["embd"], lowest=HIGH_DECAYS[0]),
    }


def _transfer_data(checks: Sequence[TransferCheck]) -> dict[str, Any]:
    """Return the checks as JSON data."""
    return {
        "agreeing": sum(check.agrees for check in checks),
        "experiments": [
            {
                **json_data(check),
                "regret": {f"{w:g}": json_data(r) for w, r in check.regret.items()},
                "agrees": check.agrees,
            }
            for check in checks
        ],
    }


def _hybrids_data(table: TransferTable) -> dict[str, Any]:
    """Return the table, the effects and the medians as JSON data."""
    return {
        **json_data(table),
        "effects": [
            {
                "lowest": lowest,
                "highest": highest,
                "switches": json_data(switch_effects(table, lowest=lowest, highest=highest)),
            }
            for lowest, highest in (LOW_DECAYS, HIGH_DECAYS)
        ],
        "medians_of_E": json_data(_medians(table)),
        "cautions": list(_KALRA_CAUTIONS),
    }


def _with_citation(body: str, source: Citation) -> str:
    """Append the citation to a report."""
    lines = (
        f"Cite: {source}",
        f"Numbers: {source.numbers}",
        f"License: {source.license}",
        f"Open: {' '.join(source.not_known)}",
    )
    return body + "\n\n" + "\n".join(_wrap(line, indent="  ") for line in lines)


def _wrap(text: str, indent: str = "") -> str:
    """Break a paragraph into lines."""
    return textwrap.fill(text, COLUMNS, subsequent_indent=indent, break_on_hyphens=False)


def _yes_or_no(value: bool) -> str:
    """Format a verdict."""
    return "yes" if value else "no"
