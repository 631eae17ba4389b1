"""Verdicts and intervals on loss surfaces that the analysis does not assume.

    python benchmarks/robustness.py [--surfaces 200] [--case "a cliff, octaves"]

Tables of real sweeps have runs that blow up to a finite loss, spikes, noise with heavy tails, and
curves that are no parabolas. Half of the surfaces of each case drift by -0.6 octaves per octave of
width, which costs 7 % at the largest width, and half do not drift. All cases by default.
"""

from __future__ import annotations

import argparse
import math
import platform
import subprocess
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mutransfer.analysis import Estimate, GroupReport, Results, analyze, predict

Floats = NDArray[np.float64]

BEST = -6.0  # log2 of the best rate at the middle of the widths, before the offset of a surface
CURVATURE = 0.06  # nats per octave²
DRIFTS = 0.0, -0.6  # octaves per octave of width
TARGET = 4096.0
THRESHOLD = 0.01
SPIKE, RIPPLE = 0.3, 1.7  # nats; octaves
PLATEAU_NOISE = 0.02  # nats


@dataclass(frozen=True)
class Case:
    """Distribution of the surfaces of one case.

    Args:
        widths: Widths of the runs.
        step: Octaves between rates.
        rates: Number of rates, around the best rate at the middle of the widths.
        seeds: Number of seeds.
        within: Scale of the noise of a run, in nats.
        between: Standard deviation of the shift common to all rates of a seed and width, in nats.
        cliff: Octaves above the optimum from which on runs end at `plateau`.
        plateau: The loss there; NaN if they have none.
        skew: Ratio of third to second derivative, per octave; 0.87 is 2.4 times as steep at +1 as
            at -1 octave.
        spikes: Share of runs that end `SPIKE` too high.
        freedom: Degrees of freedom of Student's t, the distribution of a run's noise.
        noise_growth: Factor of the noise per octave of the rate above the optimum.
        noise_by_width: Factor of the noise per octave of width.
        settles: Whether the drift fades: half of what remains per octave of width.
        ripple: Amplitude, in nats, of a sine in log2(rate).
    """

    widths: tuple[float, ...] = (64.0, 128.0, 256.0, 512.0)
    step: float = 1.0
    rates: int = 9
    seeds: int = 2
    within: float = 0.004
    between: float = 0.01
    cliff: float = math.inf
    plateau: float = math.nan
    skew: float = 0.0
    spikes: float = 0.0
    freedom: float = math.inf
    noise_growth: float = 1.0
    noise_by_width: float = 1.0
    settles: bool = False
    ripple: float = 0.0


OCTAVES = Case()
HALVES = Case(step=0.5, rates=17, seeds=3)
CASES = {
    "octaves": OCTAVES,
    "half octaves": HALVES,
    "three widths, five rates": Case(widths=(64.0, 128.0, 256.0), rates=5, seeds=3),
    "a cliff to nan": replace(OCTAVES, cliff=1.2),
    "a cliff, octaves": replace(OCTAVES, cliff=1.2, plateau=7.5),
    "a cliff, half octaves": replace(HALVES, cliff=1.2, plateau=7.5, seeds=2),
    "a low cliff": replace(HALVES, cliff=1.2, plateau=4.4, seeds=2),
    "a cliff next to the best": replace(HALVES, cliff=0.4, plateau=7.5, seeds=2),
    "heavy tails, octaves": replace(OCTAVES, freedom=1.5),
    "heavy tails, half octaves": replace(HALVES, freedom=1.5),
    "spikes, octaves": replace(OCTAVES, spikes=0.05),
    "spikes, half octaves": replace(HALVES, spikes=0.05),
    "noise grows with the rate": replace(OCTAVES, noise_growth=2.0),
    "noise falls with width": replace(OCTAVES, noise_by_width=0.5),
    "noise grows with width": replace(OCTAVES, noise_by_width=1.5),
    "five times the noise": replace(HALVES, within=0.02, between=0.05),
    "drift that settles": replace(OCTAVES, settles=True),
    "skewed, octaves": replace(OCTAVES, skew=0.87),
    "skewed, half octaves": replace(HALVES, skew=0.87),
    "one seed, octaves": replace(OCTAVES, seeds=1),
    "one seed, half octaves": replace(HALVES, seeds=1),
    "one seed, five half octaves": replace(HALVES, seeds=1, rates=5),
    "one seed, five times the noise": replace(HALVES, seeds=1, within=0.02, between=0.05),
    "one seed, skewed, octaves": replace(OCTAVES, seeds=1, skew=0.87),
    "one seed, skewed, half octaves": replace(HALVES, seeds=1, skew=0.87),
    "one seed, a cliff": replace(HALVES, seeds=1, cliff=1.2, plateau=7.5),
    "a ripple, octaves": replace(OCTAVES, ripple=0.008),
    "a ripple, half octaves": replace(HALVES, ripple=0.008),
}


class Surface:
    """One loss surface of a case, and the generator of its noise."""

    def __init__(self, case: Case, index: int) -> None:
        self.case = case
        self.rng = np.random.default_rng([index, *repr(case).encode()])
        self.offset = self.rng.uniform(-0.5, 0.5) * case.step
        self.drift = DRIFTS[index % 2]
        self.phase = self.rng.uniform(0.0, 2 * math.pi)

    def center(self, n: float) -> float:
        """Return log2 of the rate at which the smooth part of the loss is lowest."""
        octaves = math.log2(n / self.case.widths[0])
        if self.case.settles:
            octaves = 2 * (1 - 2.0**-octaves)
        return BEST + self.offset + self.drift * (octaves - 1.5)

    def loss(self, n: float, log2_lr: Floats) -> Floats:
        """Return the expected loss."""
        case, u = self.case, log2_lr - self.center(n)
        rise = CURVATURE * u**2
        if case.skew:
            rise = 2 * CURVATURE * (np.expm1(case.skew * u) - case.skew * u) / case.skew**2
        wave = np.sin(2 * math.pi * log2_lr / RIPPLE + self.phase + math.log2(n))
        smooth = 2.2 + 13.0 / math.sqrt(n) + rise + case.ripple * wave
        return np.where(u > case.cliff, case.plateau, smooth)

    def best(self, n: float) -> tuple[float, float]:
        """Return log2 of the best rate, and the loss there."""
        log2_lr = self.center(n) + np.linspace(-2.0, 2.0, 4001)
        loss = self.loss(n, log2_lr)
        lowest = int(np.nanargmin(loss))
        return float(log2_lr[lowest]), float(loss[lowest])

    def regret(self) -> float:
        """Return what the smallest width's best rate costs at the largest; infinite for NaN."""
        small, large = self.case.widths[0], self.case.widths[-1]
        carried = float(self.loss(large, np.array([self.best(small)[0]]))[0])
        return math.inf if math.isnan(carried) else carried - self.best(large)[1]

    def results(self) -> Results:
        """Simulate the runs."""
        case, rng = self.case, self.rng
        log2_lr_R = BEST + case.step * (np.arange(case.rates) - case.rates // 2)
        table: dict[str, list[Any]] = {"width": [], "lr": [], "seed": [], "loss": []}
        shape = (len(log2_lr_R), case.seeds)
        for n in case.widths:
            u_R = log2_lr_R - self.center(n)
            scale_R = case.within * case.noise_growth ** np.maximum(u_R, -2.0)
            scale_R *= case.noise_by_width ** math.log2(n / case.widths[0])
            scale_R = np.where(u_R > case.cliff, PLATEAU_NOISE, scale_R)
            is_normal = math.isinf(case.freedom)
            noise_RS = rng.normal(size=shape) if is_normal else rng.standard_t(case.freedom, shape)
            loss_RS = self.loss(n, log2_lr_R)[:, None] + scale_R[:, None] * noise_RS
            loss_RS += rng.normal(0.0, case.between, case.seeds)
            loss_RS += SPIKE * (rng.uniform(size=shape) < case.spikes)
            table["width"] += [n] * loss_RS.size
            table["lr"] += np.repeat(2.0**log2_lr_R, case.seeds).tolist()
            table["seed"] += list(range(case.seeds)) * len(log2_lr_R)
            table["loss"] += loss_RS.ravel().tolist()
        return Results.from_columns(table)


@dataclass
class Count:
    """Answers about the surfaces of one case."""

    optimum: list[bool] = field(default_factory=list)
    upper: list[bool] = field(default_factory=list)
    lower: list[bool] = field(default_factory=list)
    predicted: list[bool] = field(default_factory=list)
    lengths: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    optima: int = 0
    surfaces: int = 0
    false: int = 0
    undetermined: int = 0

    def add(self, surface: Surface, group: GroupReport, rate: Estimate) -> None:
        """Count the answers about one surface."""
        self.surfaces += 1
        for optimum in group.optimum:
            truth = surface.best(optimum.width)[0]
            self.optima += 1
            if optimum.log2_lr.value is not None:
                self.errors.append(abs(optimum.log2_lr.value - truth))
            if optimum.log2_lr.low is not None and optimum.log2_lr.high is not None:
                self.optimum.append(optimum.log2_lr.low <= truth <= optimum.log2_lr.high)
        regret, largest = surface.regret(), surface.case.widths[-1]
        if group.regret.high is not None:
            self.upper.append(regret <= group.regret.high + 1e-9)
        if group.regret.low is not None:
            self.lower.append(group.regret.low <= regret + 1e-9)
        transfers = regret / surface.best(largest)[1] <= THRESHOLD
        self.undetermined += group.verdict == "undetermined"
        self.false += group.verdict == ("does not transfer" if transfers else "transfers")
        if rate.low is not None and rate.high is not None:
            self.predicted.append(rate.low <= surface.best(TARGET)[0] <= rate.high)
            self.lengths.append(rate.high - rate.low)

    def row(self) -> str:
        """Return the cells of a row."""
        refused = 100 * (1 - len(self.optimum) / self.optima)
        cells = [
            f"{_percent(self.optimum)} ({refused:.0f})",
            f"{_percent(self.upper)} / {_percent(self.lower)}",
            _percent(self.predicted),
            f"{np.median(self.lengths):.2f}" if self.lengths else "–",
            f"{np.median(self.errors):.2f} / {np.quantile(self.errors, 0.9):.2f}",
            str(self.false),
            f"{100 * self.undetermined / self.surfaces:.0f}",
        ]
        return " | ".join(cells)


def _percent(values: list[bool]) -> str:
    """Format a share, bold below 85 %."""
    share = 100 * float(np.mean(values)) if values else math.nan
    return "–" if not values else f"{share:.0f}" if share >= 85 else f"**{share:.0f}**"


def main() -> None:
    """Run the selected cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--surfaces", type=int, default=200)
    parser.add_argument("--case", action="append", choices=list(CASES))
    options = parser.parse_args()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    print(f"commit {commit}, {platform.machine()}, Python {platform.python_version()}\n")
    print(
        "| case | optimum covered (refused) | regret's bounds hold: upper / lower | predicted rate "
        "covered | its length, octaves | error of the optimum, octaves: median / p90 | false "
        "verdicts | undetermined |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    total = Count()
    for name in options.case or CASES:
        count = Count()
        for index in range(options.surfaces):
            surface = Surface(CASES[name], index)
            results = surface.results()
            group = analyze(results, threshold=THRESHOLD, seed=index)["all"]
            count.add(surface, group, predict(results, width=TARGET, seed=index).log2_lr)
        total.false += count.false
        total.surfaces += count.surfaces
        print(f"| {name} | {count.row()} |", flush=True)
    print(f"\n{total.false} false verdicts on {total.surfaces} surfaces.")


if __name__ == "__main__":
    main()
