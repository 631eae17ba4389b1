"""Cost of the coordinate check, and its rate of false alarms on correct models.

    python benchmarks/coordcheck_cost.py [--runs 20] [--part time|probes|alarms]

Prints Markdown: the seconds of a default check of the reference decoder, the share of time spent in
probes, and the outcomes of correct MLPs with other seeds and other data.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from statistics import median

import torch
from coordcheck_models import BASE, classes, decoder, mlp, next_token, points, tokens
from scipy.stats import beta
from torch import nn

import mutransfer as mt
from mutransfer.coordcheck.runs.probes import Kinds, Probes

WIDTHS = (32, 64, 128, 256)
DEPTH = 3  # the reference decoder's default


def default_check() -> None:
    """Time a default check: widths 32 to 256, 3 seeds, 10 steps, planted faults included."""
    start = time.perf_counter()
    check = mt.coord_check(
        partial(decoder, depth=DEPTH),
        base=BASE,
        widths=WIDTHS,
        batch=tokens(4, 64),
        loss=next_token,
        lr=2**-7,
    )
    seconds = time.perf_counter() - start
    threads = torch.get_num_threads()
    print(f"default check, {threads} threads: {check.outcome}, {seconds:.1f} s", flush=True)


def steps(model: nn.Module, probes: Probes | None) -> Iterator[None]:
    """Train as a check does, with or without probes."""
    batch = tokens(4, 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2**-7)
    number = 0
    while True:
        optimizer.zero_grad(set_to_none=True)
        if probes is None:
            next_token(model, batch).backward()
            optimizer.step()
        else:
            with probes.step(number):
                loss = next_token(model, batch)
            probes.readings()
            loss.backward()
            before = probes.weights()
            optimizer.step()
            probes.effects(before)
        number += 1
        yield


def probes_cost(rounds: int = 40) -> None:
    """Time steps with probes and plain steps of the same model, in turns."""
    print("\n| width | plain step, ms | with probes | overhead |\n| --- | --- | --- | --- |")
    sums = [0.0, 0.0]
    for width in WIDTHS:
        plain, probed = decoder(width, DEPTH), decoder(width, DEPTH)
        kinds = steps(plain, None), steps(probed, Probes(probed, Kinds(frozenset({"readout"}))))
        samples: tuple[list[float], list[float]] = [], []
        for _ in range(rounds):
            for kind, times in zip(kinds, samples, strict=True):
                start = time.perf_counter()
                next(kind)
                times.append(1000 * (time.perf_counter() - start))
        a, b = (median(times[3:]) for times in samples)
        sums = [sums[0] + a, sums[1] + b]
        print(f"| {width} | {a:.1f} | {b:.1f} | {b / a - 1:.0%} |", flush=True)
    print(f"| all | {sums[0]:.1f} | {sums[1]:.1f} | {sums[1] / sums[0] - 1:.0%} |", flush=True)


def reseeded_mlp(run: int, width: int) -> nn.Module:
    """Return an MLP with other random weights than those of the check's seed."""
    torch.manual_seed(torch.initial_seed() + 1000 * (run + 1))
    return mlp(width)


def false_alarms(runs: int) -> None:
    """Check correct MLPs, each with its own data and seeds, and count the failures."""
    print("\n| optimizer | runs | outcomes | false alarms, 95 % bound |\n| --- | --- | --- | --- |")
    for optimizer, lr in (("adamw", 2**-6), ("sgd", 0.1)):
        outcomes = Counter(
            mt.coord_check(
                partial(reseeded_mlp, run),
                base=BASE,
                widths=WIDTHS,
                batch=points(run),
                loss=classes,
                optimizer=optimizer,
                lr=lr,
            ).outcome
            for run in range(runs)
        )
        failed = outcomes["fail"]
        bound = float(beta.ppf(0.95, failed + 1, runs - failed))  # Clopper-Pearson, one-sided
        text = ", ".join(f"{n} {outcome}" for outcome, n in outcomes.items())
        print(f"| {optimizer} | {runs} | {text} | {failed / runs:.0%}, {bound:.0%} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--part", choices=("time", "probes", "alarms"), action="append")
    options = parser.parse_args()
    parts = options.part or ["time", "probes", "alarms"]
    if "time" in parts:
        default_check()
    if "probes" in parts:
        probes_cost()
    if "alarms" in parts:
        false_alarms(options.runs)


if __name__ == "__main__":
    main()
