"""Time of the mini studies of a source, from nothing, on two cores.

    python benchmarks/studies.py                  # all of Lingle 2024: hours
    python benchmarks/studies.py baseline lion    # some of them

Runs the studies as a user would, one after the other, and prints a Markdown table. The minutes are
those between the start of a study's first trial and the end of its last one; a folder of an earlier
run (`--runs`) is continued, and its finished studies keep the minutes that they took.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

from mutransfer.records import StudySpec, TrialResult
from mutransfer.sweep import TrialStore
from mutransfer.workflows import named_study, study_names

STUDY_GOAL, GOAL = 15, 180  # minutes
IDLE = timedelta(minutes=2)  # a longer gap between trials is a pause of the benchmark


def run(name: str, folder: Path) -> None:
    """Run one study with the command line."""
    command = [sys.executable, "-m", "mutransfer.cli", "studies", "run", name]
    subprocess.run([*command, "-o", str(folder), "--workers", "2"], check=True)


def working_time(results: Iterator[TrialResult]) -> tuple[int, timedelta, float]:
    """Return the number of trials, the time in which some trial ran, and the sum of seconds."""
    spans = []
    for result in results:
        end = datetime.fromisoformat(result.finished)
        spans.append((end - timedelta(seconds=result.seconds), end))
    spans.sort()
    total, (start, end) = timedelta(), spans[0]
    for next_start, next_end in spans[1:]:
        if next_start > end + IDLE:
            total, start = total + (end - start), next_start
        end = max(end, next_end)
    seconds = sum((e - s).total_seconds() for s, e in spans)
    return len(spans), total + (end - start), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="studies; all of Lingle 2024 by default")
    parser.add_argument("--runs", type=Path, help="folder of stores, to continue or to read")
    options = parser.parse_args()
    folder = options.runs or Path(tempfile.mkdtemp(prefix="studies-"))
    names = [n for n in options.names or study_names("lingle2024")
             if isinstance(named_study(n), StudySpec)]  # fmt: skip
    rows = []
    for name in names:
        run(name, folder / name)
        rows.append((name, *working_time(TrialStore(folder / name).results())))
    git = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    print(f"{date.today()}, commit {git.stdout.strip()}, {platform.processor()}, two workers\n")
    print("| study | trials | minutes | core-minutes |\n| --- | --- | --- | --- |")
    for name, trials, time, seconds in rows:
        print(f"| {name} | {trials} | {time.total_seconds() / 60:.1f} | {seconds / 60:.1f} |")
    minutes = sum(time.total_seconds() for _, _, time, _ in rows) / 60
    longest = max(time.total_seconds() for _, _, time, _ in rows) / 60
    print(f"\n{len(rows)} studies: {minutes:.0f} minutes (goal {GOAL}); the longest "
          f"{longest:.1f} (goal {STUDY_GOAL})")  # fmt: skip


if __name__ == "__main__":
    main()
