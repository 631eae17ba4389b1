"""This file measures how often the intervals of an analysis hold the truth.

    python benchmarks/coverage.py [--surfaces 200] [--case plain] [--case drifting]

Surfaces whose laws are planted are made noisy and analyzed with 1,000 draws. The table says, for
each quantity and case, which share of the intervals holds the truth, how many there were, which
share was `undetermined`, and the median length (of one-sided bounds: the bound itself). All cases
by default.
"""

from __future__ import annotations

import argparse
import math
import platform
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from coverage_table import Tally, gathered
from numpy.typing import NDArray

from mutransfer.analysis import Estimate, GroupReport, Results, analyze, predict
from mutransfer.analysis.curves.group import Settings, fitted_groups
from mutransfer.analysis.format import AxisNames
from mutransfer.analysis.transfer.optima import fit_optima
from mutransfer.analysis.transfer.predictability import joint_fit, points_in_windows

Floats = NDArray[np.float64]
Columns = dict[str, list[Any]]

LN2 = math.log(2.0)
LOSS_INF, AMPLITUDE, ALPHA, CURVATURE, GAMMA_LOG = 2.2, 13.0, 0.5, 0.25, -0.2
WIDTHS = (128.0, 256.0, 512.0, 1024.0, 2048.0)
FURTHER = 16.0  # times the largest width: where is predicted
BEST = -6.0  # log2 of the best rate at the middle width, before the offset of a surface
BEYOND = 3.5  # octaves of rates on both sides of the optima
UNTRAINED = 10.8
REPETITIONS = 20  # experiments on one surface whose mean E is the truth; ten times that pooled
SETTINGS = Settings(AxisNames("width", "lr"), (), 1.1, 1000, 0)


@dataclass(frozen=True)
class Case:
    """How the surfaces of one case are made.

    Args:
        widths: The widths.
        step: Octaves between rates.
        seeds: Seeds.
        within: Standard deviation of the noise of a run, in nats.
        between: Standard deviation of what a seed and width shift together, in nats.
        beta: The best rate falls as n^-beta.
        skew: Third derivative of the loss over the second: steeper towards large rates.
        edge: Whether the largest width's optimum is near the lowest rate.
        diverging: Whether rates 0.5 to 1.5 octaves above the optimum diverge.
        scatter: Standard deviation of ln(best rate) from width to width.
        bend: The reducible loss is off a power law by exp(bend · ln(n/512)²).
        delta: The best rate converges as n^-delta instead; None for a power law.
        gap: A second group with this much more L∞, for what compares groups.
    """

    widths: tuple[float, ...] = WIDTHS
    step: float = 0.5
    seeds: int = 3
    within: float = 0.005
    between: float = 0.01
    beta: float = 0.0
    skew: float = 0.0
    edge: bool = False
    diverging: bool = False
    scatter: float = 0.0
    bend: float = 0.0
    delta: float | None = None
    gap: float | None = None


CASES = {
    "plain": Case(),
    "two seeds": Case(seeds=2),
    "octaves": Case(step=1.0),
    "drifting": Case(beta=0.4),
    "noisy": Case(within=0.01, between=0.03, beta=0.1),
    "many widths": Case(widths=tuple(2.0**k for k in range(6, 13)), beta=0.1),
    "skewed": Case(skew=1.0, beta=0.1),
    "edge": Case(beta=0.3, edge=True),
    "diverging": Case(beta=0.1, diverging=True),
    "misfit": Case(beta=0.1, scatter=0.15, bend=0.02),
    "converging": Case(delta=0.5),
    "two groups": Case(gap=0.1),
    "equal groups": Case(gap=0.0),
}


@dataclass(frozen=True)
class Surface:
    """A true surface, and the rates that are tried on it.

    Args:
        case: What it is made of.
        offset: Octaves that all optima are moved by.
        scatter: What every width's ln(best rate) is moved by; the last is the target's.
        threshold: Octaves above the optimum from which on runs diverge.
        gap: What is added to L∞.
    """

    case: Case
    offset: float
    scatter: tuple[float, ...]
    threshold: float
    gap: float = 0.0

    @property
    def widths(self) -> tuple[float, ...]:
        """The widths that are run, and the target."""
        return (*self.case.widths, self.case.widths[-1] * FURTHER)

    def x(self, n: float) -> float:
        """Give ln of the best rate."""
        case, middle = self.case, self.case.widths[len(self.case.widths) // 2]
        moved: float = -case.beta * math.log(n / middle)
        if case.delta is not None:
            start, end = case.widths[0] ** -case.delta, case.widths[-1] ** -case.delta
            moved = 1.5 * (n**-case.delta - middle**-case.delta) / (start - end)
        return (BEST + self.offset) * LN2 + moved + self.scatter[self.widths.index(n)]

    def best(self, n: float) -> float:
        """Give the best loss."""
        bend = math.exp(self.case.bend * math.log(n / 512) ** 2)
        return LOSS_INF + self.gap + AMPLITUDE * math.pow(n, -ALPHA) * bend

    def stiffness(self, n: float) -> float:
        """Give the curvature in ln(rate) at the best rate."""
        return CURVATURE * math.pow(n, GAMMA_LOG)

    def cost(self, n: float, x: float | Floats) -> Floats:
        """Give what a rate costs, in nats; next to the optimum a parabola."""
        u, s = np.asarray(x) - self.x(n), self.case.skew
        if s:  # the second derivative is 1 at u = 0 and grows as e^su
            return np.asarray(self.stiffness(n) * (np.expm1(s * u) - s * u) / s**2)
        return np.asarray(0.5 * self.stiffness(n) * u**2)

    def rates(self) -> Floats:
        """Give log2 of the rates, the same at every width."""
        ends = [self.x(n) / LN2 - self.offset - BEST for n in (self.widths[0], self.widths[-2])]
        low, high = min(ends) - (0.25 if self.case.edge else BEYOND), max(ends) + BEYOND
        step = self.case.step
        first, count = math.floor(low / step), round((high - low) / step)
        return np.asarray(BEST + step * np.arange(first, first + count + 1))

    def runs(self, rng: np.random.Generator, shared: Floats | None = None) -> Columns:
        """Run the experiment once; `shared` is what seeds shift, one row per width."""
        case, log2_lr_R = self.case, self.rates()
        table: Columns = {"width": [], "lr": [], "seed": [], "loss": []}
        for k, n in enumerate(case.widths):
            seed_S = rng.normal(0.0, case.between, case.seeds) if shared is None else shared[k]
            noise_RS = rng.normal(0.0, case.within, (len(log2_lr_R), case.seeds))
            loss_RS = self.best(n) + self.cost(n, log2_lr_R * LN2)[:, None] + seed_S + noise_RS
            if case.diverging:
                loss_RS[log2_lr_R > self.x(n) / LN2 + self.threshold] = np.nan
            table["width"] += [n] * loss_RS.size
            table["lr"] += np.repeat(2.0**log2_lr_R, case.seeds).tolist()
            table["seed"] += list(range(case.seeds)) * len(log2_lr_R)
            table["loss"] += loss_RS.ravel().tolist()
        return table


def planted(case: Case, index: int) -> tuple[Surface, np.random.Generator]:
    """Give one surface of a case, and the generator of its noise."""
    rng = np.random.default_rng([index, *repr(case).encode()])
    scatter = rng.normal(0.0, 1.0, len(case.widths) + 1) * case.scatter
    surface = Surface(
        case, rng.uniform(-0.5, 0.5) * case.step, tuple(scatter.tolist()), rng.uniform(0.5, 1.5)
    )
    return surface, rng


def measured(table: Columns) -> Results:
    """Turn columns into results that know the untrained loss."""
    results = Results.from_columns(table)
    return replace(results, untrained_loss=np.full(len(results), UNTRAINED))


Claim = tuple[str, Estimate, float, str]


def at_widths(surface: Surface, group: GroupReport) -> Iterator[Claim]:
    """Claims about single widths and pairs of them."""
    grid_x = surface.rates() * LN2
    if not (surface.case.edge or surface.case.diverging):  # windows are whole: one truth for all
        yield "skew, octaves", group.scaling.skew, planted_skew(surface), "both"
    for one, blind in zip(group.optimum, group.scaling.lr_sensitivity, strict=True):
        n = one.width
        yield "best rate, log2", one.log2_lr, surface.x(n) / LN2, "both"
        yield "best loss", one.loss, surface.best(n), "both"
        yield "curvature at a width", one.curvature, surface.stiffness(n), "both"
        cost_R = surface.cost(n, grid_x)
        if surface.case.diverging:
            lost_R = grid_x > surface.x(n) + surface.threshold * LN2
            cost_R = np.where(lost_R, UNTRAINED - surface.best(n), cost_R)
        cost_R = np.minimum(cost_R, UNTRAINED - surface.best(n))
        truth = float(np.trapezoid(cost_R, grid_x) / (grid_x[-1] - grid_x[0]))
        yield "rate sensitivity", blind.estimate, truth, "both"
    for pair in group.regret_matrix:
        truth = float(surface.cost(pair.target, surface.x(pair.proxy)))
        far = surface.x(pair.proxy) - surface.x(pair.target) > surface.threshold * LN2
        if surface.case.diverging and far:
            truth = math.inf
        ends = (pair.proxy, pair.target) == (group.optimum[0].width, group.optimum[-1].width)
        for name in ("regret", "regret of a pair") if ends else ("regret of a pair",):
            yield f"{name}, upper bound", pair.regret, truth, "high"
            yield f"{name}, lower bound", pair.regret, truth, "low"


def planted_skew(surface: Surface) -> float:
    """Give how far the minimum lies above that of a parabola fitted around it, in octaves."""
    if not surface.case.skew:
        return 0.0
    moved = []
    for n in surface.case.widths:
        for offset in np.arange(-0.5, 0.5, 0.125) * surface.case.step * LN2:
            z = np.arange(-8, 9) * surface.case.step * LN2 + offset
            z = z[np.abs(z - offset) <= SETTINGS.window + 1e-9]
            a, b, _ = np.polyfit(z, surface.cost(n, surface.x(n) + z), 2)
            moved.append(b / (2 * a) / LN2)
    return float(np.mean(moved))


def of_laws(surface: Surface, group: GroupReport) -> Iterator[Claim]:
    """Claims about laws that the surface has."""
    case, laws = surface.case, group.laws
    slope, _ = np.polyfit(np.log(case.widths), [surface.x(n) for n in case.widths], 1)
    yield "drift of these widths", group.drift, float(slope), "both"
    yield "gamma_log", laws.gamma_log, GAMMA_LOG, "both"
    yield "curvature at n = 1", laws.curvature, CURVATURE, "both"
    if case.delta is None:
        yield "beta", laws.beta, case.beta, "both"
        yield "gamma", laws.gamma, GAMMA_LOG + 2 * case.beta, "both"
        middle = math.log(case.widths[len(case.widths) // 2])
        start = BEST + surface.offset + case.beta * middle / LN2
        yield "best rate at n = 1, log2", laws.log2_lr, start, "both"
    if not case.bend:
        yield "alpha", laws.alpha, ALPHA, "both"
        yield "L_inf", laws.loss_inf, LOSS_INF + surface.gap, "both"
        yield "amplitude", laws.amplitude, AMPLITUDE, "both"
        yield "kappa", group.kappa, ALPHA + GAMMA_LOG, "both"
    if case.delta is not None:
        yield "delta", group.scaling.fast.delta, case.delta, "both"
        yield "fast margin", group.scaling.fast.margin, case.delta - ALPHA / 2, "both"


def error_truth(surface: Surface) -> float:
    """Give the mean E of repetitions, of this surface's where those of a case differ in E."""
    case = surface.case
    if case.scatter or case.edge or case.diverging:
        return mean_error([surface] * REPETITIONS)
    return error_of_case(case)


@cache
def error_of_case(case: Case) -> float:
    """Give the mean E of repetitions that differ in noise and in where the grid lies."""
    return mean_error([planted(case, index)[0] for index in range(10 * REPETITIONS)])


def mean_error(surfaces: list[Surface]) -> float:
    """Give the mean E of one experiment on each surface; seeds are averaged first."""
    case, rng = surfaces[0].case, np.random.default_rng(1)
    spread = math.sqrt(case.seeds)
    quiet = replace(case, seeds=1, within=case.within / spread, between=case.between / spread)
    found = []
    for surface in surfaces:
        results = measured(replace(surface, case=quiet).runs(rng))
        (group,) = fitted_groups(results, SETTINGS).values()
        fit = joint_fit(group, fit_optima(group, SETTINGS.axes))
        if fit is not None:
            found.append(float((fit.residuals(points_in_windows(group)) ** 2).mean()))
    return float(np.mean(found)) if found else math.nan


def of_prediction(surface: Surface, results: Results, index: int) -> Iterator[Claim]:
    """Claims about the target."""
    n = surface.widths[-1]
    told = predict(results, width=n, draws=1000, seed=index)
    yield "predicted rate, log2", told.log2_lr, surface.x(n) / LN2, "both"
    yield "predicted loss", told.loss, surface.best(n), "both"
    if told.log2_lr.value is not None:
        cost = float(surface.cost(n, told.log2_lr.value * LN2))
        yield "predicted regret, upper bound", told.regret, cost, "high"


def alone(case: Case, index: int) -> Iterator[Claim]:
    """Claims about one group."""
    surface, rng = planted(case, index)
    results = measured(surface.runs(rng))
    group = analyze(results, draws=1000, seed=index)["all"]
    yield from at_widths(surface, group)
    yield from of_laws(surface, group)
    yield "E, nats²", group.E, math.nan if group.E.value is None else error_truth(surface), "both"
    yield from of_prediction(surface, results, index)


def together(case: Case, index: int) -> Iterator[Claim]:
    """Claims about two groups that share half of what their seeds shift."""
    assert case.gap is not None
    surface, rng = planted(case, index)
    shape = (3, len(case.widths), case.seeds)
    both_WS, *own = rng.normal(0.0, case.between / math.sqrt(2), shape)
    worse = replace(surface, gap=case.gap, offset=surface.offset + rng.uniform(-1, 1))
    tables = [s.runs(rng, both_WS + mine) for s, mine in zip((surface, worse), own, strict=True)]
    table: Columns = {name: tables[0][name] + tables[1][name] for name in tables[0]}
    rows = [len(each["loss"]) for each in tables]
    table["parametrization"] = ["a"] * rows[0] + ["b"] * rows[1]
    results = Results.from_columns(table)
    report = analyze(results, draws=1000, seed=index)
    named = analyze(results, draws=1000, seed=index, reference="a")
    yield "R_inf of the better, envelope", report["a"].R_inf, 0.0, "both"
    yield "R_inf of the worse, envelope", report["b"].R_inf, case.gap, "both"
    yield "R_inf of the worse, named reference", named["b"].R_inf, case.gap, "both"
    (pair,) = report.comparisons
    sign = 1.0 if pair.group == "b" else -1.0
    yield "comparison", pair.difference, sign * case.gap, "both"


def tallied(case: Case, surfaces: int) -> dict[str, Tally]:
    """Analyze the surfaces of a case."""
    claims: Callable[[Case, int], Iterator[Claim]] = alone if case.gap is None else together
    found: dict[str, Tally] = {}
    for index in range(surfaces):
        for name, estimate, truth, side in claims(case, index):
            found.setdefault(name, Tally()).add(estimate, truth, side)
    return found


def main() -> None:
    """Run the cases that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--surfaces", type=int, default=200)
    parser.add_argument("--case", action="append", choices=list(CASES))
    asked = parser.parse_args()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    print(f"commit {commit}, {platform.machine()}, Python {platform.python_version()}")
    cases = {}
    for name in asked.case or CASES:
        started = time.perf_counter()
        found = cases[name] = tallied(CASES[name], asked.surfaces)
        print(f"\n## {name}\n\n`{CASES[name]}`, {asked.surfaces} surfaces\n")
        print("| quantity | covered | intervals | undetermined | median length | median error |")
        print("| --- | --- | --- | --- | --- | --- |")
        for quantity, tally in found.items():
            print(f"| {quantity} | {tally.cells()} |")
        print(f"\n{time.perf_counter() - started:.0f} s", flush=True)
    print(f"\n## Covered, in percent\n\n{gathered(cases)}")


if __name__ == "__main__":
    main()
