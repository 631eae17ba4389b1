"""Effect on E of each switch from SP to µP: regressions of released cells and of own trials."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mutransfer.analysis import Estimate
from mutransfer.analysis.results import as_floats
from mutransfer.errors import ResultsError, listed, nearest
from mutransfer.literature.hybrids import SWITCHES, TransferCell, TransferTable, switches_on
from mutransfer.literature.regression import Floats, Regression, regress

TWO_SIDES = 2 * 1.6448536  # standard deviations of a normal distribution in a 90 % interval


@dataclass(frozen=True, slots=True)
class Effect:
    """Effect on E of turning one switch from SP to µP, with the other three unchanged.

    Args:
        switch: 'embd', 'ln', 'attn' or 'last'; several joined by '+' that are on together.
        log10: Change of log10 E; 90 % interval.
        factor: The factor by which E changes; 90 % interval.
        num_cells: Number of cells in the regression.
        error: Standard error of the change of log10 E; None where nothing shows the scatter.
    """

    switch: str
    log10: Estimate
    factor: Estimate
    num_cells: int
    error: float | None


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
    hybrids = [switches_on(cell.parametrization) for cell in cells]
    design_NK = _design(hybrids, [[switch] for switch in SWITCHES])
    if len(cells) < len(SWITCHES) + 2 or not _has_full_rank(design_NK):
        raise ResultsError(
            f"{len(cells)} cells have a weight decay from {lowest:g} to {highest:g}",
            why="four effects, an intercept and their errors need at least six cells",
            fix=f"widen the range: the table has {table.weight_decays[0]:g} to "
            f"{table.weight_decays[-1]:g}",
        )
    log10_N = np.log10([cell.E for cell in cells])
    fit = regress(design_NK, log10_N, np.zeros(len(cells)))
    return tuple(_effect(switch, fit, k, len(cells)) for k, switch in enumerate(SWITCHES, 1))


def measured_effects(errors: Mapping[str, Estimate]) -> tuple[Effect, ...]:
    """Regress log10 E of one's own hybrids on the four switches.

    As `switch_effects`, with one E per hybrid. The standard errors contain the noise of every E,
    which its interval gives, and what the four effects leave between the hybrids. Switches that
    are on in the same hybrids have one effect; a switch that is on in all or in none has none.

    Args:
        errors: E of every hybrid; one without a value is left out.

    Returns:
        The effects; none where the hybrids do not separate them.

    Example:
        >>> E = {"sp": 1e-2, "sp+embd": 1e-3, "mup-embd": 2e-2, "mup": 2e-3}
        >>> for effect in measured_effects({name: Estimate(value) for name, value in E.items()}):
        ...     print(effect.switch, f"{effect.log10.value:+.2f}")
        embd -1.00
        ln+attn+last +0.30
    """
    cells = {name: E for name, E in errors.items() if E.value is not None and E.value > 0}
    hybrids = [switches_on(name) for name in cells]
    columns: dict[tuple[bool, ...], list[str]] = {}
    for switch in SWITCHES:
        columns.setdefault(tuple(switch in on for on in hybrids), []).append(switch)
    separated = [names for column, names in columns.items() if len({*column}) == 2]
    design_NK = _design(hybrids, separated)
    if not separated or not _has_full_rank(design_NK):
        return ()
    log10_N = np.log10(as_floats([E.value for E in cells.values()]))
    fit = regress(design_NK, log10_N, np.array([_log10_variance(E) for E in cells.values()]))
    return tuple(_effect("+".join(n), fit, k, len(cells)) for k, n in enumerate(separated, 1))


def _design(hybrids: Sequence[Collection[str]], effects: Sequence[Sequence[str]]) -> Floats:
    """Return the columns of a regression: the intercept, and whether each effect is on."""
    return np.array([[1.0, *(float(names[0] in on) for names in effects)] for on in hybrids])


def _has_full_rank(design_NK: Floats) -> bool:
    """Return whether a regression determines all of its coefficients."""
    return bool(np.linalg.matrix_rank(design_NK) == design_NK.shape[1])


def _log10_variance(E: Estimate) -> float:
    """Return the variance of log10 E; zero without an interval, so that the scatter contains it."""
    if E.low is None or E.high is None or E.low <= 0:
        return 0.0
    return (math.log10(E.high / E.low) / TWO_SIDES) ** 2


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


def _effect(switch: str, fit: Regression, index: int, num_cells: int) -> Effect:
    """Return an effect with its interval, on log10 E and as a factor on E."""
    log10 = fit.estimate(index)
    value, low, high = (
        None if end is None else 10**end for end in (log10.value, log10.low, log10.high)
    )
    factor = Estimate(value, low, high, log10.undetermined)
    error = None if fit.errors is None else float(fit.errors[index])
    return Effect(switch, log10, factor, num_cells, error)


def _between(table: TransferTable, lowest: float, highest: float) -> list[TransferCell]:
    """Return the cells in a range of weight decays."""
    return [cell for cell in table.cells if lowest <= cell.weight_decay <= highest]
