"""Overhead of a sweep over the training itself.

    python benchmarks/sweep.py [overhead] [drivers] [resume] [echo] [workers] [commands]

overhead: the driver's time for 10,000 trials that do nothing. drivers: two drivers on one store
against one. resume: the time to scan a store of 100,000 finished trials. echo: a command that only
prints a loss, against a bash loop. workers: real trials on two workers against one. commands: a
script under the command runner against a bash loop over the same script. All by default; the first
four take less than five minutes.
"""

from __future__ import annotations

import argparse
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import mutransfer as mt
from mutransfer.sweep import TrialStore
from mutransfer.workflows import prepare_study

SCRIPT = Path(__file__).parents[1] / "examples" / "nanogpt_style" / "train.py"


def seconds(call: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def study(axes: dict[str, list[float]], **tables: object) -> dict[str, object]:
    """Return a study with one trial at every point of its axes."""
    names = list(axes)
    analysis = {"scale": names[0], "hyperparameter": names[-1]}
    return {
        "schema": 1,
        "study": {"name": "benchmark"},
        "axes": axes,
        "analysis": analysis,
    } | tables


def nothing(width: int, lr: int) -> float:
    """Train nothing."""
    return 1.0


def overhead(trials: int) -> None:
    """Time trials that do nothing, on one worker and on one per core."""
    grid = study({"width": [1], "lr": list(range(1, trials + 1))})
    print("| trials | workers | ms per trial |\n| --- | --- | --- |")

    def run(number: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            store = f"{folder}/s"
            return seconds(lambda: mt.run_study(grid, runner=nothing, store=store, workers=number))

    for number in (1, 2):
        print(f"| {trials:,} | {number} | {1000 * run(number) / trials:.2f} |", flush=True)


DRIVER = """
import sys
from sweep import nothing, study
import mutransfer as mt
grid = study({"width": [1], "lr": list(range(1, int(sys.argv[2]) + 1))})
print(mt.run_study(grid, runner=nothing, store=sys.argv[1], workers=1).summary.ran)
"""


def drivers(trials: int, repetitions: int = 3) -> None:
    """Time two drivers with one worker each against one on trials that do nothing."""

    def run(number: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", DRIVER, f"{folder}/s", str(trials)]
            here = Path(__file__).parent

            def wait_for_all() -> None:
                running = [
                    subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, text=True)
                    for _ in range(number)
                ]
                counts = [int(process.communicate()[0]) for process in running]
                assert sum(counts) == trials, f"{counts}: a trial was lost or repeated"

            return seconds(wait_for_all)

    _compare("one driver, s", "two drivers, s", [(run(1), run(2)) for _ in range(repetitions)])


def echo(trials: int, repetitions: int = 3) -> None:
    """Time a command that prints a loss, under one worker, in a bash loop, and without a store."""
    words = ["sh", "-c", "echo val loss 1.0"]
    runner = {"command": f"{shlex.join(words)} {{seed}}", "loss": {"regex": r"val loss (\S+)"}}
    grid = study({"seed": list(range(1, trials + 1))}, runner=runner)
    axes = study({"seed": list(range(1, trials + 1))})
    loop = f"for k in $(seq {trials}); do {shlex.join(words)} $k >$0/$k; done"
    run = subprocess.run

    def in_store(source: dict[str, object], function: Callable[..., float] | None) -> float:
        with tempfile.TemporaryDirectory() as folder:
            return seconds(
                lambda: mt.run_study(source, runner=function, store=f"{folder}/s", workers=1)
            )

    def measure() -> list[float]:
        with tempfile.TemporaryDirectory() as folder:
            bash = seconds(lambda: run(["bash", "-ec", loop, folder], check=True))
        bare = seconds(lambda: [run(words, stdout=subprocess.DEVNULL) for _ in range(trials)])
        return [bash, bare, in_store(axes, only_seed), in_store(grid, None)]

    rows = [[1000 * time / trials for time in measure()] for _ in range(repetitions)]
    bash, bare, function, command = (
        statistics.median(column) for column in zip(*rows, strict=True)
    )
    print("| per trial, ms | bash loop | Python's subprocess | trial that does nothing | command |")
    print("| --- | --- | --- | --- | --- |")
    print(f"| {trials} | {bash:.1f} | {bare:.1f} | {function:.1f} | {command:.1f} |", flush=True)
    ratios = [row[3] / row[0] for row in rows]
    print(f"\ncommand against bash loop: {min(ratios):.1f} to {max(ratios):.1f} times")


def only_seed(seed: int) -> float:
    """Train nothing."""
    return 1.0


def resume(trials: int) -> None:
    """Time a run of a finished study, which only finds every trial done."""
    grid = study({"width": list(range(1, 101)), "lr": list(range(1, trials // 100 + 1))})
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "s")
        first = mt.run_study(grid, runner=nothing, store=store, only={"width": 1, "lr": 1})
        (model,) = TrialStore(first.store).results()
        for spec in prepare_study(grid, nothing).trials:
            if spec.id != model.id:  # as a sweep would leave it, but without waiting for the disk
                (store / spec.id).mkdir()
                result = model.model_copy(update={"id": spec.id, "spec": spec})
                (store / spec.id / "result.json").write_text(result.model_dump_json(indent=1))
        times = [seconds(lambda: mt.run_study(grid, runner=nothing, store=store)) for _ in range(3)]
    print("| trials in the store | resume, s, median of 3 |\n| --- | --- |")
    print(f"| {trials:,} | {statistics.median(times):.1f} |", flush=True)


def workers(trials: int, repetitions: int = 3) -> None:
    """Time real trials on two workers against one, process start and torch import included."""
    lab = {"base_width": 32, "steps": 100}
    grid = study({"width": [64], "lr": [2**-5], "seed": list(range(1, trials + 1))}, lab=lab)

    def run(number: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            return seconds(lambda: mt.run_study(grid, store=f"{folder}/s", workers=number))

    pairs = [(run(1), run(2)) for _ in range(repetitions)]
    _compare("one worker, s", "two workers, s", pairs)


def commands(trials: int, repetitions: int = 3) -> None:
    """Time a script under the command runner, two at a time, against a bash loop over it."""
    options = f"{SCRIPT} --learning_rate={2**-8} --n_embd=32 --max_iters=60"
    runner = {
        "command": f"{{python}} {options} --seed={{seed}} --out_dir={{trial_dir}}",
        "loss": {"csv": "log.csv", "column": "val_loss"},
    }
    grid = study({"seed": list(range(1, trials + 1))}, runner=runner)
    line = f"{sys.executable} {options} --seed=$k --out_dir="

    def run_sweep(number: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            return seconds(lambda: mt.run_study(grid, store=f"{folder}/s", workers=number))

    def run_loop(threads: str) -> float:
        with tempfile.TemporaryDirectory() as folder:
            loop = f"{threads} for k in $(seq {trials}); do {line}{folder}/$k >/dev/null; done"
            return seconds(lambda: subprocess.run(["bash", "-ec", loop], check=True))

    print("\nbash loop, one thread, against one worker")
    one = "export OMP_NUM_THREADS=1;"
    _compare("loop, s", "sweep, s", [(run_loop(one), run_sweep(1)) for _ in range(repetitions)])
    print("\nbash loop with the script's default threads, against two workers")
    _compare("loop, s", "sweep, s", [(run_loop(""), run_sweep(2)) for _ in range(repetitions)])


def _compare(first: str, second: str, pairs: list[tuple[float, float]]) -> None:
    """Print medians and the ratios of pairs that were measured in turn."""
    one, two = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = [a / b for a, b in pairs]
    print(f"| {first} | {second} | ratio, median | ratio, range |\n| --- | --- | --- | --- |")
    median, low, high = statistics.median(ratios), min(ratios), max(ratios)
    print(f"| {one:.1f} | {two:.1f} | {median:.2f} | {low:.2f}–{high:.2f} |", flush=True)


def print_machine() -> None:
    """Print what the figures depend on."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    print(f"commit {commit}, {platform.machine()}, Python {platform.python_version()}")


def main() -> None:
    """Run the selected parts."""
    parts = {
        "overhead": lambda: overhead(10_000),
        "drivers": lambda: drivers(5_000),
        "resume": lambda: resume(100_000),
        "echo": lambda: echo(200),
        "workers": lambda: workers(12),
        "commands": lambda: commands(8),
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    names = parser.parse_args().parts or list(parts)
    print_machine()
    for name in names:
        print(f"\n## {name}\n")
        parts[name]()


if __name__ == "__main__":
    main()
