"""Kill sweeps at random moments in many ways, and see that nothing is lost, and nothing repeated.

`sh tests/acceptance/kill100.sh [ROUNDS] [--seed N]`. Each round starts one or two drivers on a
store, picks a victim, and then looks whether every process of the study is gone. When a study is
done, and after the last round, it is run to its end without kills, and the next one begins. Every
second study is shared by two hosts, whose drivers judge silence after seconds (`hasty.py`).

lost: a result that was there and is gone, changed, or not what its program said at its end; or a
trial that is not done in the end. repeated: a program that was started while another of its trial
ran, or after its trial's result. strays: a process that outlived its driver, and what runs on in
an attempt when another attempt of its trial has begun. blamed: a failure written down though
nobody killed a program or worker.
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

from living import (
    MUTRANSFER,
    Living,
    environment,
    family,
    hasty,
    hosts_have_names,
    wait_until,
    write_study,
)
from pretend import FINISHED, born

GONE_SECONDS = 8.0  # the time a worker may take to end a group that does not listen, and some
STOPPED_SECONDS = 15.0
START_SECONDS = 6.0
LONG_SECONDS = 40.0
OTHER_HOST = "other-host"
KINDS = (
    *("driver", "driver", "driver's group", "worker", "worker", "command", "command"),
    *("everything", "everything", "SIGTERM", "SIGTERM", "SIGINT", "SIGINT twice"),
)


class Study:
    """One study, its store, and what was seen of it so far."""

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
        self.orphans: dict[Living, int] = {}
        self.reports = 0

    def driver(self, *options: str, elsewhere: bool = False) -> subprocess.Popen:
        """Start a driver."""
        program = hasty(OTHER_HOST if elsewhere else "here") if self.shared else MUTRANSFER
        return subprocess.Popen(
            [*program, "sweep", str(self.file), "--store", str(self.store), *options],
            env=environment(self.log),
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "stderr").open("a"),
            start_new_session=True,
        )

    def family(self) -> list[Living]:
        """Find what lives of this study."""
        return family(self.log)

    def lines(self) -> list[list[str]]:
        """Read what the programs wrote down."""
        if not self.log.exists():
            return []
        return [line.split() for line in self.log.read_text().splitlines()]

    def failures(self) -> int:
        """Count the attempts that are said to have failed."""
        return sum(1 for _ in self.store.glob("*/attempts/*/error.txt"))

    def lost(self) -> list[str]:
        """Compare the results with those that were there before, and with what programs said."""
        found = {p.parent.name: p.read_bytes() for p in self.store.glob("*/result.json")}
        problems = [
            f"{trial}: {'gone' if trial not in found else 'changed'}"
            for trial, data in self.results.items()
            if found.get(trial) != data
        ]
        ended = {words[1] for words in self.lines() if words[0] == "end"}
        for trial in found.keys() - self.results.keys():
            if json.loads(found[trial])["loss"] != FINISHED or trial not in ended:
                problems.append(f"{trial}: a result of a program that did not end")
        self.results |= found
        return problems

    def repeated(self) -> list[str]:
        """Tell what ought not to have been started."""
        found = [words for words in self.lines() if words[0] in ("overlap", "late")]
        for trial in self.results:
            published = (self.store / trial / "result.json").stat().st_mtime
            later = [w for w in self.lines() if w[0] == "start" and w[1] == trial]
            found += [["after", *w[1:]] for w in later if float(w[5]) > published]
        new, self.reports = found[self.reports :], len(found)
        return [" ".join(words) for words in new]


class Killing:
    """A run of this script."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.folder = folder
        self.studies = 0
        self.tally: Counter[str] = Counter()
        self.trials = self.starts = 0
        self.lost: list[str] = []
        self.repeated: list[str] = []
        self.strays: list[str] = []
        self.blamed: list[str] = []
        self.orphans = Counter[str]()
        self.study = self.next_study()

    def next_study(self) -> Study:
        """Begin a fresh store."""
        self.studies += 1
        return Study(self.studies, self.folder, shared=self.studies % 2 == 0)

    def round(self, number: int) -> None:
        """Start drivers, kill somebody, and look."""
        study, chance = self.study, self.random
        failures = study.failures()
        drivers = [self._driver() for _ in range(chance.choice((1, 1, 2)))]
        if chance.random() < 0.1:
            time.sleep(chance.uniform(0.2, 1.0))  # while it starts
        else:
            wait_until(lambda: under_way(study, drivers), START_SECONDS)
            time.sleep(chance.uniform(0.0, 1.0))
        kind, victim = chance.choice(KINDS), chance.choice(drivers)
        kind = self._kill(kind, victim, len(drivers))
        self.tally[kind] += 1
        for driver in drivers:  # those that live on had time to do so
            if driver.poll() is None:
                driver.kill()
            driver.wait()
        self._look(kind)
        if kind not in ("worker", "command") and study.failures() > failures:
            self.blamed.append(f"round {number}: {kind}: {study.failures() - failures}")
        if len(study.results) == 48:
            self.finish()
            self.study = self.next_study()

    def _driver(self) -> subprocess.Popen:
        """Start a driver, in a shared store on either host."""
        elsewhere = self.study.shared and self.random.random() < 0.4
        workers = self.random.choice("12")
        options = ["--retry-failed"] if self.random.random() < 0.7 else []
        return self.study.driver("--workers", workers, *options, elsewhere=elsewhere)

    def _kill(self, kind: str, driver: subprocess.Popen, drivers: int) -> str:
        """Do what the kind says, and give what could be done."""
        workers = [p for p in self.study.family() if p.is_worker and p.parent == driver.pid]
        theirs = {p.pid for p in workers}
        programs = [p for p in self.study.family() if p.is_program and p.parent in theirs]
        if driver.poll() is not None:
            return "nobody: it had ended"
        if kind == "worker" and workers:
            victim = self.random.choice(workers)
            lost = [p for p in self.study.family() if self._under(p, victim.pid)]
            end(victim)
            self._outlived(kind, driver, lost)
        elif kind == "command" and programs:
            victim = self.random.choice(programs)
            lost = [p for p in self.study.family() if os_group(p.pid) == victim.pid]
            end(victim)
            self._outlived(kind, driver, lost)
        elif kind == "everything":
            driver.kill()
            for worker in workers:
                end(worker)
        elif kind == "driver's group":
            os.killpg(driver.pid, signal.SIGKILL)  # not yet waited for, so its number is its own
        elif kind.startswith("SIG") and workers:
            driver.send_signal(signal.SIGTERM if kind == "SIGTERM" else signal.SIGINT)
            if kind == "SIGINT twice":
                time.sleep(self.random.uniform(0.05, 0.3))
                driver.send_signal(signal.SIGINT)
            try:
                driver.wait(STOPPED_SECONDS)
            except subprocess.TimeoutExpired:
                self.strays.append(f"a driver did not end by {kind}")
        else:
            driver.kill()
            kind = "driver"
        return f"{kind} of two" if drivers == 2 and kind == "driver" else kind

    def _under(self, process: Living, worker: int) -> bool:
        """Tell whether a process is a worker's program, or of its group."""
        group = os_group(process.pid)
        return process.parent == worker or any(
            p.pid == group and p.parent == worker for p in self.study.family()
        )

    def _outlived(self, kind: str, driver: subprocess.Popen, lost: list[Living]) -> None:
        """While the driver lives, it ends what was left of a killed worker or program."""

        def gone() -> bool:
            return all(born(p.pid) != p.born for p in lost) or driver.poll() is not None

        time.sleep(self.random.uniform(0.1, 0.8))
        if not wait_until(gone, GONE_SECONDS):
            self.strays += [f"after {kind}: {p}" for p in lost if born(p.pid) == p.born]

    def _look(self, kind: str) -> None:
        """Look for processes that live on, and at the results."""
        study = self.study

        def left() -> list[Living]:
            return [p for p in study.family() if p not in study.orphans]

        def settled() -> bool:
            return all(kind == "everything" and process.trial for process in left())

        wait_until(settled, GONE_SECONDS)
        for process in left():
            # Nobody was left to end what a program had started: the trial's next attempt does.
            if kind == "everything" and process.trial:
                study.orphans[process] = len(study.lines())
                self.orphans["left"] += 1
            else:
                self.strays.append(f"after {kind}: {process}")
                end(process)
        self._orphans()
        self.lost += study.lost()
        self.repeated += study.repeated()

    def _orphans(self, *, over: bool = False) -> None:
        """See that orphans were ended by the next attempt of their trial."""
        lines = self.study.lines()
        for orphan, seen in list(self.study.orphans.items()):
            if born(orphan.pid) != orphan.born:
                self.orphans["ended by the next attempt"] += 1
            elif over or any(w[0] == "start" and w[1] == orphan.trial for w in lines[seen:]):
                # A number means nothing on another host, where this one was left.
                if self.study.shared:
                    self.orphans["of another host, never ended"] += 1
                else:
                    self.strays.append(f"an orphan is left: {orphan}")
                end(orphan)
            else:
                continue
            del self.study.orphans[orphan]

    def finish(self) -> None:
        """Run the study to its end without kills."""
        study, began, status = self.study, time.monotonic(), 1
        for _ in range(3):
            driver = study.driver("--workers", "2", "--retry-failed")
            status = driver.wait(240)
            if not status:
                break
        if (waited := time.monotonic() - began) > LONG_SECONDS:
            said = (study.folder / "stderr").read_text().splitlines()[-1:]
            print(f"{study.file.stem}: its end took {waited:.0f} s: {said}")
        self._look("the end")
        self._orphans(over=True)
        if status or len(study.results) != 48:
            done = len(study.results)
            self.lost += [f"{study.store}: status {status}, {done} of 48"] * max(1, 48 - done)
        self.trials += len(study.results)
        self.starts += sum(words[0] == "start" for words in study.lines())

    def report(self) -> int:
        """Say what came out; 0 if nothing is wrong."""
        self.lost = list(dict.fromkeys(self.lost))
        for name in ("lost", "repeated", "strays", "blamed"):
            for line in getattr(self, name):
                print(f"{name}: {line}")
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.tally.items()))
        print(f"kills: {kinds}")
        orphans = ", ".join(f"{count} {what}" for what, count in self.orphans.items()) or "none"
        print(f"orphans when driver and workers died at once: {orphans}")
        print(f"{self.studies} studies, {self.trials} trials, {self.starts} programs started")
        others = [f"{len(x)} {n}" for n in ("strays", "blamed") if (x := getattr(self, n))]
        print(", ".join([*others, f"{len(self.lost)} lost, {len(self.repeated)} repeated"]))
        return int(bool(others or self.lost or self.repeated))


def under_way(study: Study, drivers: list[subprocess.Popen]) -> bool:
    """Tell whether each driver has ended, or has a worker that has a program."""
    living = study.family()
    busy = {p.parent for p in living if p.is_program}
    having = {p.parent for p in living if p.is_worker and p.pid in busy}
    return all(d.pid in having or d.poll() is not None for d in drivers)


def os_group(pid: int) -> int:
    """Give a process's group, 0 if it is gone."""
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


def end(process: Living) -> None:
    """End a process that was found, if it is still the same."""
    if born(process.pid) == process.born:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def main() -> int:
    """Kill as often as asked for."""
    parser = argparse.ArgumentParser(description="Kill sweeps and see that nothing is lost.")
    parser.add_argument("rounds", type=int, nargs="?", default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    asked = parser.parse_args()
    if not os.path.isdir("/proc/self"):
        print("processes cannot be seen here: no /proc")
        return 1
    names = "named" if hosts_have_names() else "feigned"
    print(f"seed {asked.seed}, {asked.rounds} rounds, every second study on two hosts ({names})")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kill100-") as folder:
        killing = Killing(Path(folder), asked.seed)
        try:
            for number in range(1, asked.rounds + 1):
                killing.round(number)
                if sys.stdout.isatty() or number % 10 == 0:
                    print(f"round {number}: {time.monotonic() - began:.0f} s", flush=True)
            if killing.study.lines():
                killing.finish()
        finally:
            for process in killing.study.family():
                end(process)
        return killing.report()


if __name__ == "__main__":
    sys.exit(main())
