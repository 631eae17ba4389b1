"""Published losses as results, and the verdicts and regrets recomputed from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mutransfer.analysis import Estimate, GroupReport, Results, analyze
from mutransfer.analysis.types.estimates import Verdict
from mutransfer.errors import ResultsError
from mutransfer.literature.sources import citation, read_rows

# A loss of 7 or more is an early checkpoint of a run that diverged [derived: arXiv:2404.05728].
DIVERGED = 7.0
FROM_REVIEW = ("sp", "large_scale_L12")  # their verdicts are reported by a public review only
REVIEW_NOTE = "a public review of versions 2 and 3 reports the verdict; we have no mark of Table 1"
_ONE_SEED = "one seed: no interval"


@dataclass(frozen=True, slots=True)
class TransferCheck:
    """One published experiment: the verdict recomputed from its cells, and the printed one.

    Args:
        experiment: Name of the experiment.
        widths: Widths, ascending.
        grid_log2_lr: log2 of the best rate on the grid at each width.
        recomputed: Whether that rate is the same at every width.
        printed: Whether the best rate transfers, according to the paper.
        printed_as: The evidence for that: 'mark' for Table 1, 'review' for a public review.
        regret: Loss at the smallest width's best rate minus the best loss, in nats, at every
            width but the smallest. No interval: one seed.
        verdict: Our own verdict, which requires an interval.
        reason: Reason for our verdict.
        notes: Cautions about the numbers.
    """

    experiment: str
    widths: tuple[float, ...]
    grid_log2_lr: tuple[float, ...]
    recomputed: bool
    printed: bool
    printed_as: str
    regret: Mapping[float, Estimate]
    verdict: Verdict
    reason: str
    notes: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether the recomputed verdict is the printed one."""
        return self.recomputed == self.printed


def load_published(name: str) -> Results:
    """Load a published table of losses as results for `analyze`.

    Args:
        name: 'lingle2024', to be analyzed with `group_by="experiment"`.

    Returns:
        One row per printed cell, with columns experiment, width and lr.

    Raises:
        ResultsError: The table does not exist or has no losses.

    Source:
        arXiv:2404.05728v3, Tables 1, 3 and 4, which ship as `data/lingle2024.csv`.

    Example:
        >>> analyze(load_published("lingle2024"), group_by="experiment")["lion"].paper_criterion
        False
    """
    rows = read_rows(name)
    if "val_loss" not in rows[0]:
        raise ResultsError(
            f"'{name}' has no losses",
            why="the authors released E, kappa and R(inf), but not the losses behind them",
            fix="load_transfer_table()",
        )
    return Results.from_columns(
        {
            "experiment": [row["experiment"] for row in rows],
            "width": [float(row["width"]) for row in rows],
            "lr": [2.0 ** float(row["log2_lr"]) for row in rows],
            "loss": [float(row["val_loss"]) for row in rows],
        },
        source=f"{name} (arXiv:{citation(name).arxiv})",
    )


def printed_verdicts() -> dict[str, bool]:
    """Return whether each experiment of 'lingle2024' transfers, according to the paper.

    Source:
        arXiv:2404.05728v3, Table 1, or a public review of it for the experiments in
        `FROM_REVIEW`.

    Example:
        >>> [name for name, transfers in printed_verdicts().items() if transfers]
        ['baseline', 'projection_biases', 'large_scale_L12']
    """
    return {row["experiment"]: row["transfers"] == "yes" for row in read_rows("lingle2024")}


def published_transfer() -> tuple[TransferCheck, ...]:
    """Recompute every verdict and regret of 'lingle2024' from its cells, in the paper's order.

    Source:
        Criterion and regrets: arXiv:2404.05728v3.

    Example:
        >>> lion = published_transfer()[4]
        >>> lion.experiment, lion.recomputed, lion.agrees
        ('lion', False, True)
        >>> print(lion.regret[2048.0])
        0.008 (one seed: no interval)
    """
    return check_transfer(load_published("lingle2024"), printed_verdicts())


def check_transfer(results: Results, printed: Mapping[str, bool]) -> tuple[TransferCheck, ...]:
    """Compare verdicts recomputed from cells with printed ones.

    Args:
        results: Losses with the column 'experiment'.
        printed: The printed verdict of each experiment, in the order of the result.

    Example:
        >>> wrong = {**printed_verdicts(), "lion": True}
        >>> [c.experiment for c in check_transfer(load_published("lingle2024"), wrong)
        ...  if not c.agrees]
        ['lion']
    """
    report = analyze(results, group_by="experiment")
    return tuple(_check(report[name], transfers) for name, transfers in printed.items())


def _check(group: GroupReport, printed: bool) -> TransferCheck:
    """Return the check of one experiment."""
    best = tuple(o.grid_log2_lr for o in group.optimum if o.grid_log2_lr is not None)
    assert len(best) == len(group.optimum), "no published cell is empty"
    carried = {c.width: c.loss[c.log2_lr.index(best[0])] for c in group.curves[1:]}
    return TransferCheck(
        experiment=group.name,
        widths=tuple(curve.width for curve in group.curves),
        grid_log2_lr=best,
        recomputed=bool(group.paper_criterion),
        printed=printed,
        printed_as="review" if group.name in FROM_REVIEW else "mark",
        regret={
            curve.width: Estimate(carried[curve.width] - min(curve.loss), undetermined=_ONE_SEED)
            for curve in group.curves[1:]
        },
        verdict=group.verdict,
        reason=group.reason,
        notes=_notes(group, carried),
    )


def _notes(group: GroupReport, carried: Mapping[float, float]) -> tuple[str, ...]:
    """Return cautions about an experiment's numbers."""
    direction = {"low": "lower", "high": "higher"}
    edges = [
        f"minimum on the edge of the grid at width {o.width:g}: the optimum may be "
        f"{direction[o.edge]}"
        for o in group.optimum
        if o.edge is not None
    ]
    diverged = [
        f"the best rate of the smallest width diverged at width {width:g} (loss {loss:.3f})"
        for width, loss in carried.items()
        if loss >= DIVERGED
    ]
    return tuple(edges + diverged + ([REVIEW_NOTE] if group.name in FROM_REVIEW else []))
