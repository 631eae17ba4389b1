"""Every experiment of arXiv:2404.05728: the paper's verdict, its evidence, and its regret."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from mutransfer.errors import ResultsError, nearest
from mutransfer.literature.losses import REVIEW_NOTE, TransferCheck, published_transfer
from mutransfer.literature.sources import read_rows, read_table

NAME = "lingle2024"
BASELINE = "baseline"
_REVIEW = "a public review of versions 2 and 3 says so; we have not read it in the paper itself"
# Keys of the column `evidence`.
CERTAINTY = {
    "mark": "marked in Table 1; its cells, transcribed from slides, agree",
    "cells": f"{_REVIEW}, and the printed cells agree",
    "review": _REVIEW,
    "script": "not published in any version that we have: only the script is public",
}


@dataclass(frozen=True, slots=True)
class PublishedRegret:
    """Regret of the smallest width's best rate at a larger width, from the cells; one seed.

    Args:
        width: The larger width.
        nats: Loss at the carried rate minus the best loss.
        share: The same as a share of the best loss.
    """

    width: float
    nats: float
    share: float


@dataclass(frozen=True, slots=True)
class PublishedExperiment:
    """One experiment of a paper: a change to its baseline, and whether the best rate transfers.

    Args:
        name: Name of the experiment.
        title: The change in words.
        transfers: Whether the best rate transfers, according to the paper; None where no verdict
            is published.
        certainty: The evidence for the verdict, as a clause.
        widths: The widths of the experiment, ascending; empty where they are unpublished.
        grid_log2_lr: log2 of the best rate on the grid at each width; empty without cells.
        regrets: The regret at every width but the smallest, ascending; empty without cells.
        loss_difference: Best loss at the largest width minus that of the baseline, in nats; None
            without cells, and where the setting is not that of the baseline.
        loss_in_words: The loss beside that of the baseline where only a review describes it.
        remark: What else to say about it; may be empty.
        cautions: What limits the regrets of its cells: a minimum on the edge of the grid, or a run
            that diverged.

    Example:
        >>> swiglu = published_experiment("swiglu")
        >>> swiglu.transfers, swiglu.regret, swiglu.loss_in_words
        (True, None, 'better')
    """

    name: str
    title: str
    transfers: bool | None
    certainty: str
    widths: tuple[float, ...]
    grid_log2_lr: tuple[float, ...]
    regrets: tuple[PublishedRegret, ...]
    loss_difference: float | None
    loss_in_words: str
    remark: str
    cautions: tuple[str, ...] = ()

    @property
    def regret(self) -> PublishedRegret | None:
        """The regret at the largest width; None without cells."""
        return self.regrets[-1] if self.regrets else None

    def regret_within(self, ratio: float) -> PublishedRegret | None:
        """Return the regret at the largest width within a ratio of widths; None without cells.

        Example:
            >>> published_experiment("rmsnorm_gains_vector").regret_within(4)
            PublishedRegret(width=512.0, nats=0.0, share=0.0)
        """
        # Widths are whole numbers, so that a ratio of 4 is exact.
        rows = [row for row in self.regrets if row.width <= ratio * self.widths[0]]
        return rows[-1] if rows else None


def published_experiment(name: str) -> PublishedExperiment:
    """Return what arXiv:2404.05728 says about one of its experiments.

    Raises:
        ResultsError: The paper has no such experiment.

    Source:
        Verdicts: arXiv:2404.05728v3, Table 1, and a public review of versions 2 and 3. Regrets are
        recomputed from the cells of Tables 1, 3 and 4.

    Example:
        >>> gains = published_experiment("rmsnorm_gains_vector")
        >>> gains.transfers, gains.grid_log2_lr, f"{gains.regret.nats:.3f}"
        (False, (-4.0, -4.0, -8.0), '0.052')
    """
    experiments = published_experiments()
    if name not in experiments:
        raise ResultsError(
            f"arXiv:2404.05728 has no experiment '{name}'",
            why="the verdict of another experiment would be returned",
            fix=nearest(name, experiments),
        )
    return experiments[name]


@cache
def published_experiments() -> dict[str, PublishedExperiment]:
    """Return every experiment of arXiv:2404.05728 by its name, in the paper's order.

    Example:
        >>> verdicts = [experiment.transfers for experiment in published_experiments().values()]
        >>> verdicts.count(True), verdicts.count(False), verdicts.count(None)
        (13, 6, 8)
    """
    checks = {check.experiment: check for check in published_transfer()}
    losses = _best_losses()
    rows = read_table(f"{NAME}-experiments.csv")
    return {row["experiment"]: _experiment(row, checks, losses) for row in rows}


def _experiment(
    row: dict[str, str], checks: dict[str, TransferCheck], losses: dict[tuple[str, float], float]
) -> PublishedExperiment:
    """Join the row of an experiment with what its cells say."""
    name, check = row["experiment"], checks.get(row["experiment"])
    widths = tuple(map(float, row["widths"].split()))
    difference = None
    # The large-scale runs have another depth, batch and horizon than the baseline.
    if check is not None and check.widths == checks[BASELINE].widths:
        difference = losses[name, widths[-1]] - losses[BASELINE, widths[-1]]
    return PublishedExperiment(
        name=name,
        title=row["title"],
        transfers={"yes": True, "no": False, "": None}[row["transfers"]],
        certainty=CERTAINTY[row["evidence"]],
        widths=widths,
        grid_log2_lr=check.grid_log2_lr if check else (),
        regrets=_regrets(check, losses) if check else (),
        loss_difference=difference,
        loss_in_words=row["loss"],
        remark=row["remark"],
        # The evidence for the verdict is its certainty.
        cautions=tuple(note for note in check.notes if note != REVIEW_NOTE) if check else (),
    )


def _regrets(
    check: TransferCheck, losses: dict[tuple[str, float], float]
) -> tuple[PublishedRegret, ...]:
    """Return the regrets of an experiment's cells, with their shares of the loss."""
    rows = []
    for width, regret in check.regret.items():
        assert regret.value is not None, "no published cell is empty"
        share = regret.value / losses[check.experiment, width]
        rows.append(PublishedRegret(width, regret.value, share))
    return tuple(rows)


def _best_losses() -> dict[tuple[str, float], float]:
    """Return the lowest printed loss of each experiment and width."""
    best: dict[tuple[str, float], float] = {}
    for row in read_rows(NAME):
        key, loss = (row["experiment"], float(row["width"])), float(row["val_loss"])
        best[key] = min(loss, best.get(key, loss))
    return best
