"""This file is what published tables say, as text and as JSON data. No torch."""

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
COLUMNS = 100
DAGGER = "†"
LOW_DECAYS, HIGH_DECAYS = (0.0, 1e-3), (3e-3, 1e-2)  # where E behaves alike

_KALRA_CAUTIONS = (
    "kappa is bimodal (modes near +0.6 and -3.4) and jumps between neighbouring weight decays, as "
    "an exponent does that sits on a bound of its fit: take the definition, not single values.",
    "R(inf) of -2.20, -0.72 and -0.67 are failed fits of the loss at infinite width: the same "
    "value recurs at unrelated weight decays.",
    f"{DAGGER} marks the cells where R(inf) is -0.5 or lower. The flag is ours, not the authors'; "
    "E and kappa of these cells are doubtful too.",
    "The intervals of the effects are ours: 90 %, Student's t on the standard errors of the "
    "regression, cells taken as independent and effects as adding up. The table contradicts the "
    "latter: ln alone harms, all four together do not. They say nothing about the error of each "
    "released E.",
)


def published_answer(name: str) -> tuple[str, dict[str, Any]]:
    """Answer `analyze --published`: recompute what a paper's own numbers say.

    Args:
        name: 'lingle2024' or 'kalra2026'.

    Returns:
        Plain text of at most 100 columns, and the same as data for `json.dump`.

    Raises:
        ResultsError: There is no such table.

    Source:
        arXiv:2404.05728 and arXiv:2605.21486; both texts end in the citation.

    Example:
        >>> text, data = published_answer("lingle2024")
        >>> data["experiments"][4]["experiment"], data["experiments"][4]["recomputed"]
        ('lion', False)
    """
    cited = citation(name)
    head = {"schema": SCHEMA, "published": name, "citation": json_data(cited)}
    if name == "lingle2024":
        checks = published_transfer()
        return _page(transfer_text(checks), cited), {**head, **_transfer_data(checks)}
    table = load_transfer_table()
    return _page(hybrids_text(table), cited), {**head, **_hybrids_data(table)}


def transfer_text(checks: Sequence[TransferCheck]) -> str:
    """Show verdicts recomputed from cells beside the printed ones, and the regrets.

    Args:
        checks: One per experiment.

    Returns:
        A table, its notes, and what one seed cannot tell. Disagreements come first.
    """
    widths = sorted({width for check in checks for width in check.widths})
    notes = list(dict.fromkeys(note for check in checks for note in check.notes))
    marks = {note: chr(ord("a") + index) for index, note in enumerate(notes)}
    best = "".join(f"{width:>7g}" for width in widths)
    regret = "".join(f"{width:>7g}" for width in widths[1:])
    lines = [
        f"{'':26}{'best rate on the grid':>{len(best)}}  {'same rate':<13}"
        f"{'regret in nats':>{len(regret)}}",
        f"{'experiment, width':<26}{best}  {'cells':<6}{'paper':<7}{regret}  note",
        *(_transfer_row(check, widths, marks) for check in checks),
    ]
    agree = sum(check.agrees for check in checks)
    return "\n\n".join(
        [
            *(_disagreement(check) for check in checks if not check.agrees),
            "\n".join(line.rstrip() for line in lines),
            "\n".join(f"{mark}  {note}" for note, mark in marks.items()),
            _wrapped(
                f"The cells give the paper's verdict in {agree} of {len(checks)} experiments. The "
                "regret is the loss at the smallest width's best rate minus the best loss."
            ),
            _own_verdict(checks),
        ]
    )


def hybrids_text(table: TransferTable) -> str:
    """Show E, kappa and R(inf) of every hybrid and decay, and what the four switches do to E.

    Args:
        table: The released cells.

    Returns:
        Three tables, effects with intervals, medians, and cautions.
    """
    failed = sum(cell.failed for cell in table.cells)
    return "\n\n".join(
        [
            _grid("E x 1000, lower is better", table, lambda cell: _digits(1000 * cell.E)),
            _grid("kappa, negative is robust", table, lambda cell: f"{cell.kappa:z.2f}"),
            _grid("R(inf) in nats", table, lambda cell: f"{cell.R_inf:z.2f}"),
            f"{len(table.cells)} cells; {failed} failed fits, marked {DAGGER}; - was not released",
            _effects_text(table, *LOW_DECAYS),
            _effects_text(table, *HIGH_DECAYS),
            _medians_text(table),
            "\n".join(_wrapped(f"- {caution}", indent="  ") for caution in _KALRA_CAUTIONS),
        ]
    )


def _transfer_row(check: TransferCheck, widths: Sequence[float], marks: dict[str, str]) -> str:
    """Write one experiment's line."""
    best = dict(zip(check.widths, map(format_power, check.grid_log2_lr), strict=True))
    regrets = [check.regret.get(width) for width in widths[1:]]
    numbers = ["-" if r is None or r.value is None else f"{r.value:.3f}" for r in regrets]
    return (
        f"{check.experiment:<26}"
        + "".join(f"{best.get(width, '-'):>7}" for width in widths)
        + f"  {_mark(check.recomputed):<6}{_mark(check.printed):<7}"
        + "".join(f"{number:>7}" for number in numbers)
        + "  "
        + " ".join(marks[note] for note in check.notes)
    )


def _disagreement(check: TransferCheck) -> str:
    """Say loudly that cells and paper differ."""
    return _wrapped(
        f"DISAGREEMENT in {check.experiment}: the cells say {_mark(check.recomputed)}, the paper "
        f"says {_mark(check.printed)}. Do not quote either before the cells were checked."
    )


def _own_verdict(checks: Sequence[TransferCheck]) -> str:
    """Say what we would answer to these cells."""
    answers = sorted({check.verdict for check in checks})
    return _wrapped(
        f"Our own verdict: {', '.join(answers)}. With one seed per cell there is no interval, so "
        "nobody can tell from this table whether a regret of a few thousandths is more than the "
        "noise of a seed, nor where between rates four times apart the best one lies."
    )


def _grid(title: str, table: TransferTable, shown: Callable[[TransferCell], str]) -> str:
    """Write one number of every cell: hybrids down, weight decays across."""
    lines = [
        f"{title}; weight decay across",
        f"{'':<14}" + "".join(f"{decay:>8g} " for decay in table.weight_decays),
    ]
    for name in table.parametrizations:
        cells = [table.cell(name, decay) for decay in table.weight_decays]
        lines.append(
            f"{name:<14}"
            + "".join(
                f"{'-':>8} " if c is None else f"{shown(c):>8}{DAGGER if c.failed else ' '}"
                for c in cells
            )
        )
    return "\n".join(line.rstrip() for line in lines)


def _effects_text(table: TransferTable, lowest: float, highest: float) -> str:
    """Say what each switch does to E in one range of weight decays."""
    effects = switch_effects(table, lowest=lowest, highest=highest)
    head = (
        f"From SP to µP, one switch at a time, weight decay {lowest:g} to {highest:g} "
        f"({effects[0].num_cells} cells; 90 % intervals):"
    )
    return "\n".join([head, *map(_effect_text, effects)])


def _effect_text(effect: Effect) -> str:
    """Say by how much one switch multiplies or divides E."""
    log10, factor = effect.log10, effect.factor
    assert log10.value is not None
    assert factor.value is not None
    assert factor.low is not None
    assert factor.high is not None
    sign, shown = "x", (factor.value, factor.low, factor.high)
    if factor.value < 1:
        sign, shown = "/", (1 / factor.value, 1 / factor.high, 1 / factor.low)
    unsure = "  no effect is not excluded" if factor.low <= 1 <= factor.high else ""
    found = "E {} {:.2g} [{:.3g}, {:.3g}]".format(sign, *shown)
    return f"  {effect.switch + ':':<6} {found:<22} log10 {log10.value:+.2f}{unsure}"


def _medians(table: TransferTable) -> dict[str, Median]:
    """Give the medians of E that tell what the embedding rate does."""
    return {
        "embd on, decay <= 0.001": median_e(table, on=["embd"], highest=LOW_DECAYS[1]),
        "embd off, decay <= 0.001": median_e(table, off=["embd"], highest=LOW_DECAYS[1]),
        "embd on, ln off, decay <= 0.001": median_e(
            table, on=["embd"], off=["ln"], highest=LOW_DECAYS[1]
        ),
        "embd off, decay 0": median_e(table, off=["embd"], highest=0.0),
        "embd off, decay >= 0.003": median_e(table, off=["embd"], lowest=HIGH_DECAYS[0]),
    }


def _medians_text(table: TransferTable) -> str:
    """Write the medians."""
    lines = [f"  {name:<33} {m.value:.2g}" for name, m in _medians(table).items()]
    return "\n".join(["Median E:", *lines])


def _transfer_data(checks: Sequence[TransferCheck]) -> dict[str, Any]:
    """Give the checks as plain data."""
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
    """Give the table, the effects and the medians as plain data."""
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


def _page(body: str, cited: Citation) -> str:
    """Put the citation under the numbers."""
    source = [
        _wrapped(f"Cite: {cited}", indent="  "),
        _wrapped(f"Numbers: {cited.numbers}", indent="  "),
        _wrapped(f"Licence: {cited.license}", indent="  "),
        _wrapped(f"Not known: {' '.join(cited.not_known)}", indent="  "),
    ]
    return body + "\n\n" + "\n".join(source)


def _wrapped(text: str, indent: str = "") -> str:
    """Break a paragraph into lines."""
    return textwrap.fill(text, COLUMNS, subsequent_indent=indent, break_on_hyphens=False)


def _mark(transfers: bool) -> str:
    """Write a mark."""
    return "yes" if transfers else "no"


def _digits(value: float) -> str:
    """Write three digits."""
    return f"{value:.3g}"
