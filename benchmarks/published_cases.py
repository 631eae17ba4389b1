"""Held-out cases of published tables: the largest value of a scale, and the cells below it.

The tables of Step Law (arXiv:2503.04715) are not part of this repository, since their own has no
license. `git clone https://github.com/step-law/steplaw` has them in `data/`; give that folder.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mutransfer.analysis import Results
from mutransfer.analysis.curves.fit import CurveFit
from mutransfer.analysis.curves.group import Settings, fitted_groups
from mutransfer.analysis.format import AxisNames
from mutransfer.analysis.transfer.regret import regret_bounds
from mutransfer.analysis.types.estimates import LN2
from mutransfer.literature import load_published

WINDOW, DRAWS, SEED = 1.1, 1000, 0
DENSE, EXPERTS = "dense_lr_bs_loss.csv", "moe_lr_bs_loss.csv"


@dataclass(frozen=True)
class Cell:
    """One combination of scales, with its loss curve.

    Args:
        scales: Scale -> value, such as params, tokens, batch.
        curve: The fitted curve; `curve.quadratic` is None where there is no optimum, and
            `curve.edge` is 'low' or 'high' where the best rate is the last of the grid.
    """

    scales: Mapping[str, float]
    curve: CurveFit

    @property
    def log2_lr(self) -> float | None:
        """Best rate, or None."""
        quadratic = self.curve.quadratic
        return None if quadratic is None else quadratic.optimum / LN2

    @property
    def loss(self) -> float | None:
        """Lowest loss, or None where everything diverged."""
        return self.curve.lowest_loss

    @property
    def curvature(self) -> float | None:
        """Second derivative of the loss in log2(rate) at the optimum, or None."""
        quadratic = self.curve.quadratic
        return None if quadratic is None else quadratic.curvature * LN2**2

    def regret_of(self, log2_lr: float) -> tuple[float, float]:
        """Return the excess loss at a rate as a share of the best loss: value and upper bound."""
        quadratic = self.curve.quadratic
        coefficients = None if quadratic is None else quadratic.coefficients[None]
        mean = self.curve.grid.mean[None]
        bounds = regret_bounds(self.curve, np.array([log2_lr * LN2]), mean, coefficients)
        assert self.loss is not None
        return float(bounds.value[0]) / self.loss, float(bounds.upper[0]) / self.loss


@dataclass(frozen=True)
class Case:
    """One held-out target.

    Args:
        name: The group of runs.
        scales: Scales that vary among the cells.
        cells: What a predictor may see.
        target: The cell to be predicted.
    """

    name: str
    scales: tuple[str, ...]
    cells: tuple[Cell, ...]
    target: Cell

    @property
    def results(self) -> Results:
        """The losses of the visible cells, as a table."""
        return table_of(self.cells)


def table_of(cells: Sequence[Cell]) -> Results:
    """Return the losses of cells as results with a column per scale; nan where a run diverged."""
    rows = [
        {**cell.scales, "lr": 2.0**log2_lr, "seed": str(seed), "loss": float(loss)}
        for cell in cells
        for log2_lr, losses, diverged in zip(
            cell.curve.grid.log2_lr, cell.curve.grid.losses, cell.curve.grid.diverged, strict=True
        )
        for seed, loss, has_diverged in zip(cell.curve.grid.seeds, losses, diverged, strict=True)
        if np.isfinite(loss) or has_diverged
    ]
    return Results.from_columns({name: [row[name] for row in rows] for name in rows[0]})


def read(path: Path) -> list[dict[str, str]]:
    """Read a table of Step Law."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def cells_of(
    rows: Sequence[Mapping[str, float | str]], scale: str, group_by: Sequence[str]
) -> dict[str, list[Cell]]:
    """Fit one curve per value of the scale in each group of rows; group -> its cells, ascending."""
    names = [", ".join(str(row[column]) for column in group_by) for row in rows]
    columns = {key: [row[key] for row in rows] for key in (scale, "lr", "loss")}
    settings = Settings(AxisNames(scale, "lr"), ("group",), WINDOW, DRAWS, SEED)
    groups = fitted_groups(Results.from_columns({"group": names, **columns}), settings)
    scales = {
        (name, row[scale]): {
            key: float(row[key]) for key in ("params", "tokens", "batch") if key in row
        }
        for name, row in zip(names, rows, strict=True)
    }
    return {
        name: [Cell(scales[name, curve.grid.width], curve) for curve in group.curves]
        for name, group in groups.items()
    }


def dense_rows(folder: Path, loss: str) -> list[dict[str, float | str]]:
    """Return the dense sweep: 0.2 to 1.1 B parameters, 13 batch sizes, 17 token budgets."""
    return [
        {
            "params": float(row["N"]),
            "tokens": float(row["D"]),
            "batch": float(row["bs"]),
            "lr": float(row["lr"]),
            "loss": float(row[loss]),
            "ratio": f"{float(row['D/N']):.0f}",
            "size": row["N"],
            "batch_size": row["bs"],
        }
        for row in read(folder / DENSE)
    ]


def expert_rows(folder: Path, loss: str) -> list[dict[str, float | str]]:
    """Return the sweep of mixtures of experts: 2.2 B parameters, 5 batch sizes, 4 budgets."""
    return [
        {
            "tokens": float(row["D"]),
            "batch": float(row["bs"]),
            "lr": float(row["lr"]),
            "loss": float(row[loss]),
            "model": row["moe_name"],
            "batch_size": row["bs"],
        }
        for row in read(folder / EXPERTS)
    ]


def largest_of_each(
    groups: Mapping[str, Sequence[Cell]], scale: str, smallest: int = 3
) -> Iterator[Case]:
    """Yield one case per group: its largest cell, predicted from the others of the group."""
    for name, cells in groups.items():
        if len(cells) >= smallest:
            yield Case(name, (scale,), tuple(cells[:-1]), cells[-1])


def joint_cases(
    cells: Sequence[Cell],
    scales: tuple[str, ...],
    is_target: Callable[[Cell], bool],
) -> Iterator[Case]:
    """Yield one case per target cell with an optimum, predicted from all cells that are none."""
    visible = tuple(cell for cell in cells if not is_target(cell))
    for cell in cells:
        if is_target(cell) and cell.log2_lr is not None:
            name = ", ".join(f"{scale}={value:g}" for scale, value in cell.scales.items())
            yield Case(name, scales, visible, cell)


def lingle_cases() -> list[Case]:
    """Return the eight experiments of arXiv:2404.05728, the largest width left out."""
    results = load_published("lingle2024")
    settings = Settings(AxisNames("width", "lr"), ("experiment",), WINDOW, DRAWS, SEED)
    groups = fitted_groups(results, settings)
    return list(
        largest_of_each(
            {
                name: [Cell({"width": curve.grid.width}, curve) for curve in group.curves]
                for name, group in groups.items()
            },
            "width",
        )
    )


def all_cases(folder: Path | None, loss: str = "smooth loss") -> dict[str, list[Case]]:
    """Return every set of cases; without the folder of Step Law only what ships."""
    sets: dict[str, list[Case]] = {}
    if folder is not None:
        dense, experts = dense_rows(folder, loss), expert_rows(folder, loss)
        by_params = cells_of(dense, "params", ("ratio", "batch_size"))
        by_tokens = cells_of(dense, "tokens", ("size", "batch_size"))
        sets["dense, parameters"] = list(largest_of_each(by_params, "params"))
        sets["dense, tokens"] = list(largest_of_each(by_tokens, "tokens"))
        by_model = cells_of(experts, "tokens", ("model", "batch_size"))
        sets["experts, tokens"] = list(largest_of_each(by_model, "tokens"))
    sets["lingle2024, width"] = lingle_cases()
    if folder is not None:
        cells = [cell for group in by_tokens.values() for cell in group]
        scales = ("params", "tokens", "batch")
        most = max(cell.scales["params"] for cell in cells)
        sets["dense, all cells, largest parameters"] = list(
            joint_cases(cells, scales, lambda cell: cell.scales["params"] == most)
        )
        last = {
            size: max(cell.scales["tokens"] for cell in cells if cell.scales["params"] == size)
            for size in {cell.scales["params"] for cell in cells}
        }
        sets["dense, all cells, largest tokens of each size"] = list(
            joint_cases(
                cells, scales, lambda cell: cell.scales["tokens"] == last[cell.scales["params"]]
            )
        )
        sets["dense, all cells, tokens of 40 B and more"] = list(
            joint_cases(cells, scales, lambda cell: cell.scales["tokens"] >= 40e9)
        )
        sets["experts, all cells, largest tokens"] = [
            case
            for model in sorted({str(row["model"]) for row in experts})
            for case in joint_cases(
                [c for name, g in by_model.items() if name.startswith(f"{model}, ") for c in g],
                ("tokens", "batch"),
                lambda cell: cell.scales["tokens"] == 20e9,
            )
        ]
    return sets
