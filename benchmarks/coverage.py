"""Coverage of the confidence intervals of an analysis, on surfaces with known laws.

    python benchmarks/coverage.py [--surfaces 200] [--case plain] [--case drifting]

Losses are simulated on the surfaces with noise, and analyzed with 1,000 bootstrap draws. For each
quantity and case the table lists the share of intervals that contain the truth, the number of
intervals, the share of `undetermined` estimates, and the median length (of one-sided bounds: the
bound itself). All cases by default.
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
from coverage_table import Tally, coverage_table
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
TARGET_FACTOR = 16.0  # the target of the prediction, in multiples of the largest width
BEST = -6.0  # log2 of the best rate at the middle width, before the offset of a surface
MARGIN = 3.5  # octaves of rates on both sides of the optima
UNTRAINED = 10.8
REPETITIONS = 20  # experiments on one surface whose mean E is the truth; ten times that pooled
SETTINGS = Settings(AxisNames("width", "lr"), (), 1.1, 1000, 0)


@dataclass(frozen=True)
class Case:
    """Distribution of the surfaces of one case.

    Args:
        widths: Widths of the runs.
        step: Octaves between rates.
        seeds: Number of seeds.
        within: Standard deviation of the noise of a run, in nats.
        between: Standard deviation of the shift common to all rates of a seed and width, in nats.
        beta: The best rate falls as n^-beta.
        skew: Ratio of the third to the second derivative of the loss: steeper at large rates.
        edge: Whether the optimum of the largest width is near the lowest rate.
        diverging: Whether runs diverge from 0.5 to 1.5 octaves above the optimum on.
        scatter: Standard deviation of ln(best rate) between widths.
        bend: The reducible loss deviates from a power law by exp(bend · ln(n/512)²).
        delta: The best rate converges as n^-delta instead; None for a power law.
        gap: Difference in L∞ to a second group; None without a second group.
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
    "one seed": Case(seeds=1, beta=0.1),
    "one seed, octaves": Case(seeds=1, step=1.0, beta=0.1),
    "one seed, many widths": Case(seeds=1, beta=0.1, widths=tuple(2.0**k for k in range(6, 13))),
    "one seed, skewed": Case(seeds=1, beta=0.1, skew=1.0),
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
    """A loss surface with known laws, and the rates of its runs.

    Args:
        case: Its distribution.
        offset: Shift of all optima, in octaves.
        scatter: Shift of ln(best rate) at each width; the last is the target's.
        threshold: Octaves above the optimum from which on runs diverge.
        gap: Addition to L∞.
    """

    case: Case
    offset: float
    scatter: tuple[float, ...]
    threshold: float
    gap: float = 0.0

    @property
    def widths(self) -> tuple[float, ...]:
        """The widths of the runs, and the target."""
        return (*self.case.widths, self.case.widths[-1] * TARGET_FACTOR)

    def x(self, n: float) -> float:
        """Return ln of the best rate."""
        case, middle = self.case, self.case.widths[len(self.case.widths) // 2]
        shift: float = -case.beta * math.log(n / middle)
        if case.delta is not None:
            start, end = case.widths[0] ** -case.delta, case.widths[-1] ** -case.delta
            shift = 1.5 * (n**-case.delta - middle**-case.delta) / (start - end)
        return (BEST + self.offset) * LN2 + shift + self.scatter[self.widths.index(n)]

    def best(self, n: float) -> float:
        """Return the best loss."""
        bend = math.exp(self.case.bend * math.log(n / 512) ** 2)
        return LOSS_INF + self.gap + AMPLITUDE * math.pow(n, -ALPHA) * bend

    def curvature(self, n: float) -> float:
        """Return the curvature in ln(rate) at the best rate."""
        return CURVATURE * math.pow(n, GAMMA_LOG)

    def regret(self, n: float, x: float | Floats) -> Floats:
        """Return the regret of a rate in nats, a parabola close to the optimum."""
        u, s = np.asarray(x) - self.x(n), self.case.skew
        if s:  # the second derivative is 1 at u = 0 and grows as e^su
            return np.asarray(self.curvature(n) * (np.expm1(s * u) - s * u) / s**2)
        return np.asarray(0.5 * self.curvature(n) * u**2)

    def rates(self) -> Floats:
        """Return log2 of the rates, which are the same at every width."""
        ends = [self.x(n) / LN2 - self.offset - BEST for n in (self.widths[0], self.widths[-2])]
        low, high = min(ends) - (0.25 if self.case.edge else MARGIN), max(ends) + MARGIN
        step = self.case.step
        first, count = math.floor(low / step), round((high - low) / step)
        return np.asarray(BEST + step * np.arange(first, first + count + 1))

    def runs(self, rng: np.random.Generator, shared: Floats | None = None) -> Columns:
        """Simulate the runs once; `shared` holds the shifts of the seeds, one row per width."""
        case, log2_lr_R = self.case, self.rates()
        table: Columns = {"width": [], "lr": [], "seed": [], "loss": []}
        for k, n in enumerate(case.widths):
            seed_S = rng.normal(0.0, case.between, case.seeds) if shared is None else shared[k]
            noise_RS = rng.normal(0.0, case.within, (len(log2_lr_R), case.seeds))
            loss_RS = self.best(n) + self.regret(n, log2_lr_R * LN2)[:, None] + seed_S + noise_RS
            if case.diverging:
                loss_RS[log2_lr_R > self.x(n) / LN2 + self.threshold] = np.nan
            table["width"] += [n] * loss_RS.size
            table["lr"] += np.repeat(2.0**log2_lr_R, case.seeds).tolist()
            table["seed"] += list(range(case.seeds)) * len(log2_lr_R)
            table["loss"] += loss_RS.ravel().tolist()
        return table


def draw_surface(case: Case, index: int) -> tuple[Surface, np.random.Generator]:
    """Draw one surface of a case, and return the generator of its noise."""
    rng = np.random.default_rng([index, *repr(case).encode()])
    scatter = rng.normal(0.0, 1.0, len(case.widths) + 1) * case.scatter
    surface = Surface(
        case, rng.uniform(-0.5, 0.5) * case.step, tuple(scatter.tolist()), rng.uniform(0.5, 1.5)
    )
    return surface, rng


def as_results(table: Columns) -> Results:
    """Convert columns to results with the loss of an untrained model."""
    results = Results.from_columns(table)
    return replace(results, untrained_loss=np.full(len(results), UNTRAINED))


Claim = tuple[str, Estimate, float, str]


def about_widths(surface: Surface, group: GroupReport) -> Iterator[Claim]:
    """Yield claims about single widths and pairs of them."""
    grid_x = surface.rates() * LN2
    if not (surface.case.edge or surface.case.diverging):  # complete windows share one true skew
        yield "skew, octaves", group.scaling.skew, true_skew(surface), "both"
    for optimum, sensitivity in zip(group.optimum, group.scaling.lr_sensitivity, strict=True):
        n = optimum.width
        yield "best rate, log2", optimum.log2_lr, surface.x(n) / LN2, "both"
        yield "best loss", optimum.loss, surface.best(n), "both"
        yield "curvature at a width", optimum.curvature, surface.curvature(n), "both"
        regret_R = surface.regret(n, grid_x)
        if surface.case.diverging:
            diverged_R = grid_x > surface.x(n) + surface.threshold * LN2
            regret_R = np.where(diverged_R, UNTRAINED - surface.best(n), regret_R)
        regret_R = np.minimum(regret_R, UNTRAINED - surface.best(n))
        truth = float(np.trapezoid(regret_R, grid_x) / (grid_x[-1] - grid_x[0]))
        yield "rate sensitivity", sensitivity.estimate, truth, "both"
    for pair in group.regret_matrix:
        truth = float(surface.regret(pair.target, surface.x(pair.proxy)))
        far = surface.x(pair.proxy) - surface.x(pair.target) > surface.threshold * LN2
        if surface.case.diverging and far:
            truth = math.inf
        ends = (pair.proxy, pair.target) == (group.optimum[0].width, group.optimum[-1].width)
        for name in ("regret", "regret of a pair") if ends else ("regret of a pair",):
            yield f"{name}, upper bound", pair.regret, truth, "high"
            yield f"{name}, lower bound", pair.regret, truth, "low"


def true_skew(surface: Surface) -> float:
    """Return how far the minimum lies above that of a parabola fitted around it, in octaves."""
    if not surface.case.skew:
        return 0.0
    shifts = []
    for n in surface.case.widths:
        for offset in np.arange(-0.5, 0.5, 0.125) * surface.case.step * LN2:
            z = np.arange(-8, 9) * surface.case.step * LN2 + offset
            z = z[np.abs(z - offset) <= SETTINGS.window + 1e-9]
            a, b, _ = np.polyfit(z, surface.regret(n, surface.x(n) + z), 2)
            shifts.append(b / (2 * a) / LN2)
    return float(np.mean(shifts))


def about_laws(surface: Surface, group: GroupReport) -> Iterator[Claim]:
    """Yield claims about the laws of the surface."""
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


def true_error(surface: Surface) -> float:
    """Return the mean E of repetitions, of this surface if E differs within the case."""
    case = surface.case
    if case.scatter or case.edge or case.diverging:
        return mean_error([surface] * REPETITIONS)
    return error_of_case(case)


@cache
def error_of_case(case: Case) -> float:
    """Return the mean E of repetitions that differ in noise and in the offset of the grid."""
    return mean_error([draw_surface(case, index)[0] for index in range(10 * REPETITIONS)])


def mean_error(surfaces: list[Surface]) -> float:
    """Return the mean E of one experiment on each surface; seeds are averaged first."""
    case, rng = surfaces[0].case, np.random.default_rng(1)
    spread = math.sqrt(case.seeds)
    averaged = replace(case, seeds=1, within=case.within / spread, between=case.between / spread)
    errors = []
    for surface in surfaces:
        results = as_results(replace(surface, case=averaged).runs(rng))
        (group,) = fitted_groups(results, SETTINGS).values()
        fit = joint_fit(group, fit_optima(group, SETTINGS.axes))
        if fit is not None:
            errors.append(float((fit.residuals(points_in_windows(group)) ** 2).mean()))
    return float(np.mean(errors)) if errors else math.nan


def about_prediction(surface: Surface, results: Results, index: int) -> Iterator[Claim]:
    """Yield claims about the target."""
    n = surface.widths[-1]
    prediction = predict(results, width=n, draws=1000, seed=index)
    yield "predicted rate, log2", prediction.log2_lr, surface.x(n) / LN2, "both"
    yield "predicted loss", prediction.loss, surface.best(n), "both"
    if prediction.log2_lr.value is not None:
        regret = float(surface.regret(n, prediction.log2_lr.value * LN2))
        yield "predicted regret, upper bound", prediction.regret, regret, "high"


def about_one_group(case: Case, index: int) -> Iterator[Claim]:
    """Yield claims about one group."""
    surface, rng = draw_surface(case, index)
    results = as_results(surface.runs(rng))
    group = analyze(results, draws=1000, seed=index)["all"]
    yield from about_widths(surface, group)
    yield from about_laws(surface, group)
    yield "E, nats²", group.E, math.nan if group.E.value is None else true_error(surface), "both"
    yield from about_prediction(surface, results, index)


def about_two_groups(case: Case, index: int) -> Iterator[Claim]:
    """Yield claims about two groups whose seeds have half of the variance in common."""
    assert case.gap is not None
    surface, rng = draw_surface(case, index)
    shape = (3, len(case.widths), case.seeds)
    both_WS, *own = rng.normal(0.0, case.between / math.sqrt(2), shape)
    worse = replace(surface, gap=case.gap, offset=surface.offset + rng.uniform(-1, 1))
    tables = [s.runs(rng, both_WS + mine) for s, mine in zip((surface, worse), own, strict=True)]
    table: Columns = {name: tables[0][name] + tables[1][name] for name in tables[0]}
    rows = [len(columns["loss"]) for columns in tables]
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


def analyze_case(case: Case, surfaces: int) -> dict[str, Tally]:
    """Analyze the surfaces of a case, and count the covered truths by quantity."""
    claims: Callable[[Case, int], Iterator[Claim]] = (
        about_one_group if case.gap is None else about_two_groups
    )
    tallies: dict[str, Tally] = {}
    for index in range(surfaces):
        for name, estimate, truth, side in claims(case, index):
            tallies.setdefault(name, Tally()).add(estimate, truth, side)
    return tallies


def main() -> None:
    """Run the selected cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--surfaces", type=int, default=200)
    parser.add_argument("--case", action="append", choices=list(CASES))
    options = parser.parse_args()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    print(f"commit {commit}, {platform.machine()}, Python {platform.python_version()}")
    cases = {}
    for name in options.case or CASES:
        start = time.perf_counter()
        tallies = cases[name] = analyze_case(CASES[name], options.surfaces)
        print(f"\n## {name}\n\n`{CASES[name]}`, {options.surfaces} surfaces\n")
        print("| quantity | covered | intervals | undetermined | median length | median error |")
        print("| --- | --- | --- | --- | --- | --- |")
        for quantity, tally in tallies.items():
            print(f"| {quantity} | {tally.cells()} |")
        print(f"\n{time.perf_counter() - start:.0f} s", flush=True)
    print(f"\n## Covered, in percent\n\n{coverage_table(cases)}")


if __name__ == "__main__":
    main()
