"""Speed of the trainer on one CPU thread, against matrix products and against a plain loop.

    OMP_NUM_THREADS=1 GLIBC_TUNABLES=glibc.malloc.hugetlb=1 python benchmarks/trainer.py

The variables are those that a sweep sets for its workers. Steps of the trainer take turns with
what they are compared with, so that other load on the machine affects both. Prints three Markdown
tables: the share of the rate of matrix products, the time relative to a plain loop in the style
of nanoGPT, and the time of each part of a step.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from plain_transformer import Sizes, plain_training
from trainer_parts import parts_of_step

from mutransfer.lab.counts import training_flops
from mutransfer.lab.data.batches import TrainingBatches
from mutransfer.lab.data.tokens import load_tokens
from mutransfer.lab.loop import Batch, train
from mutransfer.lab.optimizers import lab_optimizers
from mutransfer.lab.trial import inputs_and_targets, lab_model, lab_plan
from mutransfer.records import LabSettings

CPU = torch.device("cpu")
WARMUP_STEPS = 5  # not measured

# Settings of the lab with nanoGPT's layers.
NANOGPT: dict[str, Any] = {
    "norm": "layer",
    "norm_gains": "vector",
    "activation": "gelu",
    "positions": "learned",
    "tied": True,
    "weight_decay": 0.1,
}


def seconds_of(call: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def seconds_in_turns(
    s: LabSettings, others: dict[str, Callable[[], object]]
) -> dict[str, list[float]]:
    """Return the seconds of the trainer's steps and of other calls, one of each per turn."""
    plan = lab_plan(s)
    model = lab_model(s, plan)
    batches = TrainingBatches(load_tokens(None).train, s.batch, s.context, s.seed)
    seconds: dict[str, list[float]] = {name: [] for name in ("trainer", *others)}
    start = 0.0

    def batch_at(step: int) -> Batch:
        # The loop requests the next batch at the end of a step.
        nonlocal start
        if step > 1:
            seconds["trainer"].append(time.perf_counter() - start)
        for name, call in others.items():
            seconds[name].append(seconds_of(call))
        start = time.perf_counter()
        return inputs_and_targets(batches.at(step), CPU)

    train(model, lab_optimizers(model, plan, s), batch_at, s, CPU)
    return {name: values[WARMUP_STEPS : s.steps - 1] for name, values in seconds.items()}


def plain_steps(s: LabSettings) -> Callable[[], object]:
    """Return a call that takes one step of a plain loop with the sizes and layers of a trial."""
    sizes = Sizes(
        width=s.width,
        depth=s.depth,
        head_width=s.head_width,
        context=s.context,
        vocabulary=256,
        is_nanogpt=s.positions == "learned",
    )
    tokens = torch.tensor(load_tokens(None).train)
    steps = plain_training(sizes, tokens, batch=s.batch, steps=s.steps)
    return lambda: next(steps)


def matmul_repeats(width: int, tokens: int) -> int:
    """Return how many layers' products take long enough to be timed."""
    return max(1, int(1e8 / (8 * tokens * width**2)))


def matmuls(width: int, tokens: int) -> Callable[[], object]:
    """Return a call of the three products that train the first layer of an MLP, repeated."""
    x, g = torch.randn(tokens, width), torch.randn(tokens, 4 * width)
    w = torch.randn(4 * width, width)
    repeats = range(matmul_repeats(width, tokens))
    return lambda: [(x @ w.T, g @ w, g.T @ x) for _ in repeats]


def print_rates(widths: list[int], steps: int) -> None:
    """Print the trainer's FLOP rate and that of matrix products."""
    print("| width | ms/step | tokens/s | GFLOP/s | matmul GFLOP/s | share |")
    print("| --- | --- | --- | --- | --- | --- |")
    for width in widths:
        s = LabSettings(width=width, base_width=32, lr=2**-8, steps=steps)
        tokens = s.batch * s.context
        turns = seconds_in_turns(s, {"matmuls": matmuls(width, tokens)})
        seconds = statistics.median(turns["trainer"])
        rate = training_flops(lab_model(s, lab_plan(s)).config, tokens) / seconds
        products = 24 * tokens * width**2 * matmul_repeats(width, tokens)
        matmul_rate = products / statistics.median(turns["matmuls"])
        print(
            f"| {width} | {1e3 * seconds:.1f} | {tokens / seconds:,.0f} "
            f"| {rate / 1e9:.1f} | {matmul_rate / 1e9:.1f} | {rate / matmul_rate:.0%} |"
        )


def print_comparison(widths: list[int], steps: int) -> None:
    """Print the time of a step of the trainer and of a plain loop with the same layers."""
    print("\n| layers | width | trainer, ms | plain loop, ms | ratio |")
    print("| --- | --- | --- | --- | --- |")
    for layers, switches in {"the lab's": {}, "nanoGPT's": NANOGPT}.items():
        for width in widths:
            s = LabSettings(width=width, base_width=32, lr=2**-8, steps=steps, **switches)
            turns = seconds_in_turns(s, {"plain": plain_steps(s)})
            ratios = [a / b for a, b in zip(turns["trainer"], turns["plain"], strict=True)]
            trainer, plain = (1e3 * statistics.median(turns[k]) for k in ("trainer", "plain"))
            ratio = statistics.median(ratios)
            print(f"| {layers} | {width} | {trainer:.1f} | {plain:.1f} | {ratio:.2f} |")


def print_parts(widths: list[int], steps: int) -> None:
    """Print what each part of a step costs by itself.

    Alone a part finds its inputs no longer in the cache, so the sum may exceed the step.
    """
    columns: dict[str, list[str]] = {}
    for width in widths:
        s = LabSettings(width=width, base_width=32, lr=2**-8, steps=steps)
        turns = seconds_in_turns(s, parts_of_step(s))
        medians = {name: 1e3 * statistics.median(values) for name, values in turns.items()}
        step = medians.pop("trainer")
        medians["sum of the parts"] = sum(medians.values())
        for name, value in medians.items():
            columns.setdefault(name, []).append(f"{value:.2f} ({value / step:.0%})")
        columns.setdefault("step", []).append(f"{step:.2f}")
    print("\n| ms by part (share) |", " | ".join(f"width {width}" for width in widths), "|")
    print("| --- |", " | ".join("---" for _ in widths), "|")
    for name, values in columns.items():
        print(f"| {name} |", " | ".join(values), "|")


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
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    print(f"`GLIBC_TUNABLES={tunables} python benchmarks/trainer.py --steps {options.steps}`,")
    print(f"{date.today()}, commit {git.stdout.strip()}, {cpu}, one thread,", end=" ")
    print(f"torch {torch.__version__}; medians\n")
    print_rates(options.widths, options.steps)
    print_comparison(options.widths, options.steps)
    print_parts(options.widths, options.steps)


if __name__ == "__main__":
    main()
