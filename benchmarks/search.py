"""Bracket search against grids: cost, the best rate of the largest width, its regret, the verdict.

    python benchmarks/search.py [--surfaces 10]     # planted surfaces
    python benchmarks/search.py --shipped           # the stored trials of the shipped studies

Planted surfaces have five widths and a training cost that grows with width squared. Shipped
studies are replayed: a search may only run what the study ran, and costs the FLOPs of that.
"""

from __future__ import annotations

import argparse
import csv
import math
import platform
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from mutransfer.analysis import GroupReport, Results, analyze
from mutransfer.records import AnalysisTable
from mutransfer.records.tables.search import SearchTable, rate_step
from mutransfer.sweep.search.bracket import Cell, Design, fit_optimum, rounds
from mutransfer.workflows.studies.bracket import is_decided

ANALYSIS = AnalysisTable(group_by=())
SEARCH = SearchTable(strategy="bracket")
WIDTHS = tuple(64.0 * 2.0**k for k in range(5))
MIN_RATES = 5  # of an axis that a bracket accepts
DRIFTS = 0.0, 0.25, 0.5, 1.0  # octaves of the best rate per octave of width
SHAPES = "straight", "skewed", "cliff", "rippled", "settling"
SKEW, CLIFF, RIPPLE = 0.6, 1.2, (0.004, 1.7)  # per octave; octaves; nats and octaves


class Answer(NamedTuple):
    """What an analysis says about the trials of one design."""

    cost: float
    trials: int
    log2_lr: float  # of the largest width; NaN where it has none
    verdict: str


def results_of(losses: Mapping[Cell, float], design: Design, first: float) -> Results:
    """Return results for the analysis."""
    cells = list(losses)
    return Results.from_columns({
        "width": [design.sizes[cell.size][0] for cell in cells],
        "lr": [2.0 ** (first + cell.step * design.step) for cell in cells],
        "seed": [cell.seed for cell in cells],
        "loss": list(losses.values()),
    })  # fmt: skip


def answer(
    losses: Mapping[Cell, float], design: Design, first: float, cost: Callable[[Cell], float]
) -> Answer:
    """Analyze the trials of one design."""
    (group,) = analyze(results_of(losses, design, first), group_by=()).values()
    assert isinstance(group, GroupReport)
    value = group.optimum[-1].log2_lr.value
    log2_lr = math.nan if value is None else value
    return Answer(sum(map(cost, losses)), len(losses), log2_lr, group.verdict)


def searched(loss: Callable[[Cell], float], design: Design, first: float) -> dict[Cell, float]:
    """Return the losses of the trials that a bracket runs."""
    losses: dict[Cell, float] = {}

    def decided() -> bool:
        return is_decided(ANALYSIS, results_of(losses, design, first))

    for cells in rounds(design, losses, decided):
        losses |= {cell: loss(cell) for cell in cells if cell not in losses}
    return losses


def grid_of(design: Design) -> list[Cell]:
    """Return the trials of the grid."""
    shape = len(design.sizes), design.num_rates, design.available_seeds
    return [Cell(*map(int, place)) for place in np.ndindex(shape)]


def design_of(sizes: Iterable[float], rates: int, step: float, seeds: int, ends: int) -> Design:
    """Return the design of a bracket with the default settings."""
    widths = tuple((size,) for size in sizes)
    num_seeds = tuple(SEARCH.num_seeds(place, seeds) for place in range(len(widths)))
    return Design(widths, rates, ends, step, num_seeds, seeds, SEARCH.rates, SEARCH.octaves)


class Surface:
    """A planted surface: expected losses, and noise that does not depend on who asks for it."""

    def __init__(self, drift: float, shape: str, noise: float, index: int) -> None:
        rng = np.random.default_rng([index, *f"{drift} {shape} {noise}".encode()])
        self.drift, self.shape, self.noise = drift * rng.choice([-1, 1]), shape, noise
        self.curvature = rng.uniform(0.06, 0.16)  # nats per octave², half the second derivative
        self.offset, self.phase = rng.uniform(-0.5, 0.5), rng.uniform(0, 2 * math.pi)
        self.seed = int(rng.integers(2**32))

    def center(self, size: int) -> float:
        """Return log2 of the rate at which the smooth part is lowest."""
        octaves = 2 * (1 - 2.0**-size) if self.shape == "settling" else float(size)
        return self.offset + self.drift * octaves

    def loss(self, size: int, log2_lr: float) -> float:
        """Return the expected loss."""
        u = log2_lr - self.center(size)
        if self.shape == "cliff" and u > CLIFF:
            return math.nan
        rise = self.curvature * u**2
        if self.shape == "skewed":
            rise = 2 * self.curvature * (math.expm1(SKEW * u) - SKEW * u) / SKEW**2
        if self.shape == "rippled":
            rise += RIPPLE[0] * math.sin(2 * math.pi * log2_lr / RIPPLE[1] + self.phase + size)
        return 2.2 + 13.0 / math.sqrt(WIDTHS[size]) + rise

    def run(self, size: int, log2_lr: float, seed: int) -> float:
        """Return the loss of a trial; 0.8 of its noise is common to the rates of a seed."""
        shared = np.random.default_rng([self.seed, size, seed]).normal()
        place = round(log2_lr * 1000) + 10**6
        own = np.random.default_rng([self.seed, size, seed, place]).normal()
        return self.loss(size, log2_lr) + self.noise * (float(shared) + 0.6 * float(own))

    def best(self, size: int) -> tuple[float, float]:
        """Return log2 of the best rate, and the loss there."""
        grid = self.center(size) + np.linspace(-1.5, 1.2, 2701)
        losses = [self.loss(size, x) for x in grid]
        place = int(np.nanargmin(losses))
        return float(grid[place]), losses[place]

    @property
    def truth(self) -> str:
        """The verdict without noise."""
        carried = self.loss(len(WIDTHS) - 1, self.best(0)[0])
        best = self.best(len(WIDTHS) - 1)[1]
        return "transfers" if carried - best <= 0.01 * best else "does not transfer"


@dataclass
class Row:
    """Figures of one design on many surfaces."""

    shares: list[float]
    errors: list[float]
    regrets: list[float]
    right: list[bool]
    same: list[bool]

    def __str__(self) -> str:
        errors = np.array(self.errors)
        has = np.isfinite(errors)
        return " | ".join([
            f"{np.median(self.shares):.3f} ({np.quantile(self.shares, 0.9):.3f})",
            f"{np.median(errors[has]):.3f}" if has.any() else "–",
            f"{100 * np.mean(errors <= 0.25):.0f}",
            f"{100 * np.quantile(np.array(self.regrets)[has], 0.95):.3f}" if has.any() else "–",
            f"{100 * np.mean(self.right):.0f}" if self.right else "–",
            f"{100 * np.mean(self.same):.0f}",
        ])  # fmt: skip


HEAD = """| | share of its cost, median (90th percentile) | error, median octaves | within 1/4, % \
| regret, 95th percentile, % of the loss | verdict right, % | same verdict as the grid, % |
| --- | --- | --- | --- | --- | --- | --- |"""


def planted(surfaces: int) -> None:
    """Print the figures of planted surfaces, by noise and by kind."""
    print(HEAD)
    by_kind: dict[str, Row] = defaultdict(lambda: Row([], [], [], [], []))
    largest = len(WIDTHS) - 1

    def cost(cell: Cell) -> float:
        return WIDTHS[cell.size] ** 2

    for noise in (0.003, 0.01):
        for drift in DRIFTS:
            span = math.ceil(4 * drift)  # octaves that the grid is wider on each side
            for shape in SHAPES:
                for index in range(surfaces):
                    surface = Surface(drift, shape, noise, index)
                    fine = design_of(WIDTHS, 13 + 4 * span, 0.5, 3, 13)
                    frugal = design_of(WIDTHS, 7 + 2 * span, 1.0, 2, 7)
                    first = -3.0 - span
                    answers = {}
                    for name, design in (("grid", fine), ("frugal", frugal), ("bracket", fine)):

                        def loss(
                            cell: Cell,
                            s: Surface = surface,
                            step: float = design.step,
                            start: float = first,
                        ) -> float:
                            return s.run(cell.size, start + cell.step * step, cell.seed)

                        losses = (
                            searched(loss, design, first)
                            if name == "bracket"
                            else {cell: loss(cell) for cell in grid_of(design)}
                        )
                        answers[name] = answer(losses, design, first, cost)
                    truth, best = surface.best(largest)
                    cases = {
                        f"13-rate grid, noise {noise}": ("grid", "grid"),
                        f"frugal grid, noise {noise}": ("frugal", "frugal"),
                        f"bracket against the 13-rate grid, noise {noise}": ("bracket", "grid"),
                        f"bracket against the frugal grid, noise {noise}": ("bracket", "frugal"),
                        f"bracket against the 13-rate grid, drift {drift}": ("bracket", "grid"),
                        f"bracket against the 13-rate grid, {shape}": ("bracket", "grid"),
                    }
                    for label, (name, other) in cases.items():
                        mine, row = answers[name], by_kind[label]
                        row.shares.append(mine.cost / answers[other].cost)
                        row.errors.append(abs(mine.log2_lr - truth))
                        row.regrets.append((surface.loss(largest, mine.log2_lr) - best) / best)
                        row.right.append(mine.verdict == surface.truth)
                        row.same.append(mine.verdict == answers[other].verdict)
    for label in sorted(by_kind):
        print(f"| {label} | {by_kind[label]} |", flush=True)


def shipped() -> None:
    """Print the figures of shipped studies, each group of which is a grid."""
    print(
        "| study | rates, seeds | trials | share of its FLOPs | octaves from the grid's best rate "
        "| regret, % of the loss | verdict: bracket, grid |\n" + "| --- " * 7 + "|"
    )
    total = Row([], [], [], [], [])
    folder = files("mutransfer") / "studies" / "results"
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".csv"):
            continue
        rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
        axes = list(rows[0])[1 : list(rows[0]).index("loss")]
        others = [name for name in axes if name not in ("width", "lr", "seed")]
        groups: dict[tuple[str, ...], list[dict[str, str]]] = defaultdict(list)
        for row in rows:
            groups[tuple(row[name] for name in others)].append(row)
        for group, trials in groups.items():
            label = " ".join((file.name.removesuffix(".csv"), *group))
            if (text := replay(trials, total)) is not None:
                print(f"| {label} | {text} |", flush=True)
    shares = f"{np.median(total.shares):.2f}, {np.max(total.shares):.2f} at most"
    print(f"\n{len(total.shares)} groups: share {shares}; verdicts equal in {sum(total.same)}; "
          f"octaves median {np.nanmedian(total.errors):.3f}, within 1/4 in "
          f"{sum(error <= 0.25 for error in total.errors)}; regret at most "
          f"{100 * np.nanmax(total.regrets):.3f} %")  # fmt: skip


def replay(trials: list[dict[str, str]], total: Row) -> str | None:
    """Search among the trials of a group; None where they are no even grid of several widths."""
    if not all(name in trials[0] for name in ("width", "lr", "seed")):
        return None
    widths, rates, seeds = (sorted({float(t[n]) for t in trials}) for n in ("width", "lr", "seed"))
    step = rate_step(rates)
    if len(trials) < len(widths) * len(rates) * len(seeds) or len(widths) < 2:
        return None
    if step is None or len(rates) < MIN_RATES:
        return None
    losses, flops = {}, {}
    for trial in trials:
        place = (float(trial["width"]), float(trial["lr"]), float(trial["seed"]))
        cell = Cell(*(axis.index(v) for axis, v in zip((widths, rates, seeds), place, strict=True)))
        ended = trial["loss"] and not trial["diverged_at"]
        losses[cell] = float(trial["loss"]) if ended else math.nan
        flops[cell] = float(trial["flops"])
    design = design_of(widths, len(rates), step, len(seeds), 0)
    first = math.log2(rates[0])
    grid = answer(losses, design, first, flops.__getitem__)
    bracket = answer(searched(losses.__getitem__, design, first), design, first,
                     flops.__getitem__)  # fmt: skip
    means = {
        first + k * step: np.mean([losses[Cell(len(widths) - 1, k, s)] for s in range(len(seeds))])
        for k in range(len(rates))
    }
    finite = {x: float(loss) for x, loss in means.items() if math.isfinite(loss)}
    curvature = fit_optimum(finite).curvature or math.nan
    error = abs(bracket.log2_lr - grid.log2_lr)
    regret = curvature / 2 * error**2 / min(finite.values())
    total.shares.append(bracket.cost / grid.cost)
    total.errors.append(error)
    total.regrets.append(regret)
    total.same.append(bracket.verdict == grid.verdict)
    return (f"{len(rates)}, {len(seeds)} | {bracket.trials} of {grid.trials} "
            f"| {bracket.cost / grid.cost:.2f} | {error:.3f} | {100 * regret:.3f} "
            f"| {bracket.verdict}, {grid.verdict}")  # fmt: skip


def main() -> None:
    """Print the table of planted surfaces, or of shipped studies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--surfaces", type=int, default=10, help="of each kind and noise")
    parser.add_argument("--shipped", action="store_true")
    options = parser.parse_args()
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    print(f"commit {git.stdout.strip()}, {platform.machine()}, Python {platform.python_version()}")
    shipped() if options.shipped else planted(options.surfaces)


if __name__ == "__main__":
    main()
