"""Regret matrix as numbers: the cost of every width's best rate at every larger width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mutransfer.report.format import format_percent, format_width

if TYPE_CHECKING:
    from mutransfer.analysis import CarriedRegret, GroupReport

State = Literal["below", "above", "undetermined"]

STATES: tuple[State, ...] = ("below", "above", "undetermined")
SMALL = 1e-4  # of the loss; cells are narrow, so that a smaller share is written as less than this


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a regret matrix."""

    proxy: float  # the width that the rate was tuned at
    target: float  # the larger width that it is used at
    share: str  # the regret as a share of the best loss
    bound: str  # its one-sided 95 % bound
    state: State  # the side of the threshold on which it is with 95 % confidence
    reason: str | None  # why a number is missing


def matrix_cells(group: GroupReport, threshold: float) -> tuple[Cell, ...]:
    """Return the cells of one group's matrix in rising order of proxies."""
    return tuple(
        Cell(
            proxy=regret.proxy,
            target=regret.target,
            share="–" if regret.share.value is None else _short_percent(regret.share.value),
            bound=_bound(regret),
            state=cell_state(regret, threshold),
            reason=regret.share.undetermined,
        )
        for regret in group.regret_matrix
    )


def cell_state(regret: CarriedRegret, threshold: float) -> State:
    """Return the side of the threshold on which a regret is, by the rule of the verdict.

    Example:
        >>> from mutransfer.analysis import CarriedRegret, Estimate
        >>> cost, none = Estimate(0.02, 0.0, 0.03), Estimate()
        >>> cell_state(CarriedRegret(32, 64, cost, cost.times(0.5), none), threshold=0.02)
        'below'
    """
    if regret.share.high is not None and regret.share.high <= threshold:
        return "below"
    if regret.share.low is not None and regret.share.low > threshold:
        return "above"
    return "undetermined"


def worst_regret(group: GroupReport) -> CarriedRegret | None:
    """Return the pair with the highest upper bound, or without bounds the highest value."""
    return max(
        (regret for regret in group.regret_matrix if regret.share.value is not None),
        key=lambda regret: (regret.share.high is None, regret.share.high or regret.share.value),
        default=None,
    )


def worst_regret_text(group: GroupReport) -> str:
    """Format the worst pair."""
    worst = worst_regret(group)
    if worst is None:
        return "–"
    pair = f"{format_width(worst.proxy)} → {format_width(worst.target)}"
    return f"{format_percent(worst.share.value)} ({pair})"


def _bound(regret: CarriedRegret) -> str:
    """Format the upper bound, or without one the lower bound."""
    if regret.share.high is not None:
        return f"≤ {format_percent(max(regret.share.high, SMALL))}"
    return f"≥ {format_percent(regret.share.low)}" if regret.share.low else ""


def _short_percent(share: float) -> str:
    """Format a share for a narrow cell."""
    return f"<{format_percent(SMALL)}" if 0 < share < SMALL else format_percent(share)
