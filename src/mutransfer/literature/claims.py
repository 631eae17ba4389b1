"""The claims of arXiv:2605.21486, with their evidence and the released numbers behind them."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from functools import cache

from mutransfer.literature.effects import median_e, switch_effects
from mutransfer.literature.hybrids import TransferCell, load_transfer_table
from mutransfer.literature.sources import read_table

NAME = "kalra2026"
LOW_DECAY = 1e-3  # E behaves alike up to it, and differently above
HIGH_DECAY = 3e-3
# Keys of the column `evidence`.
CERTAINTY = {
    "abstract": "stated in the paper's abstract",
    "released": "read in the numbers that the authors released, not in the paper's words",
    "other": "not of this paper: the theory of arXiv:2506.15025 says so",
    "reading": "our reading of the paper's abstract, which says that almost all of µP's benefit "
    "under AdamW comes from the embedding's rate",
}


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim of a paper.

    Args:
        name: Its name here.
        text: The claim, in our words.
        certainty: How it is known, as a clause.
        numbers: The published numbers that bear on it, as a clause; empty where there are none.
        studies: Names of the studies that test it; empty where none does.

    Example:
        >>> claim = published_claims()["without-embedding"]
        >>> claim.numbers.partition(";")[0]
        'E is 0.0011 (mup) and 0.065† (mup-embd) without decay'
        >>> claim.studies
        ('embedding-rate', 'hybrids')
    """

    name: str
    text: str
    certainty: str
    numbers: str
    studies: tuple[str, ...]


@cache
def published_claims() -> dict[str, Claim]:
    """Return the claims of arXiv:2605.21486 by their names.

    Source:
        The paper's abstract, and the table released with it; see `CERTAINTY` for each claim.

    Example:
        >>> [name for name, claim in published_claims().items() if not claim.studies]
        ['theory']
    """
    return {
        row["claim"]: Claim(
            name=row["claim"],
            text=row["text"],
            certainty=CERTAINTY[row["evidence"]],
            numbers=_numbers(row["metric"], tuple(row["hybrids"].split())),
            studies=tuple(row["studies"].split()),
        )
        for row in read_table(f"{NAME}-claims.csv")
    }


def _numbers(metric: str, hybrids: tuple[str, ...]) -> str:
    """Format the released numbers of some hybrids, or what the whole table says."""
    if metric == "effects":
        return _effects()
    if metric == "decay":
        return _medians_by_decay()
    if not metric:
        return ""
    symbol = {"E": "E", "R_inf": "R(∞)"}[metric]
    has_failed = any(_has_failed(name) for name in hybrids)
    values = _listed([f"{_at_zero(metric, name)} ({name})" for name in hybrids])
    return (
        f"{symbol} is {values} without decay; medians up to a decay of {LOW_DECAY:g} are "
        f"{_listed([_median(metric, name) for name in hybrids])}"
        f"{'; † the fit of its R(∞) failed, so its E is doubtful' if has_failed else ''}"
    )


def _at_zero(metric: str, name: str) -> str:
    """Format the released number of a hybrid without decay."""
    cell = load_transfer_table().cell(name, 0.0)
    if cell is None:
        return "not released"
    return _format(metric, _number(metric, cell)) + ("†" if _has_failed(name) else "")


def _has_failed(name: str) -> bool:
    """Return whether the fit behind a hybrid's released numbers without decay failed."""
    cell = load_transfer_table().cell(name, 0.0)
    return cell is not None and cell.failed


def _median(metric: str, name: str) -> str:
    """Format the median of a hybrid's released numbers over low decays."""
    cells = (cell for cell in load_transfer_table().cells if cell.parametrization == name)
    values = [_number(metric, cell) for cell in cells if cell.weight_decay <= LOW_DECAY]
    return _format(metric, statistics.median(values))


def _number(metric: str, cell: TransferCell) -> float:
    """Return one number of a cell."""
    return {"E": cell.E, "R_inf": cell.R_inf}[metric]


def _format(metric: str, value: float) -> str:
    """Format E with two digits, and a gap of losses with its sign."""
    return f"{value:.2g}" if metric == "E" else f"{value:+.2f}"


def _effects() -> str:
    """Format the effects of the switches on the released E."""
    effects = switch_effects(load_transfer_table(), highest=LOW_DECAY)
    factors = [
        f"{'×' if (value := effect.log10.value or 0.0) > 0 else '÷'} {10 ** abs(value):.2g} "
        f"({effect.switch})"
        for effect in effects
    ]
    return f"over decays up to {LOW_DECAY:g}, E changes by {_listed(factors)}; a regression of ours"


def _medians_by_decay() -> str:
    """Format the medians of the released E without decay and with it."""
    table = load_transfer_table()
    ranges = ((0.0, 0.0), (1e-4, LOW_DECAY), (HIGH_DECAY, math.inf))
    parts = []
    for words, on, off in (("without `embd`", (), ("embd",)), ("with it", ("embd",), ())):
        medians = [median_e(table, on=on, off=off, lowest=a, highest=b) for a, b in ranges]
        parts.append(f"{words} {', '.join(f'{median.value:.2g}' for median in medians)}")
    return (
        f"the median of E without decay, up to {LOW_DECAY:g} and from {HIGH_DECAY:g} on is "
        f"{' and '.join(parts)}"
    )


def _listed(items: list[str]) -> str:
    """Join items as a sentence does."""
    return f"{', '.join(items[:-1])} and {items[-1]}"
