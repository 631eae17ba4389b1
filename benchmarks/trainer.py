"""Speed of the trainer on one CPU thread, relative to the matmul rate of the same minutes.

    OMP_NUM_THREADS=1 python benchmarks/trainer.py

Steps of the training loop and plain matrix products take turns, so that other load on the machine
affects both. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import time
from datetime import date
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from mutransfer.lab.counts import training_flops
from mutransfer.lab.data.batches import TrainingBatches
from mutransfer.lab.data.tokens import load_tokens
from mutransfer.lab.loop import Batch, train
from mutransfer.lab.optimizers import lab_optimizers
from mutransfer.lab.trial import inputs_and_targets, lab_model, lab_plan
from mutransfer.records import LabSettings

CPU = torch.device("cpu")


def matmul_rate(width: int, tokens: int) -> float:
    """Return the FLOP/s of the three products that train the first layer of an MLP."""
    x, g, w = (
        torch.randn(tokens, width),
        torch.randn(tokens, 4 * width),
        torch.randn(4 * width, width),
    )
    repeats = max(1, int(1e8 / (8 * tokens * width**2)))
    start = time.perf_counter()
    for _ in range(repeats):
        x @ w.T, g @ w, g.T @ x
    return repeats * 24 * tokens * width**2 / (time.perf_counter() - start)


def measure(width: int, steps: int) -> tuple[float, float, float]:
    """Return the median seconds of a step, its FLOPs, and the median matmul rate."""
    s = LabSettings(width=width, base_width=32, lr=2**-8, steps=steps)
    plan = lab_plan(s)
    model = lab_model(s, plan)
    tokens = s.batch * s.context
    batches = TrainingBatches(load_tokens(None).train, s.batch, s.context, s.seed)
    rates: list[float] = []
    seconds: list[float] = []
    start = 0.0

    def batch_at(step: int) -> Batch:
        # The loop requests the next batch at the end of a step.
        nonlocal start
        seconds.append(time.perf_counter() - start)
        rates.append(matmul_rate(width, tokens))
        start = time.perf_counter()
        return inputs_and_targets(batches.at(step), CPU)

    train(model, lab_optimizers(model, plan, s), batch_at, s, CPU)
    warm = slice(5, None)
    flops = training_flops(model.config, tokens)
    return statistics.median(seconds[warm]), flops, statistics.median(rates[warm])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 64, 128, 256])
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    cpu = platform.processor() or platform.machine()
    if (listing := Path("/proc/cpuinfo")).exists():
        rows = listing.read_text().splitlines()
        cpu = next((row.split(": ")[1] for row in rows if row.startswith("model name")), cpu)
    command = f"python benchmarks/trainer.py --steps {options.steps}"
    print(f"`{command}`, {date.today()}, commit", end=" ")
    print(f"{git.stdout.strip()}, {cpu}, one thread, torch {torch.__version__}; medians\n")
    print("| width | ms/step | tokens/s | GFLOP/s | matmul GFLOP/s | share |")
    print("| --- | --- | --- | --- | --- | --- |")
    for width in options.widths:
        seconds, flops, rate = measure(width, options.steps)
        print(
            f"| {width} | {1e3 * seconds:.1f} | {1024 / seconds:,.0f} "
            f"| {flops / seconds / 1e9:.1f} | {rate / 1e9:.1f} | {flops / seconds / rate:.0%} |"
        )


if __name__ == "__main__":
    main()
