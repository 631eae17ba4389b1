"""Kill sweeps at random moments in many ways, and check that nothing is lost or repeated.

`sh tests/acceptance/kill100.sh [ROUNDS] [--seed N]`. Each round starts one or two drivers on a
store, kills some process, and then checks that every process of the study has ended. When a study
is done, and after the last round, it is run to its end without kills, and the next one begins.
Every second study is shared by two hosts, with short timeouts (`short_timeouts.py`).

lost: a result that disappeared, changed, or differs from what its program reported; or a trial that
is not done in the end. repeated: a program that was started while another one of its trial was
running, or after its trial had a result. strays: a process that outlived its driver, or that still
runs in an attempt after another attempt of its trial has begun. false failures: a failure recorded
although no program or worker was killed.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from fake_training import FINISHED, start_time
from study_processes import (
    MUTRANSFER,
    Process,
    can_rename_host,
    environment,
    processes_of,
    wait_until,
    with_short_timeouts,
    write_study,
)

END_SECONDS = 8.0  # a worker may take most of this to end a group that ignores signals
STOP_SECONDS = 15.0
START_SECONDS = 6.0
LONG_SECONDS = 40.0
OTHER_HOST = "other-host"
KINDS = (
    *("driver", "driver", "driver's group", "worker", "worker", "command", "command"),
    *("everything", "everything", "SIGTERM", "SIGTERM", "SIGINT", "SIGINT twice"),
)


class Study:
    """One study, its store, and what has been observed of it."""

    def __init__(self, number: int, folder: Path, shared: bool) -> None:
        self.folder = folder / str(number)
        self.folder.mkdir()
        self.log = self.folder / "log"
        self.store = self.folder / "store"
        self.shared = shared
        self.file = write_study(
            self.folder, seconds="0.05 + lr / 20", name=f"study-{number}", widths=6, lrs=8
        )
        self.results: dict[str, bytes] = {}
        self.orphans: dict[Process, int] = {}
        self.num_reported = 0

    def start_driver(self, *options: str, elsewhere: bool = False) -> subprocess.Popen:
        """Start a driver."""
        host = OTHER_HOST if elsewhere else "here"
        program = with_short_timeouts(host) if self.shared else MUTRANSFER
        return subprocess.Popen(
            [*program, "sweep", str(self.file), "--store", str(self.store), *options],
            env=environment(self.log),
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "stderr").open("a"),
            start_new_session=True,
        )

    def processes(self) -> list[Process]:
        """Return the living processes of this study."""
        return processes_of(self.log)

    def events(self) -> list[list[str]]:
        """Read the log of the programs."""
        if not self.log.exists():
            return []
        return [line.split() for line in self.log.read_text().splitlines()]

    def num_failures(self) -> int:
        """Count the attempts recorded as failed."""
        return sum(1 for _ in self.store.glob("*/attempts/*/error.txt"))

    def lost(self) -> list[str]:
        """Compare the results with the earlier ones, and with the log of the programs."""
        current = {p.parent.name: p.read_bytes() for p in self.store.glob("*/result.json")}
        problems = [
            f"{trial}: {'gone' if trial not in current else 'changed'}"
            for trial, data in self.results.items()
            if current.get(trial) != data
        ]
        ended = {event[1] for event in self.events() if event[0] == "end"}
        for trial in current.keys() - self.results.keys():
            if json.loads(current[trial])["loss"] != FINISHED or trial not in ended:
                problems.append(f"{trial}: a result of a program that did not end")
        self.results |= current
        return problems

    def repeated(self) -> list[str]:
        """Return the new events of programs that should not have been started."""
        wrong = [event for event in self.events() if event[0] in ("overlap", "late")]
        for trial in self.results:
            published = (self.store / trial / "result.json").stat().st_mtime
            starts = [e for e in self.events() if e[0] == "start" and e[1] == trial]
            wrong += [["after", *e[1:]] for e in starts if float(e[5]) > published]
        new, self.num_reported = wrong[self.num_reported :], len(wrong)
        return [" ".join(event) for event in new]


class Killer:
    """A run of this script."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.folder = folder
        self.num_studies = 0
        self.kills: Counter[str] = Counter()
        self.num_trials = self.num_starts = 0
        self.lost: list[str] = []
        self.repeated: list[str] = []
        self.strays: list[str] = []
        self.false_failures: list[str] = []
        self.orphans = Counter[str]()
        self.study = self.next_study()

    def next_study(self) -> Study:
        """Create a study with an empty store."""
        self.num_studies += 1
        return Study(self.num_studies, self.folder, shared=self.num_studies % 2 == 0)

    def round(self, number: int) -> None:
        """Start drivers, kill a process, and check the study."""
        study, rng = self.study, self.random
        failures = study.num_failures()
        drivers = [self._start_driver() for _ in range(rng.choice((1, 1, 2)))]
        if rng.random() < 0.1:
            time.sleep(rng.uniform(0.2, 1.0))  # kill while it is starting
        else:
            wait_until(lambda: under_way(study, drivers), START_SECONDS)
            time.sleep(rng.uniform(0.0, 1.0))
        kind, victim = rng.choice(KINDS), rng.choice(drivers)
        kind = self._kill(kind, victim, len(drivers))
        self.kills[kind] += 1
        for driver in drivers:  # those that survived have had time to clean up
            if driver.poll() is None:
                driver.kill()
            driver.wait()
        self._check(kind)
        if kind not in ("worker", "command") and study.num_failures() > failures:
            message = f"round {number}: {kind}: {study.num_failures() - failures}"
            self.false_failures.append(message)
        if len(study.results) == 48:
            self.finish()
            self.study = self.next_study()

    def _start_driver(self) -> subprocess.Popen:
        """Start a driver, on either host if the store is shared."""
        elsewhere = self.study.shared and self.random.random() < 0.4
        workers = self.random.choice("12")
        options = ["--retry-failed"] if self.random.random() < 0.7 else []
        return self.study.start_driver("--workers", workers, *options, elsewhere=elsewhere)

    def _kill(self, kind: str, driver: subprocess.Popen, num_drivers: int) -> str:
        """Kill what `kind` names, and return the kind that was possible."""
        workers = [p for p in self.study.processes() if p.is_worker and p.parent == driver.pid]
        pids = {p.pid for p in workers}
        programs = [p for p in self.study.processes() if p.is_program and p.parent in pids]
        if driver.poll() is not None:
            return "nobody: it had ended"
        if kind == "worker" and workers:
            victim = self.random.choice(workers)
            descendants = [p for p in self.study.processes() if self._is_under(p, victim.pid)]
            kill(victim)
            self._check_descendants(kind, driver, descendants)
        elif kind == "command" and programs:
            victim = self.random.choice(programs)
            group = [p for p in self.study.processes() if group_of(p.pid) == victim.pid]
            kill(victim)
            self._check_descendants(kind, driver, group)
        elif kind == "everything":
            driver.kill()
            for worker in workers:
                kill(worker)
        elif kind == "driver's group":
            os.killpg(driver.pid, signal.SIGKILL)  # not yet waited for, so its number is its own
        elif kind.startswith("SIG") and workers:
            driver.send_signal(signal.SIGTERM if kind == "SIGTERM" else signal.SIGINT)
            if kind == "SIGINT twice":
                time.sleep(self.random.uniform(0.05, 0.3))
                driver.send_signal(signal.SIGINT)
            try:
                driver.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.strays.append(f"a driver did not end by {kind}")
        else:
            driver.kill()
            kind = "driver"
        return f"{kind} of two" if num_drivers == 2 and kind == "driver" else kind

    def _is_under(self, process: Process, worker: int) -> bool:
        """Return whether a process is a worker's program, or belongs to its group."""
        group = group_of(process.pid)
        return process.parent == worker or any(
            p.pid == group and p.parent == worker for p in self.study.processes()
        )

    def _check_descendants(
        self, kind: str, driver: subprocess.Popen, descendants: list[Process]
    ) -> None:
        """Check that a living driver ends what a killed worker or program leaves behind."""

        def ended() -> bool:
            gone = all(start_time(p.pid) != p.started for p in descendants)
            return gone or driver.poll() is not None

        time.sleep(self.random.uniform(0.1, 0.8))
        if not wait_until(ended, END_SECONDS):
            alive = [p for p in descendants if start_time(p.pid) == p.started]
            self.strays += [f"after {kind}: {p}" for p in alive]

    def _check(self, kind: str) -> None:
        """Check for processes that are still running, and check the results."""
        study = self.study

        def remaining() -> list[Process]:
            return [p for p in study.processes() if p not in study.orphans]

        def settled() -> bool:
            return all(kind == "everything" and process.trial for process in remaining())

        wait_until(settled, END_SECONDS)
        for process in remaining():
            # With driver and worker dead, only the trial's next attempt can end its children.
            if kind == "everything" and process.trial:
                study.orphans[process] = len(study.events())
                self.orphans["left"] += 1
            else:
                self.strays.append(f"after {kind}: {process}")
                kill(process)
        self._check_orphans()
        self.lost += study.lost()
        self.repeated += study.repeated()

    def _check_orphans(self, *, is_last: bool = False) -> None:
        """Check that orphans were ended by the next attempt of their trial."""
        events = self.study.events()
        for orphan, num_before in list(self.study.orphans.items()):
            later = events[num_before:]
            if start_time(orphan.pid) != orphan.started:
                self.orphans["ended by the next attempt"] += 1
            elif is_last or any(e[0] == "start" and e[1] == orphan.trial for e in later):
                # A process number means nothing on another host, so it is left alone there.
                if self.study.shared:
                    self.orphans["of another host, never ended"] += 1
                else:
                    self.strays.append(f"an orphan is left: {orphan}")
                kill(orphan)
            else:
                continue
            del self.study.orphans[orphan]

    def finish(self) -> None:
        """Run the study to its end without kills."""
        study, start, status = self.study, time.monotonic(), 1
        for _ in range(3):
            driver = study.start_driver("--workers", "2", "--retry-failed")
            status = driver.wait(240)
            if not status:
                break
        if (seconds := time.monotonic() - start) > LONG_SECONDS:
            last_line = (study.folder / "stderr").read_text().splitlines()[-1:]
            print(f"{study.file.stem}: its end took {seconds:.0f} s: {last_line}")
        self._check("the end")
        self._check_orphans(is_last=True)
        if status or len(study.results) != 48:
            done = len(study.results)
            self.lost += [f"{study.store}: status {status}, {done} of 48"] * max(1, 48 - done)
        self.num_trials += len(study.results)
        self.num_starts += sum(event[0] == "start" for event in study.events())

    def report(self) -> int:
        """Print the counts and all problems, and return 0 if there are none."""
        self.lost = list(dict.fromkeys(self.lost))
        problems = {
            "lost": self.lost,
            "repeated": self.repeated,
            "strays": self.strays,
            "false failures": self.false_failures,
        }
        for name, messages in problems.items():
            for message in messages:
                print(f"{name}: {message}")
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.kills.items()))
        print(f"kills: {kinds}")
        orphans = ", ".join(f"{count} {what}" for what, count in self.orphans.items()) or "none"
        print(f"orphans when driver and workers died at once: {orphans}")
        print(
            f"{self.num_studies} studies, {self.num_trials} trials, "
            f"{self.num_starts} programs started"
        )
        counts = [f"{len(self.lost)} lost", f"{len(self.repeated)} repeated"]
        others = [f"{len(problems[n])} {n}" for n in ("strays", "false failures") if problems[n]]
        print(", ".join([*others, *counts]))
        return int(any(problems.values()))


def under_way(study: Study, drivers: list[subprocess.Popen]) -> bool:
    """Return whether every driver has ended, or has a worker that runs a program."""
    processes = study.processes()
    busy = {p.parent for p in processes if p.is_program}
    with_busy_worker = {p.parent for p in processes if p.is_worker and p.pid in busy}
    return all(d.pid in with_busy_worker or d.poll() is not None for d in drivers)


def group_of(pid: int) -> int:
    """Return a process's group, or 0 if it has ended."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def kill(process: Process) -> None:
    """Kill a process, if its number has not been given to another one since."""
    if start_time(process.pid) == process.started:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def main() -> int:
    """Run the rounds and print a report."""
    parser = argparse.ArgumentParser(description="Kill sweeps and check that nothing is lost.")
    parser.add_argument("rounds", type=int, nargs="?", default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    if not os.path.isdir("/proc/self"):
        print("processes cannot be observed without /proc")
        return 1
    how = "renamed" if can_rename_host() else "patched"
    print(f"seed {options.seed}, {options.rounds} rounds, every second study on two hosts ({how})")
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kill100-") as folder:
        killer = Killer(Path(folder), options.seed)
        try:
            for number in range(1, options.rounds + 1):
                killer.round(number)
                if sys.stdout.isatty() or number % 10 == 0:
                    print(f"round {number}: {time.monotonic() - start:.0f} s", flush=True)
            if killer.study.events():
                killer.finish()
        finally:
            for process in killer.study.processes():
                kill(process)
        return killer.report()


if __name__ == "__main__":
    sys.exit(main())
