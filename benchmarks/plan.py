"""Cost of a plan: time, memory and groups for large models, and a step with its groups.

    python benchmarks/plan.py [--part plans|step] [--rounds 40]

Prints Markdown. Each plan is made in its own process, so that peak memory is measured separately.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import resource
import time
from dataclasses import dataclass
from statistics import median

import torch
from torch import nn
from torch.nn import functional as F

import mutransfer as mt
from mutransfer.parametrize.model.build import build_model

# Shape legend: B batch, T time, D width.


@dataclass(frozen=True)
class Size:
    """Dimensions that stay fixed while the width grows."""

    depth: int
    vocabulary: int
    head_width: int
    group: int = 8  # query heads per key-value head
    inner: float = 3.5  # of the SwiGLU, in widths


class Block(nn.Module):
    """Grouped-query attention and SwiGLU, each behind an RMSNorm."""

    def __init__(self, width: int, size: Size) -> None:
        super().__init__()
        self.head_width = size.head_width
        kv = max(width // size.head_width // size.group, 1) * size.head_width
        inner = int(size.inner * width)
        self.norm_1, self.norm_2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.q = nn.Linear(width, width, bias=False)
        self.k = nn.Linear(width, kv, bias=False)
        self.v = nn.Linear(width, kv, bias=False)
        self.o = nn.Linear(width, width, bias=False)
        self.gate = nn.Linear(width, inner, bias=False)
        self.up = nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x_BTD: torch.Tensor) -> torch.Tensor:
        """Add the outputs of attention and SwiGLU to the residual stream."""
        h_BTD = self.norm_1(x_BTD)
        q, k, v = (
            layer(h_BTD).unflatten(-1, (-1, self.head_width)).transpose(1, 2)
            for layer in (self.q, self.k, self.v)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x_BTD = x_BTD + self.o(mixed.transpose(1, 2).flatten(2))
        h_BTD = self.norm_2(x_BTD)
        return x_BTD + self.down(F.silu(self.gate(h_BTD)) * self.up(h_BTD))


class Llama(nn.Module):
    """A Llama as found in the wild: untied, no biases, every matrix N(0, 0.02) at any width."""

    def __init__(self, width: int, size: Size) -> None:
        super().__init__()
        self.embed = nn.Embedding(size.vocabulary, width)
        self.blocks = nn.ModuleList(Block(width, size) for _ in range(size.depth))
        self.norm = nn.RMSNorm(width)
        self.head = nn.Linear(width, size.vocabulary, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, tokens_BT: torch.Tensor) -> torch.Tensor:
        """Return the logits of each next token."""
        x_BTD = self.embed(tokens_BT)
        for block in self.blocks:
            x_BTD = block(x_BTD)
        return self.head(self.norm(x_BTD))


@dataclass(frozen=True)
class Case:
    """A plan to make."""

    name: str
    size: Size
    base: int
    probe: int
    target: int


LARGE = Size(depth=80, vocabulary=128_256, head_width=128)
DEEP = Size(depth=1000, vocabulary=32_000, head_width=32)
CASES = (
    Case("80 blocks of width 8192", LARGE, base=256, probe=512, target=8192),
    Case("the same, probe below", LARGE, base=256, probe=128, target=8192),
    Case("1,000 blocks of width 4096", DEEP, base=64, probe=128, target=4096),
)


def plan_cost(case: Case, pipe: object) -> None:
    """Make one plan and its groups, and send the measurements."""

    def build(width: int) -> nn.Module:
        return Llama(width, case.size)

    idle = peak_gb()
    start, cpu_start = time.perf_counter(), time.process_time()
    plan = mt.make_plan(build, base=case.base, probe=case.probe, target=case.target)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
    model = build_model(build, case.target, meta=True)
    start, cpu_start = time.perf_counter(), time.process_time()
    groups = mt.param_groups(model, plan, lr=2**-8, weight_decay=0.1)
    seconds, cpu = seconds + time.perf_counter() - start, cpu + time.process_time() - cpu_start
    number = sum(parameter.numel() for parameter in model.parameters())
    pipe.send((number, len(plan.rows), seconds, cpu, idle, peak_gb(), len(groups)))


def peak_gb() -> float:
    """Return this process's peak memory so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def plans(rounds: int) -> None:
    """Print a line per case: the median of several runs, each in a fresh process."""
    fresh = multiprocessing.get_context("spawn")
    print("| model | base, probe | parameters | tensors | s | CPU s | peak GB | groups |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for case in CASES:
        runs = []
        for _ in range(rounds):
            receiver, sender = fresh.Pipe()
            child = fresh.Process(target=plan_cost, args=(case, sender))
            child.start()
            runs.append(receiver.recv())
            child.join()
        number, tensors, _, _, idle, _, groups = runs[0]
        peak = max(run[5] for run in runs)
        times = [
            f"{median(t):.1f} ({min(t):.1f}-{max(t):.1f})"
            for t in list(zip(*runs, strict=True))[2:4]
        ]
        print(
            f"| {case.name} | {case.base}, {case.probe} | {number / 1e9:.1f} B | {tensors:,} "
            f"| {times[0]} | {times[1]} | {peak:.2f} ({idle:.2f} torch) | {groups} |",
            flush=True,
        )


def step_cost(rounds: int) -> None:
    """Time optimizer steps with the plan's groups and with one group, in turns."""
    size = Size(depth=12, vocabulary=16_384, head_width=64, group=1, inner=8 / 3)

    def build(width: int) -> nn.Module:
        return Llama(width, size)

    plan = mt.make_plan(build, base=128, target=768)
    models = [build(768) for _ in range(2)]
    number = sum(parameter.numel() for parameter in models[0].parameters())
    print(f"\n{number / 1e6:.0f} M parameters, {torch.get_num_threads()} threads\n")
    print("| AdamW | groups | one group, ms | the plan's, ms | ratio |")
    print("| --- | --- | --- | --- | --- |")
    for model in models:
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
    for kind in ("foreach", "fused"):
        plan_groups = mt.param_groups(models[1], plan, lr=2**-10, weight_decay=0.1)
        optimizers = (
            torch.optim.AdamW(models[0].parameters(), lr=2**-10, **{kind: True}),
            torch.optim.AdamW(plan_groups, **{kind: True}),
        )
        samples: list[list[float]] = []
        for turn in range(rounds + 2):
            order = (0, 1) if turn % 2 else (1, 0)
            times = [0.0, 0.0]
            for which in order:
                start = time.perf_counter()
                optimizers[which].step()
                times[which] = 1000 * (time.perf_counter() - start)
            samples.append(times)
        samples = samples[2:]  # the first steps allocate the moments
        ratios = sorted(groups / one for one, groups in samples)
        spread = 1.25 * (ratios[3 * rounds // 4] - ratios[rounds // 4]) / 1.35 / math.sqrt(rounds)
        one, groups = (median(times[k] for times in samples) for k in (0, 1))
        print(
            f"| {kind} | {len(plan_groups)} | {one:.0f} | {groups:.0f} "
            f"| {median(ratios):.3f} ± {2 * spread:.3f} |",
            flush=True,
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("plans", "step"))
    parser.add_argument("--rounds", type=int, default=40, help="steps per kind of optimizer")
    parser.add_argument("--repeats", type=int, default=3, help="plans per case")
    options = parser.parse_args()
    if options.part != "step":
        plans(options.repeats)
    if options.part != "plans":
        step_cost(options.rounds)


if __name__ == "__main__":
    main()
