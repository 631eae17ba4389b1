"""A store of many trials and many workers: where the time goes, and what grows with the folder.

    python benchmarks/store.py [--trials 100000] [--workers 1000]

The trials of a store are folders of one folder. Each row is timed on the same store while it grows:
what one trial costs (claim, attempt, result, syncs), what a study that is run again costs, and what
`sweep --status` and `analyze` read. Then workers hold claims, and a newcomer tries every trial
before it gets one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import mutransfer as mt
from mutransfer.records import CallableRunner, StudySpec, TrialResult, TrialSpec
from mutransfer.sweep import TrialStore
from mutransfer.sweep.status import store_status
from mutransfer.sweep.store.store import csv_row
from mutransfer.sweep.trial_run import TrialRun
from sweep import print_machine, seconds

TIMED_TRIALS = 200
COLUMNS = ("one trial", "list", "look up", "results.csv", "status", "load")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=1_000)
    options = parser.parse_args()
    runner = CallableRunner(name="nothing")
    specs = [
        TrialSpec(runner=runner, axes={"width": width, "lr": lr})
        for lr in range(1, options.trials // 100 + 1)
        for width in range(1, 101)
    ]
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        store = TrialStore(Path(folder, "s"), create=True)
        print("\n| trials | one trial, ms |", *(f"{name}, s |" for name in COLUMNS[1:]))
        print("| --- |" + " --- |" * len(COLUMNS))
        for number in (options.trials // 100, options.trials // 10, options.trials):
            grow(store, specs[:number])
            times = [f"{time:.2f} |" for time in measure(store, specs[:number])]
            print(f"| {number:,} |", *times, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        refused(TrialStore(Path(folder, "s"), create=True), specs, options.workers)


def nothing(spec: TrialSpec, trial_dir: Path) -> TrialResult:
    """Train nothing."""
    return TrialResult(id=spec.id, spec=spec, loss=1.0, seconds=0.0, finished="now")


def grow(store: TrialStore, specs: Sequence[TrialSpec]) -> None:
    """Finish trials, the last ones as a sweep does, the others without waiting for the disk."""
    existing = set(store.ids())
    for spec in specs[:-TIMED_TRIALS]:
        if spec.id not in existing:
            folder = store.path / spec.id
            (folder / "attempts" / "0").mkdir(parents=True)
            (folder / "result.json").write_text(nothing(spec, folder).model_dump_json(indent=1))
            os.link(folder / "result.json", folder / "attempts" / "0" / "result.json")


def measure(store: TrialStore, specs: Sequence[TrialSpec]) -> list[float]:
    """Return the ms of one trial and the seconds of passes over the store."""
    run = TrialRun(store.path, nothing)
    trial = [seconds(lambda spec=spec: run(spec)) for spec in specs[-TIMED_TRIALS:]]
    axes = {name: sorted({spec.axes[name] for spec in specs}) for name in ("width", "lr")}
    study = {"schema": 1, "study": {"name": "benchmark"}, "axes": axes}
    store.write_study(StudySpec.model_validate(study), specs)
    results = [result for _, result in store.lookup(specs) if result is not None]
    assert len(results) == len(specs)
    return [
        1000 * statistics.median(trial),
        seconds(store.ids),
        seconds(lambda: list(store.lookup(specs))),
        seconds(lambda: store.write_csv([csv_row(result) for result in results])),
        seconds(lambda: store_status(store.path)),
        seconds(lambda: mt.load_results(store.path)),
    ]


def refused(store: TrialStore, specs: Sequence[TrialSpec], workers: int) -> None:
    """Time a worker that tries all trials of other workers before it gets one."""
    for spec in specs[:workers]:
        assert store.claim(spec) is not None
    time = seconds(lambda: next(filter(None, map(store.claim, specs[: workers + 1]))))
    print(f"\n| trials claimed by other workers | until a newcomer has one, s |\n| --- | --- |\n"
          f"| {workers:,} | {time:.2f} |")  # fmt: skip


if __name__ == "__main__":
    main()
