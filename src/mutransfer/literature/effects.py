"""Effect on E of each switch from SP to µP: a regression, and medians, over released cells."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from mutransfer.analysis import Estimate
from mutransfer.errors import ResultsError, listed, nearest
from mutransfer.literature.hybrids import SWITCHES, TransferCell, TransferTable, switches_on

LEVEL = 0.90  # of the intervals, as in the analysis


@dataclass(frozen=True, slots=True)
class Effect:
    """Effect on E of turning one switch from SP to µP, with the other three unchanged.

    Args:
        switch: 'embd', 'ln', 'attn' or 'last'.
        log10: Change of log10 E; 90 % interval.
        factor: The factor by which E changes; 90 % interval.
        num_cells: Number of cells in the regression.
    """

    switch: str
    log10: Estimate
    factor: Estimate
    num_cells: int


@dataclass(frozen=True, slots=True)
class Median:
    """The median of E over cells.

    Args:
        value: The median.
        num_cells: Number of cells.
    """

    value: float
    num_cells: int


def switch_effects(
    table: TransferTable, *, lowest: float = 0.0, highest: float = math.inf
) -> tuple[Effect, ...]:
    """Regress log10 E on the four switches, over a range of weight decays.

    Ordinary least squares with an intercept over every released cell in the range. Flagged cells
    are included, because the flag concerns R(inf). The intervals come from Student's t and assume
    that cells are independent and effects additive; neither assumption is verified.

    Args:
        table: The released cells.
        lowest: Lowest weight decay, included.
        highest: Highest weight decay, included.

    Returns:
        One effect per switch, in the order of `SWITCHES`.

    Raises:
        ResultsError: The range has too few cells for four effects and an interval.

    Source:
        Computed here from the table released with arXiv:2605.21486.

    Example:
        >>> from mutransfer.literature import load_transfer_table
        >>> for effect in switch_effects(load_transfer_table(), highest=1e-3):
        ...     print(effect.switch, f"{effect.log10.value:+.2f}", effect.num_cells)
        embd -1.14 76
        ln +0.93 76
        attn -0.43 76
        last -0.13 76
    """
    cells = _between(table, lowest, highest)
    switches = [switches_on(cell.parametrization) for cell in cells]
    design = np.array([[1.0, *(float(s in on) for s in SWITCHES)] for on in switches])
    degrees = len(cells) - len(SWITCHES) - 1
    if degrees < 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        raise ResultsError(
            f"{len(cells)} cells have a weight decay from {lowest:g} to {highest:g}",
            why="four effects, an intercept and their errors need at least six cells",
            fix=f"widen the range: the table has {table.weight_decays[0]:g} to "
            f"{table.weight_decays[-1]:g}",
        )
    log10_E = np.log10([cell.E for cell in cells])
    inverse = np.linalg.inv(design.T @ design)
    coefficients = inverse @ design.T @ log10_E
    variance = float(np.sum((log10_E - design @ coefficients) ** 2)) / degrees
    half_widths = _t_quantile(degrees) * np.sqrt(variance * np.diag(inverse))
    intervals = zip(SWITCHES, coefficients[1:], half_widths[1:], strict=True)
    return tuple(
        _effect(switch, float(value), float(half_width), len(cells))
        for switch, value, half_width in intervals
    )


def median_e(
    table: TransferTable,
    *,
    on: Collection[str] = (),
    off: Collection[str] = (),
    lowest: float = 0.0,
    highest: float = math.inf,
) -> Median:
    """Compute the median of E over hybrids with some switches on and others off.

    Args:
        table: The released cells.
        on: Switches that must be on.
        off: Switches that must be off.
        lowest: Lowest weight decay, included.
        highest: Highest weight decay, included.

    Raises:
        ResultsError: A switch does not exist, or no cell remains.

    Example:
        >>> from mutransfer.literature import load_transfer_table
        >>> median_e(load_transfer_table(), off=["embd"], highest=1e-3).num_cells
        36
    """
    if unknown := [switch for switch in [*on, *off] if switch not in SWITCHES]:
        raise ResultsError(
            f"there is no switch {listed(unknown)}",
            why="a misspelled switch would select other hybrids",
            fix=nearest(unknown[0], SWITCHES),
        )
    cells = [(switches_on(c.parametrization), c.E) for c in _between(table, lowest, highest)]
    values = [E for switches, E in cells if set(on) <= switches and not set(off) & switches]
    if not values:
        raise ResultsError(
            "no released cell has these switches in this range of weight decays",
            why="a median needs at least one cell",
            fix="choose fewer switches or a wider range of weight decays",
        )
    return Median(statistics.median(values), len(values))


def _effect(switch: str, value: float, half_width: float, num_cells: int) -> Effect:
    """Return an effect with its interval, on log10 E and as a factor on E."""
    low, high = value - half_width, value + half_width
    return Effect(
        switch, Estimate(value, low, high), Estimate(10**value, 10**low, 10**high), num_cells
    )


def _between(table: TransferTable, lowest: float, highest: float) -> list[TransferCell]:
    """Return the cells in a range of weight decays."""
    return [cell for cell in table.cells if lowest <= cell.weight_decay <= highest]


def _t_quantile(degrees: int) -> float:
    """Return the half width of a central 90 % interval of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + LEVEL / 2))
