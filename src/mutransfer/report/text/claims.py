"""Terminal text of a paper's claims and one's own trials: claim by claim, then the numbers."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mutransfer.errors import counted
from mutransfer.rules.formatting.columns import align_columns

COLUMNS = 100  # of the terminal
CLAIM_HEADINGS = {
    "agrees": "Agrees with the paper",
    "disagrees": "Disagrees with the paper",
    "undetermined here": "Undetermined at this scale",
    "not tested": "Not tested",
}

Data = Mapping[str, Any]
Formatter = Callable[[float], str]
Table = list[tuple[str, ...]]  # rows of cells, the head first


def format_claims(data: Data) -> str:
    """Format the claims of a comparison's JSON data, and the numbers behind them.

    Args:
        data: What `ClaimComparison.to_json` returns.
    """
    blocks = [_wrap(f"Paper: {data['paper']}", "  "), claim_summary(data)]
    for outcome, heading in CLAIM_HEADINGS.items():
        rows = [row for row in data["claims"] if row["outcome"] == outcome]
        if rows:
            head = f"{heading}: {counted(len(rows), 'judgement')}"
            blocks.append("\n\n".join([head, *map(format_judgement, rows)]))
    blocks += [_effects(effects) for effects in data["effects"]]
    blocks += [block for study in data["studies"] for block in (_groups(study), _pairs(study))]
    if data["not_run"]:
        names = ", ".join(data["not_run"])
        blocks.append(_wrap(f"Not run yet: {names}: mutransfer studies run NAME", "  "))
    return "\n\n".join([*filter(None, blocks), LEGEND])


def format_judgement(row: Data) -> str:
    """Format one claim: what the paper says, what our trials say, and whether they agree.

    Args:
        row: One of the `claims` of a comparison's JSON data.
    """
    numbers = f"; {row['numbers']}" if row["numbers"] else ""
    study = f" ({row['study']})" if row["study"] else ""
    lines = (
        ("claim", row["claim"] + study),
        ("the paper", f"{row['text']} ({row['certainty']}{numbers})"),
        ("here", row["why"]),
        ("together", row["outcome"]),
    )
    return "\n".join(_named(name, text) for name, text in lines)


def claim_summary(data: Data) -> str:
    """Return how many claims have each outcome, in one sentence.

    Example:
        >>> claim_summary({"counts": {"agrees": 2, "disagrees": 0, "not tested": 1}})
        'Claims, by each study that tests them: 2 agrees, 1 not tested.'
    """
    counts = [f"{num} {outcome}" for outcome, num in data["counts"].items() if num]
    return f"Claims, by each study that tests them: {', '.join(counts)}."


def effect_rows(effects: Data) -> Table:
    """Return the table of the switches' effects on log10 E: ours, and those of the paper's cells.

    Args:
        effects: One of the `effects` of a comparison's JSON data.
    """
    published = list(effects["switches"][0]["published"])
    rows: Table = [("switch", "here", "error", *(f"paper, {words}" for words in published))]
    for row in effects["switches"]:
        error = "?" if row["error"] is None else f"{row['error']:.2f}"
        theirs = (row["published"][words] for words in published)
        rows.append(
            (
                row["switch"],
                number(row["log10"], signed(2)),
                error,
                *("–" if own is None else number(own, signed(2)) for own in theirs),
            )
        )
    return rows


def group_rows(study: Data) -> Table:
    """Return the table of a study's groups.

    Args:
        study: One of the `studies` of a comparison's JSON data.
    """
    rows: Table = [("group", "E", "of noise", "κ", "R(∞)")]
    for group in study["groups"]:
        rows.append(
            (
                group["group"],
                number(group["E"], "{:.2g}".format),
                number(group["noise_floor"], "{:.2g}".format),
                number(group["kappa"], signed(2)),
                number(group["R_inf"], signed(2)),
            )
        )
    return rows


def regret_rows(study: Data) -> Table:
    """Return the table of regrets in two units of rates; empty where no claim needs it.

    Args:
        study: One of the `studies` of a comparison's JSON data.
    """
    if not any(group["in_mup_gauge"] for group in study["groups"]):
        return []
    rows: Table = [("group", "regret", "regret in µP's units", "drift in its own")]
    for group in study["groups"]:
        moved = group["in_mup_gauge"]
        shares = (number(own["regret_share"], percent) for own in (group, moved))
        rows.append((group["group"], *shares, number(group["drift"], signed(2))))
    return rows


def pair_rows(study: Data) -> Table:
    """Return the table of the differences between a study's groups; only a head without any.

    Args:
        study: One of the `studies` of a comparison's JSON data.
    """
    rows: Table = [("groups", "log10 E", "κ", "R(∞)", "best loss at the largest width")]
    for pair in study["differences"]:
        rows.append(
            (
                f"{pair['group']} − {pair['reference']}",
                number(pair["log10_E"], signed(2)),
                number(pair["kappa"], signed(2)),
                number(pair["R_inf"], signed(2)),
                number(pair["loss"], signed(3)),
            )
        )
    return rows


def number(estimate: Data, formatter: Formatter) -> str:
    """Format a value with its interval; a missing end is '?', and so is a missing value."""
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    if value is None:
        return f"≥ {formatter(low)}" if low else "?"
    if low is None and high is None:
        return formatter(value)
    ends = ("?" if end is None else formatter(end) for end in (low, high))
    return f"{formatter(value)} [{', '.join(ends)}]"


def percent(share: float) -> str:
    """Format a share as a percentage of at most three decimals.

    Example:
        >>> percent(0.1291), percent(0.00685), percent(2e-8)
        ('12.9 %', '0.685 %', '0 %')
    """
    return f"{round(100 * share, 3):.3g} %"


def signed(digits: int) -> Formatter:
    """Return a formatter of differences."""
    return lambda value: f"{value:+z.{digits}f}"


def _effects(effects: Data) -> str:
    """Format the effects of the switches."""
    head = (
        f"{effects['study']}: effect of each switch on log10 E, over {effects['num_hybrids']} "
        "hybrids"
    )
    return "\n".join([head, *_indented(effect_rows(effects))])


def _groups(study: Data) -> str:
    """Format the groups of a study."""
    widths = ", ".join(f"{width:g}" for width in study["widths"])
    tables = [group_rows(study), *filter(None, [regret_rows(study)])]
    lines = [f"{study['study']}: widths {widths}", *_indented(tables[0])]
    return "\n".join([*lines, *(line for rows in tables[1:] for line in ("", *_indented(rows)))])


def _pairs(study: Data) -> str:
    """Format the differences between a study's groups; empty without any."""
    if not study["differences"]:
        return ""
    head = f"{study['study']}: differences, where seeds are shared in pairs"
    # A line has no room for the loss, which is in the page and in the JSON.
    return "\n".join([head, *_indented([row[:-1] for row in pair_rows(study)])])


def _indented(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Align the columns of a table."""
    return [f"  {line}" for line in align_columns(rows)]


def _named(name: str, text: str) -> str:
    """Format a named line that continues under its text."""
    return textwrap.fill(
        text, COLUMNS, initial_indent=f"{name:<11}", subsequent_indent=" " * 11,
        break_on_hyphens=False,
    )  # fmt: skip


def _wrap(text: str, indent: str) -> str:
    """Break a paragraph into lines."""
    return textwrap.fill(text, COLUMNS, subsequent_indent=indent, break_on_hyphens=False)


LEGEND = "\n".join(
    _wrap(line, "  ")
    for line in (
        "E: mean squared residual of the joint fit, in nats², and that of noise alone. κ: "
        "robustness, negative is robust. R(∞): loss at infinite width from the lower envelope, in "
        "nats. Intervals hold 90 %; ? is an end or a value that these trials do not determine.",
        "regret: of the smallest width's rate at the largest, as a share of the loss. It and the "
        "drift depend on the units of rates. A hybrid without `embd` is the same family of "
        "trainings if its rates are named times width, as µP's are. That SP does not transfer in "
        "its own units is therefore partly a statement about units: see the columns in µP's units. "
        "E, κ, R(∞) and best losses depend on no units.",
    )
)
