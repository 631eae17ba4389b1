"""This file is the regret matrix: what every width's best rate costs at every larger one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mutransfer.report.format import escaped, group_title, share_text, width_text
from mutransfer.report.page.footnotes import Footnotes

if TYPE_CHECKING:
    from mutransfer.analysis import CarriedRegret, GroupReport, Report

State = Literal["below", "above", "open"]

STATES: tuple[State, ...] = ("below", "above", "open")
MOST_MATRICES = 6  # groups; of more, the table of groups has the worst pair
SMALL = 1e-4  # of the loss; less is told as less, for cells are narrow
MARKS = {"below": "✓", "above": "✗", "open": "?"}
CLASSES = {"below": "yes", "above": "no", "open": "open"}
TOLD = {"below": "below", "above": "above", "open": "not decided"}
SPOKEN = {"below": "below the threshold", "above": "above the threshold", "open": "not decided"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a regret matrix.

    Args:
        proxy: The width that the rate was tuned at.
        target: The larger width that it is used at.
        share: The regret as a share of the best loss, in words.
        bound: Its one-sided 95 % bound, in words.
        state: Which side of the threshold it is on with 95 % confidence, or 'open'.
        reason: Why a number is missing, or None.
    """

    proxy: float
    target: float
    share: str
    bound: str
    state: State
    reason: str | None


def cells_of(group: GroupReport, threshold: float) -> tuple[Cell, ...]:
    """Give the cells of one group's matrix, proxies rising."""
    return tuple(
        Cell(
            proxy=one.proxy,
            target=one.target,
            share="–" if one.share.value is None else _brief(one.share.value),
            bound=_bound(one),
            state=state_of(one, threshold),
            reason=one.share.undetermined,
        )
        for one in group.regret_matrix
    )


def state_of(one: CarriedRegret, threshold: float) -> State:
    """Say on which side of the threshold a regret is, by the rule of the verdict.

    Example:
        >>> from mutransfer.analysis import CarriedRegret, Estimate
        >>> cost, none = Estimate(0.02, 0.0, 0.03), Estimate()
        >>> state_of(CarriedRegret(32, 64, cost, cost.times(0.5), none), threshold=0.02)
        'below'
    """
    if one.share.high is not None and one.share.high <= threshold:
        return "below"
    if one.share.low is not None and one.share.low > threshold:
        return "above"
    return "open"


def worst(group: GroupReport) -> CarriedRegret | None:
    """Give the pair with the highest upper bound; of pairs without bounds the highest value."""
    known = [one for one in group.regret_matrix if one.share.value is not None]
    return max(
        known,
        key=lambda one: (one.share.high is None, one.share.high or one.share.value),
        default=None,
    )


def worst_text(group: GroupReport) -> str:
    """Write the worst pair."""
    one = worst(group)
    if one is None:
        return "–"
    return f"{share_text(one.share.value)} ({width_text(one.proxy)} → {width_text(one.target)})"


def matrices(report: Report) -> str:
    """Write one matrix per group, as HTML; of many groups none."""
    if len(report) > MOST_MATRICES:
        return ""
    blocks = []
    for name, group in report.items():
        title = escaped(group_title(report, name))
        cells = cells_of(group, report.threshold)
        if not cells:
            told = f"{escaped(report.scale)}: one value only, so no rate was carried"
            blocks.append(f'<div class="panel"><h3>{title}</h3><p class="note">{told}</p></div>')
            continue
        blocks.append(f'<div class="panel"><h3>{title}</h3>{_matrix(report, name, cells)}</div>')
    return f'<div class="panels matrices">{"".join(blocks)}</div>'


def _matrix(report: Report, name: str, cells: Sequence[Cell]) -> str:
    """Write one group's table."""
    notes = Footnotes()
    proxies = sorted({cell.proxy for cell in cells})
    targets = sorted({cell.target for cell in cells})
    at = {(cell.proxy, cell.target): cell for cell in cells}
    head = "".join(f'<th scope="col">{width_text(target)}</th>' for target in targets)
    body = ""
    for proxy in proxies:
        row = "".join(_cell(at.get((proxy, target)), notes) for target in targets)
        body += f'<tr><th scope="row">{width_text(proxy)}</th>{row}</tr>\n'
    label = escaped(f"regret matrix of {group_title(report, name)}")
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">'
        f'<table class="matrix">'
        f'<thead><tr><td class="corner">tuned ↓ used →</td>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{notes.told()}"
    )


def _cell(cell: Cell | None, notes: Footnotes) -> str:
    """Write one cell: a mark, the share and its bound."""
    if cell is None:
        return "<td></td>"
    mark = f'<span role="img" aria-label="{SPOKEN[cell.state]}">{MARKS[cell.state]}</span> '
    bound = f"<small>{escaped(cell.bound)}</small>" if cell.bound else ""
    note = notes.mark(cell.reason)
    return f'<td class="{CLASSES[cell.state]}">{mark}{escaped(cell.share)}{note}{bound}</td>'


def _bound(one: CarriedRegret) -> str:
    """Write the bound that tells most."""
    if one.share.high is not None:
        return f"≤ {share_text(max(one.share.high, SMALL))}"
    return f"≥ {share_text(one.share.low)}" if one.share.low else ""


def _brief(share: float) -> str:
    """Write a share for a small cell."""
    return f"<{share_text(SMALL)}" if 0 < share < SMALL else share_text(share)
