"""Every experiment of arXiv:2404.05728: the paper's verdict, its evidence, and its regret."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from mutransfer.analysis import Estimate
from mutransfer.errors import ResultsError, nearest
from mutransfer.literature.losses import TransferCheck, published_transfer
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
        regret: Loss at the largest width with the smallest width's best rate, minus the best loss
            there, in nats; None without cells. No interval: one seed.
        regret_share: The regret as a share of that best loss; None without cells.
        loss_difference: Best loss at the largest width minus that of the baseline, in nats; None
            without cells, and where the setting is not that of the baseline.
        loss_in_words: The loss beside that of the baseline where only a review describes it.
        remark: What else to say about it; may be empty.

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
    regret: Estimate | None
    regret_share: Estimate | None
    loss_difference: float | None
    loss_in_words: str
    remark: str


def published_experiment(name: str) -> PublishedExperiment:
    """Return what arXiv:2404.05728 says about one of its experiments.

    Raises:
        ResultsError: The paper has no such experiment.

    Source:
        Verdicts: arXiv:2404.05728v3, Table 1, and a public review of versions 2 and 3. Regrets are
        recomputed from the cells of Tables 1, 3 and 4.

    Example:
        >>> gains = published_experiment("rmsnorm_gains_vector")
        >>> gains.transfers, gains.grid_log2_lr, f"{gains.regret.value:.3f}"
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
    regret = share = difference = None
    if check is not None:
        regret = check.regret[widths[-1]]
        share = regret.times(1 / losses[name, widths[-1]])
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
        regret=regret,
        regret_share=share,
        loss_difference=difference,
        loss_in_words=row["loss"],
        remark=row["remark"],
    )


def _best_losses() -> dict[tuple[str, float], float]:
    """Return the lowest printed loss of each experiment and width."""
    best: dict[tuple[str, float], float] = {}
    for row in read_rows(NAME):
        key, loss = (row["experiment"], float(row["width"])), float(row["val_loss"])
        best[key] = min(loss, best.get(key, loss))
    return best
