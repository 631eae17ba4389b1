"""Duration of an analysis: of a hundred thousand trials, and of a table of twelve lines.

    python benchmarks/analysis.py [large] [small]

large: a CSV file of 100,000 trials (20 parametrizations, 5 widths, 20 rates, 50 seeds), from the
file to the page. small: `mutransfer analyze` on a CSV file of twelve lines, the start of Python
included. Both by default.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np

WIDTHS = (128, 256, 512, 1024, 2048)
LARGE, PAGE_MB, SMALL = 10.0, 5.0, 1.0  # budgets, in seconds and MB
REPETITIONS = 5


def timed(call: Callable[[], object]) -> tuple[float, float, object]:
    """Return the real and the CPU seconds of a call, children included, and its result."""
    start, cpu_start = time.perf_counter(), _cpu_seconds()
    result = call()
    return time.perf_counter() - start, _cpu_seconds() - cpu_start, result


def _cpu_seconds() -> float:
    """Return the CPU seconds of this process and its finished children."""
    return sum(os.times()[:4])


def write_trials(
    path: Path, *, groups: int, widths: tuple[int, ...], rates: int, seeds: int
) -> int:
    """Write noisy parabolas over widths, rates and seeds to a CSV file; return the row count."""
    rng = np.random.default_rng(0)
    rows = ["parametrization,width,lr,seed,loss"]
    for group in range(groups):
        for n in widths:
            best = -6.0 + 0.03 * group * np.log2(n / widths[0])
            shift_S = rng.normal(0.0, 0.01, seeds)
            for k in -6.0 + 0.5 * (np.arange(rates) - rates // 2):
                loss = 2.2 + 13 * n**-0.5 + 0.125 * n**-0.2 * ((k - best) * np.log(2)) ** 2
                loss_S = loss + shift_S + rng.normal(0.0, 0.005, seeds)
                rows += [
                    f"p{group:02},{n},{float(2.0**k)!r},{seed},{value:.6f}"
                    for seed, value in enumerate(loss_S.tolist())
                ]
    path.write_text("\n".join(rows) + "\n")
    return len(rows) - 1


def large() -> None:
    """Time 100,000 trials from the file to the page."""
    from mutransfer.analysis import Report, Results, analyze, load_results
    from mutransfer.report import write_report

    with tempfile.TemporaryDirectory() as folder:
        path, page = Path(folder, "trials.csv"), Path(folder, "page.html")
        trials = write_trials(path, groups=20, widths=WIDTHS, rates=20, seeds=50)
        load = timed(lambda: load_results(path))
        results = cast(Results, load[2])
        analysis = timed(lambda: analyze(results, draws=1000))
        report = cast(Report, analysis[2])
        write = timed(lambda: write_report(page, results=results, report=report))
        size = page.stat().st_size / 1e6
    print(f"{trials:,} trials\n")
    print("| what | measured | processor | budget |\n| --- | --- | --- | --- |")
    print(f"| load | {load[0]:.1f} s | {load[1]:.1f} s | |")
    print(f"| analyze, 1,000 draws | {analysis[0]:.1f} s | {analysis[1]:.1f} s | |")
    both = load[0] + analysis[0], load[1] + analysis[1]
    print(f"| load and analyze | {both[0]:.1f} s | {both[1]:.1f} s | {LARGE:.0f} s |")
    print(f"| write the page | {write[0]:.1f} s | {write[1]:.1f} s | {LARGE:.0f} s |")
    print(f"| the page | {size:.1f} MB | | {PAGE_MB:.0f} MB |", flush=True)


def small() -> None:
    """Time the command on twelve lines."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trials.csv")
        trials = write_trials(path, groups=1, widths=(128, 256, 512), rates=4, seeds=1)
        command = [str(Path(sys.executable).with_name("mutransfer")), "analyze", str(path)]

        def run() -> object:
            return subprocess.run(command, check=True, capture_output=True)

        run()
        times = [timed(run)[:2] for _ in range(REPETITIONS)]
    clock, cpu = zip(*times, strict=True)
    text = f"{statistics.median(clock):.2f} s ({min(clock):.2f}–{max(clock):.2f})"
    print(f"`mutransfer analyze` on {trials} trials, median of {REPETITIONS} and range\n")
    print("| what | measured | processor | budget |\n| --- | --- | --- | --- |")
    print(f"| answer | {text} | {statistics.median(cpu):.2f} s | {SMALL:.0f} s |")


def main() -> None:
    """Run the selected parts."""
    parts = {"large": large, "small": small}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    names = parser.parse_args().parts or list(parts)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"commit {commit}, {machine}")
    for name in names:
        print(f"\n## {name}\n")
        parts[name]()


if __name__ == "__main__":
    main()
