"""This file is published losses: as results, and their verdicts and regrets recomputed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mutransfer.analysis import Estimate, GroupReport, Results, analyze
from mutransfer.analysis.types.estimates import Curve, Verdict
from mutransfer.errors import ResultsError
from mutransfer.literature.sources import citation, read_rows

DIVERGED = 7.0  # losses of 7 and above are diverged runs' early checkpoints
FROM_TEXT = ("sp", "large_scale_L12")  # no mark in Table 1: the paper's text says it

_ONE_SEED = "one seed: no interval"


@dataclass(frozen=True, slots=True)
class TransferCheck:
    """One published experiment: its verdict from the cells, and the paper's own.

    Args:
        experiment: Name of the experiment.
        widths: Widths, rising.
        grid_log2_lr: log2 of the best rate on the grid at each width.
        recomputed: Whether that rate is the same at every width, from the cells.
        printed: Whether the best rate transfers, according to the paper.
        printed_as: 'mark' where Table 1 prints it, 'text' where the paper's text says it.
        regret: Loss at the smallest width's best rate minus the best loss, in nats, at every
            width but the smallest. No interval: one seed.
        verdict: Our own verdict, which asks for an interval.
        reason: Why.
        notes: What to know before the numbers are used.
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
        """Whether the cells give the verdict that the paper gives."""
        return self.recomputed == self.printed


def load_published(name: str) -> Results:
    """Give a published table of losses as results that `analyze` takes.

    Args:
        name: 'lingle2024'; its columns are experiment, width and lr, so analyze it with
            `group_by="experiment"`.

    Returns:
        The results, one row per printed cell.

    Raises:
        ResultsError: There is no such table, or it holds no losses.

    Source:
        arXiv:2404.05728v3, Tables 1, 3 and 4.

    Example:
        >>> analyze(load_published("lingle2024"), group_by="experiment")["lion"].paper_criterion
        False
    """
    cited = citation(name)
    rows = read_rows(name)
    if "val_loss" not in rows[0]:
        raise ResultsError(
            f"'{name}' holds no losses",
            why="the authors released E, kappa and R(inf), but not the runs behind them",
            fix="load_transfer_table()",
        )
    return Results.from_columns(
        {
            "experiment": [row["experiment"] for row in rows],
            "width": [float(row["width"]) for row in rows],
            "lr": [2.0 ** float(row["log2_lr"]) for row in rows],
            "loss": [float(row["val_loss"]) for row in rows],
        },
        source=f"{name} (arXiv:{cited.arxiv})",
    )


def printed_verdicts() -> dict[str, bool]:
    """Say for each experiment of 'lingle2024' whether the best rate transfers, as the paper says.

    Source:
        arXiv:2404.05728v3: Table 1's marks; for the experiments `FROM_TEXT` its text.

    Example:
        >>> [name for name, transfers in printed_verdicts().items() if transfers]
        ['baseline', 'projection_biases', 'large_scale_L12']
    """
    return {row["experiment"]: row["transfers"] == "yes" for row in read_rows("lingle2024")}


def published_transfer() -> tuple[TransferCheck, ...]:
    """Recompute every verdict and regret of 'lingle2024' from its cells.

    Returns:
        One check per experiment, in the paper's order.

    Source:
        The criterion and the regrets: arXiv:2404.05728v3.

    Example:
        >>> lion = published_transfer()[4]
        >>> lion.experiment, lion.recomputed, lion.agrees
        ('lion', False, True)
        >>> print(lion.regret[2048.0])
        0.008 (one seed: no interval)
    """
    return check_transfer(load_published("lingle2024"), printed_verdicts())


def check_transfer(results: Results, printed: Mapping[str, bool]) -> tuple[TransferCheck, ...]:
    """Hold verdicts from cells against printed ones.

    Args:
        results: Losses with the column 'experiment'.
        printed: The printed verdict of each experiment; it gives the order.

    Returns:
        One check per experiment.

    Example:
        >>> wrong = {**printed_verdicts(), "lion": True}
        >>> [c.experiment for c in check_transfer(load_published("lingle2024"), wrong)
        ...  if not c.agrees]
        ['lion']
    """
    report = analyze(results, group_by="experiment")
    return tuple(_check(report[name], transfers) for name, transfers in printed.items())


def _check(group: GroupReport, printed: bool) -> TransferCheck:
    """Read one experiment's answer off its report."""
    best = tuple(o.grid_log2_lr for o in group.optimum if o.grid_log2_lr is not None)
    assert len(best) == len(group.optimum), "a published cell is never empty"
    carried = {curve.width: _loss_at(curve, best[0]) for curve in group.curves[1:]}
    return TransferCheck(
        experiment=group.name,
        widths=tuple(curve.width for curve in group.curves),
        grid_log2_lr=best,
        recomputed=bool(group.paper_criterion),
        printed=printed,
        printed_as="text" if group.name in FROM_TEXT else "mark",
        regret={
            curve.width: Estimate(carried[curve.width] - min(curve.loss), undetermined=_ONE_SEED)
            for curve in group.curves[1:]
        },
        verdict=group.verdict,
        reason=group.reason,
        notes=_notes(group, carried),
    )


def _notes(group: GroupReport, carried: Mapping[float, float]) -> tuple[str, ...]:
    """Say what a reader of the numbers could get wrong."""
    side = {"low": "lower", "high": "higher"}
    edges = [
        f"minimum on the edge of the grid at width {o.width:g}: the true one may be {side[o.edge]}"
        for o in group.optimum
        if o.edge is not None
    ]
    diverged = [
        f"at width {width:g} the carried rate diverged (loss {loss:.3f})"
        for width, loss in carried.items()
        if loss >= DIVERGED
    ]
    text = ["no printed mark: the paper's text says it"] if group.name in FROM_TEXT else []
    return tuple(edges + diverged + text)


def _loss_at(curve: Curve, log2_lr: float) -> float:
    """Give the printed loss of one cell."""
    return curve.loss[curve.log2_lr.index(log2_lr)]
