"""This file measures a sweep on two workers against the same trials one after another.

    python benchmarks/sweep.py

Each repetition runs both, in turn, into fresh stores; medians and ratios are printed.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from mutransfer.records import StudySpec
from mutransfer.workflows import run_study


def study(trials: int, steps: int) -> StudySpec:
    """Ask for equal trials of a few seconds each."""
    axes = {"width": (64,), "lr": (2**-5,), "seed": tuple(range(trials))}
    lab = {"base_width": 32, "steps": steps}
    return StudySpec.model_validate(
        {
            "schema": 1,
            "study": {"name": "benchmark"},
            "axes": axes,
            "lab": lab,
            "analysis": {"group_by": ("seed",)},
        }
    )


def seconds(spec: StudySpec, workers: int) -> float:
    """Time one sweep into a fresh store, process start and torch import included."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        run = run_study(spec, store=Path(folder) / "store", workers=workers)
        assert run.summary.ran == spec.num_trials, run.summary
        return time.perf_counter() - started


def main() -> None:
    """Run the comparison and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    spec = study(options.trials, options.steps)
    pairs = [(seconds(spec, 1), seconds(spec, 2)) for _ in range(options.repetitions)]
    one, two = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = [a / b for a, b in pairs]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    print(f"{options.trials} trials of width 64, {options.steps} steps; {len(pairs)} pairs")
    print(f"commit {commit}, {platform.machine()}, Python {platform.python_version()}\n")
    print("| one worker, s | two workers, s | ratio, median | ratio, range |")
    print("| --- | --- | --- | --- |")
    print(
        f"| {one:.1f} | {two:.1f} | {statistics.median(ratios):.2f} | "
        f"{min(ratios):.2f}–{max(ratios):.2f} |"
    )


if __name__ == "__main__":
    main()
