"""Writer of src/mutransfer/studies/results: the trials of named studies, from their stores.

Usage: python tools/study_results.py RUNS_DIR [--output DIR] [--commit COMMIT]

RUNS_DIR has one store per study, as `mutransfer studies run lingle2024` leaves it. A store is
refused if a trial has no result, or if its trials are not those of the study as it is now.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mutransfer
from mutransfer.records import LabRunner, TrialResult
from mutransfer.report.files import write_file
from mutransfer.sweep import TrialStore
from mutransfer.workflows.comparison.studies import PROVENANCE
from mutransfer.workflows.comparison.table import table_of
from mutransfer.workflows.studies.catalog import named_studies
from mutransfer.workflows.studies.named_run import sweep_study
from mutransfer.workflows.studies.run import prepare_study

# The demo is there to be run, and a ladder trains no trials.
WITHOUT_RESULTS = ("demo", "demo-large", "eleuther-ladder")
RESULTS = Path(mutransfer.__file__).parent / "studies" / "results"


def study_results(store: TrialStore, name: str) -> tuple[list[TrialResult], list[str]]:
    """Return the results of a study's trials, or the problems of its store."""
    trials = {trial.id for trial in prepare_study(sweep_study(name)).trials}
    stored = set(store.study_trials())
    problems = []
    if other := stored - trials:
        problems.append(f"{len(other)} of its trials are not of the study {name} as it is now")
    if missing := [trial_id for trial_id in trials if not _is_done(store, trial_id)]:
        problems.append(f"{len(missing)} of {len(trials)} trials have no result")
    if problems:
        return [], problems
    return [store.result(trial_id) for trial_id in trials], []


def _is_done(store: TrialStore, trial_id: str) -> bool:
    """Return whether a trial has a result."""
    return store.folder(trial_id).is_dir() and store.is_done(trial_id)


def provenance(results: Iterable[TrialResult], commit: str | None) -> dict[str, Any]:
    """Return how a study's trials were made.

    Args:
        results: The results.
        commit: The commit of trials that do not record one, such as those of a git worktree.
    """
    rows = list(results)
    versions = {package for row in rows for package in row.versions.items()}
    runners = [row.spec.runner for row in rows]
    assert all(isinstance(runner, LabRunner) for runner in runners)
    return {
        "trials": len(rows),
        "commits": sorted({row.commit or commit for row in rows} - {None}),
        "versions": {
            name: sorted(v for n, v in versions if n == name) for name, _ in sorted(versions)
        },
        "numerics": sorted({runner.numerics for runner in runners}),  # type: ignore[union-attr]
        "data": sorted({runner.data for runner in runners}),  # type: ignore[union-attr]
        "finished": [min(row.finished for row in rows), max(row.finished for row in rows)],
        "machine": machine(),
    }


def machine() -> str:
    """Return the processor and the system, without the name of the host."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    return f"{os.cpu_count()} cores, {processor}, {platform.system()}"


def write_results(runs: Path, output: Path, commit: str | None) -> list[str]:
    """Write the table of every study that has a store, and the provenance; return the problems."""
    problems: list[str] = []
    made: dict[str, Any] = {}
    if (output / PROVENANCE).exists():
        made = json.loads((output / PROVENANCE).read_text())["studies"]
    sweeps = [study for study in named_studies() if study.name not in WITHOUT_RESULTS]
    for study in sweeps:
        if not (runs / study.name / "store.json").is_file():
            problems.append(f"{study.name}: there is no store {runs / study.name}")
            continue
        results, wrong = study_results(TrialStore(runs / study.name), study.name)
        problems += [f"{study.name}: {problem}" for problem in wrong]
        if results:
            axes = list(sweep_study(study.name).variables)
            write_file(output / f"{study.name}.csv", table_of(results, axes).to_csv().encode())
            made[study.name] = provenance(results, commit)
    if made:
        command = "mutransfer studies run NAME"
        content = {"schema": 1, "command": command, "studies": dict(sorted(made.items()))}
        text = json.dumps(content, indent=1, ensure_ascii=False)
        write_file(output / PROVENANCE, f"{text}\n".encode())
    return problems


def main() -> None:
    """Write the tables, and list the studies that were refused."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("runs", type=Path, help="folder of stores, one per study")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the tables")
    parser.add_argument("--commit", help="commit of trials that do not record one")
    arguments = parser.parse_args()
    if problems := write_results(arguments.runs, arguments.output, arguments.commit):
        sys.exit("not written:\n" + "\n".join(f"  {problem}" for problem in problems))


if __name__ == "__main__":
    main()
