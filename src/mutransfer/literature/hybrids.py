"""Released E, R(inf) and kappa of sixteen hybrids between SP and µP (arXiv:2605.21486)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mutransfer.errors import ResultsError, nearest
from mutransfer.literature.sources import read_rows

SWITCHES = ("embd", "ln", "attn", "last")

# The hybrids, sorted by the number of switches that are on.
ORDER = (
    "sp", "sp+attn", "sp+last", "sp+ln", "sp+embd", "sp+attn+last", "sp+attn+ln", "sp+ln+last",
    "sp+attn+embd", "sp+embd+ln", "sp+embd+last", "mup-embd", "mup-ln", "mup-attn", "mup-last",
    "mup",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TransferCell:
    """Released numbers of one hybrid at one weight decay.

    Args:
        parametrization: Name of the hybrid.
        weight_decay: Weight decay per step.
        E: Error of the joint scaling-law fit, in an unpublished norm; lower is better.
        R_inf: Gap of the irreducible loss to a common reference, in nats.
        kappa: Robustness of the transfer; negative is robust.
        failed: Whether the fit behind R_inf failed. The flag is ours, not the authors'.
    """

    parametrization: str
    weight_decay: float
    E: float
    R_inf: float
    kappa: float
    failed: bool


@dataclass(frozen=True, slots=True)
class TransferTable:
    """All released cells.

    Args:
        cells: The cells, hybrid by hybrid.
        parametrizations: Names of the hybrids, from SP to µP.
        weight_decays: Weight decays per step, ascending.

    Example:
        >>> table = load_transfer_table()
        >>> len(table.cells), sum(cell.failed for cell in table.cells)
        (124, 21)
    """

    cells: tuple[TransferCell, ...]
    parametrizations: tuple[str, ...]
    weight_decays: tuple[float, ...]

    def cell(self, parametrization: str, weight_decay: float) -> TransferCell | None:
        """Return a cell, or None if it was not released; switches may have any order.

        Raises:
            ResultsError: The hybrid or the weight decay does not exist.

        Example:
            >>> load_transfer_table().cell("sp+embd+attn", 0.0).E
            0.00037
            >>> load_transfer_table().cell("sp+attn", 0.0)
        """
        switches = switches_on(parametrization)
        if weight_decay not in self.weight_decays:
            raise ResultsError(
                f"there is no weight decay {weight_decay:g}",
                why="a neighbouring value is no substitute: kappa jumps between neighbours",
                fix="choose from " + ", ".join(f"{decay:g}" for decay in self.weight_decays),
            )
        matches = (
            cell
            for cell in self.cells
            if cell.weight_decay == weight_decay and switches_on(cell.parametrization) == switches
        )
        return next(matches, None)


def switches_on(parametrization: str) -> frozenset[str]:
    """Return the switches from SP to µP that are on in a hybrid.

    Args:
        parametrization: 'sp', 'mup', 'sp+...' or 'mup-...', the switches in any order.

    Raises:
        ResultsError: The hybrid does not exist.

    Source:
        The labels of the page released with arXiv:2605.21486.

    Example:
        >>> sorted(switches_on("mup-embd")), sorted(switches_on("sp+ln"))
        (['attn', 'last', 'ln'], ['ln'])
    """
    base, *changes = re.split(r"[+-]", parametrization)
    separator = "+" if base == "sp" else "-"  # SP turns switches on, µP turns them off
    has_separators = separator.join([base, *changes]) == parametrization
    has_switches = set(changes) <= set(SWITCHES) and len(set(changes)) == len(changes)
    if base not in ("sp", "mup") or not has_separators or not has_switches:
        raise ResultsError(
            f"there is no hybrid '{parametrization}'",
            why="the name says which of the four switches are on",
            fix=nearest(parametrization, ORDER),
        )
    return frozenset(changes) if base == "sp" else frozenset(SWITCHES) - frozenset(changes)


def load_transfer_table() -> TransferTable:
    """Load the released numbers of 'kalra2026', with failed fits flagged.

    Source:
        arXiv:2605.21486 and its repository at commit 809b987.

    Example:
        >>> load_transfer_table().cell("mup", 1e-3)
        TransferCell(parametrization='mup', weight_decay=0.001, E=0.000749, R_inf=0.091858,
            kappa=-3.378835, failed=False)
    """
    cells = [
        TransferCell(
            parametrization=row["parametrization"],
            weight_decay=float(row["weight_decay"]),
            E=float(row["E"]),
            R_inf=float(row["R_inf"]),
            kappa=float(row["kappa"]),
            failed=row["flag"] == "fit_failed",
        )
        for row in read_rows("kalra2026")
    ]
    cells.sort(key=lambda cell: (ORDER.index(cell.parametrization), cell.weight_decay))
    return TransferTable(
        cells=tuple(cells),
        parametrizations=ORDER,
        weight_decays=tuple(sorted({cell.weight_decay for cell in cells})),
    )
