"""Predictions on planted surfaces whose best rate moves in known and in unknown ways.

    python benchmarks/prediction_planted.py [--surfaces 100] [--kind KIND] [--design DESIGN]

A kind says how log2 of the best rate moves with width; a design says which runs there are. Some
kinds are none of the laws that predictions average over. The target is eight times the largest
width. By default all kinds on all designs.
"""

from __future__ import annotations

import argparse
import math
import platform
import subprocess
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from robustness import BEST, CURVATURE, Case, Floats, Surface

from mutransfer.analysis import Prediction, predict

RATIO = 8.0  # of the target to the largest width

# Octaves of width, phase -> octaves of the best rate.
KINDS: dict[str, Callable[[float, float], float]] = {
    "no drift": lambda y, _: 0.0,
    "a power, 1/4": lambda y, _: -0.25 * y,
    "a power, 1/2": lambda y, _: -0.5 * y,
    "a power, 1": lambda y, _: -1.0 * y,
    "settles, exponent 1/2": lambda y, _: 2.0 * 2.0 ** (-0.5 * y),
    "settles, exponent 1": lambda y, _: 2.0 * 2.0**-y,
    "stops after 1.5 octaves": lambda y, _: -0.6 * min(y, 1.5),
    "a ripple of 0.15 octaves": lambda y, phase: 0.15 * math.sin(2.1 * y + phase),
    "a power 0.4 with that ripple": lambda y, p: -0.4 * y + 0.15 * math.sin(2.1 * y + p),
    "a bend from 0 to 0.6": lambda y, _: -0.3 * math.log(math.cosh(y - 2.0)) - 0.3 * y,
}

PLAIN = Case(step=0.5, rates=17, seeds=3)
DESIGNS: dict[str, Case] = {
    "plain": PLAIN,
    "octaves, two seeds": replace(PLAIN, step=1.0, rates=9, seeds=2),
    "one seed": replace(PLAIN, seeds=1),
    "one seed, octaves": replace(PLAIN, step=1.0, rates=9, seeds=1),
    "three widths": replace(PLAIN, widths=(64.0, 128.0, 256.0), seeds=2),
    "six widths": replace(PLAIN, widths=tuple(64.0 * 2.0**k for k in range(6)), seeds=2),
    "five times the noise": replace(PLAIN, within=0.02, between=0.05),
    "a cliff": replace(PLAIN, cliff=1.2, plateau=7.5, seeds=2),
    "skewed": replace(PLAIN, skew=0.87),
    "skewed, octaves": replace(PLAIN, skew=0.87, step=1.0, rates=9),
}


class Planted(Surface):
    """A surface whose best rate moves as one of the kinds says."""

    def __init__(self, case: Case, kind: str, index: int) -> None:
        super().__init__(case, index)
        self.move = KINDS[kind]
        self.middle = self.move(math.log2(case.widths[-1] / case.widths[0]) / 2, self.phase)

    def center(self, n: float) -> float:
        """Return log2 of the rate at which the smooth part of the loss is lowest."""
        octaves = math.log2(n / self.case.widths[0])
        return BEST + self.offset + self.move(octaves, self.phase) - self.middle


def answer(case: Case, kind: str, index: int) -> tuple[bool, float, float, bool, float]:
    """Return covered, length, error, whether the regret's bound holds, and the bound's share."""
    surface = Planted(case, kind, index)
    target = RATIO * case.widths[-1]
    prediction: Prediction = predict(surface.results(), width=target, seed=index)
    rate, share = prediction.log2_lr, prediction.regret_share
    if rate.value is None or rate.low is None or rate.high is None:
        return False, math.nan, math.nan, False, math.nan
    truth, best = surface.best(target)
    own = float(surface.loss(target, np.array([rate.value]))[0]) - best
    high = math.inf if share.high is None else share.high
    holds = own / best <= high + 1e-9
    return (
        rate.low <= truth <= rate.high,
        rate.high - rate.low,
        abs(rate.value - truth),
        holds,
        high,
    )


def row(case: Case, kind: str, surfaces: int) -> str:
    """Return the cells of a kind on a design."""
    answers: Floats = np.array([answer(case, kind, k) for k in range(surfaces)], dtype=np.float64)
    covered, lengths, errors, holds, bounds = answers.T
    has_interval = np.isfinite(lengths)
    if not has_interval.any():
        return "– | – | – | – | –"
    share = 100 * covered[has_interval].mean()
    missing = 100 * (1 - has_interval.mean())
    shown = f"{share:.0f}" if share >= 85 else f"**{share:.0f}**"
    return " | ".join(
        [
            shown + ("" if has_interval.all() else f" ({missing:.0f} none)"),
            f"{np.median(lengths[has_interval]):.2f}",
            f"{np.median(errors[has_interval]):.2f}",
            f"{100 * holds[has_interval].mean():.0f}",
            f"{100 * np.median(bounds[has_interval]):.2g}",
        ]
    )


def main() -> None:
    """Run the selected kinds and designs, and print a table per design."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--surfaces", type=int, default=100)
    parser.add_argument("--kind", action="append", choices=list(KINDS))
    parser.add_argument("--design", action="append", choices=list(DESIGNS))
    options = parser.parse_args()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    print(f"commit {commit}, {platform.machine()}, Python {platform.python_version()}")
    print(f"curvature {CURVATURE} nats per octave², {options.surfaces} surfaces per row\n")
    for design in options.design or DESIGNS:
        print(f"## {design}\n")
        print(
            "| best rate | covered, % | length, octaves | error, octaves | regret's bound holds, % "
            "| the bound, % of the loss |\n| --- | --- | --- | --- | --- | --- |"
        )
        for kind in options.kind or KINDS:
            print(f"| {kind} | {row(DESIGNS[design], kind, options.surfaces)} |", flush=True)
        print()


if __name__ == "__main__":
    main()
