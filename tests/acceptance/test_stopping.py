"""The real `mutransfer sweep`, stopped and killed in the ways that happen, and run again."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from living import MUTRANSFER, Living, environment, family, hasty, wait_until, write_study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="processes are seen in /proc"),
]
LONG = "60"


class Sweep:
    """A study of four programs in a folder, and what became of it."""

    def __init__(self, folder: Path, seconds: str) -> None:
        self.folder, self.log, self.store = folder, folder / "log", folder / "store"
        self.study = write_study(folder, seconds=seconds)

    def start(
        self, *options: str, program: list[str] = MUTRANSFER, **more: str
    ) -> subprocess.Popen:
        """Start `mutransfer sweep` with two workers."""
        words = ["sweep", str(self.study), "--store", str(self.store), "--workers", "2", *options]
        return subprocess.Popen(
            [*program, *words],
            env={**environment(self.log), **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *options: str) -> tuple[int, str]:
        """Run it to its end, programs in a hurry; give its status and what it said."""
        (self.folder / "hurry").touch()
        driver = self.start(*options)
        said, _ = driver.communicate(timeout=60)
        return driver.returncode, said

    def programs(self) -> list[Living]:
        """Find the programs that run."""
        return [p for p in family(self.log) if p.is_program]

    def started(self) -> Counter[str]:
        """Count how often each trial's program was started."""
        if not self.log.exists():
            return Counter()
        lines = [line.split() for line in self.log.read_text().splitlines()]
        assert not [words for words in lines if words[0] in ("overlap", "late")]
        return Counter(words[1] for words in lines if words[0] == "start")

    def done(self) -> set[str]:
        """Name the trials that have a result."""
        return {path.parent.name for path in self.store.glob("*/result.json")}

    def errors(self) -> dict[str, str]:
        """Give what failed attempts said, by trial."""
        found = self.store.glob("*/attempts/*/error.txt")
        return {path.parts[-4]: path.read_text() for path in found}

    def held(self) -> list[Path]:
        """Find claims that were not given back."""
        claims = self.store.glob("*/claims/*.json")
        return [path for path in claims if not path.with_suffix(".released").exists()]


@pytest.fixture
def sweep(tmp_path) -> Iterator:
    """Give studies, and end what a failed test has left."""
    made = []

    def make(seconds: str) -> Sweep:
        made.append(Sweep(tmp_path, seconds))
        return made[-1]

    yield make
    for each in made:
        for process in family(each.log):
            os.kill(process.pid, signal.SIGKILL)


def stop(sweep: Sweep, driver: subprocess.Popen, *numbers: int) -> tuple[float, str]:
    """Send signals once two programs run; give how long the driver took, and what it said."""
    assert wait_until(lambda: len(family(sweep.log)) >= 7, 20), "two programs with their processes"
    began = time.monotonic()
    for number in numbers:
        driver.send_signal(number)
        time.sleep(0.3)
    said, _ = driver.communicate(timeout=30)
    return time.monotonic() - began, said


@pytest.mark.parametrize("stubborn", [{}, {"PRETEND_STUBBORN": "1"}], ids=["obliging", "stubborn"])
def test_sigterm_ends_long_programs_within_ten_seconds(sweep, stubborn) -> None:
    """Neither a program that saves and exits with 0, nor one that will not listen, has a result."""
    study = sweep(LONG)
    driver = study.start(**stubborn)
    took, said = stop(study, driver, signal.SIGTERM)
    assert took < 10
    assert driver.returncode == 130
    assert "terminated: running trials have 4 s to end" in said
    assert wait_until(lambda: not family(study.log), 1)
    assert (study.done(), study.errors(), study.held()) == (set(), {}, [])
    status, said = study.run()
    assert status == 0
    assert "4 of 4 trials done" in said
    assert sorted(study.started().values()) == [1, 1, 2, 2]


def test_one_interrupt_lets_running_trials_end_and_starts_no_more(sweep) -> None:
    study = sweep("3")
    driver = study.start()
    _, said = stop(study, driver, signal.SIGINT)
    assert driver.returncode == 130
    assert "stopped: finished trials are kept; run the same command again to resume" in said
    assert len(study.done()) == 2
    assert study.done() == set(study.started())
    assert (study.errors(), study.held(), family(study.log)) == ({}, [], [])
    assert study.run()[0] == 0
    assert list(study.started().values()) == [1, 1, 1, 1]


def test_two_interrupts_end_within_seconds(sweep) -> None:
    study = sweep(LONG)
    driver = study.start()
    took, said = stop(study, driver, signal.SIGINT, signal.SIGINT)
    assert took < 5
    assert driver.returncode == 130
    assert "interrupted: finished trials are kept; run the same command again to resume" in said
    assert wait_until(lambda: not family(study.log), 1)
    assert (study.done(), study.errors(), study.held()) == (set(), {}, [])
    assert study.run()[0] == 0


def test_a_killed_driver_leaves_neither_results_nor_failures_nor_processes(sweep) -> None:
    study = sweep(LONG)
    driver = study.start()
    stop(study, driver, signal.SIGKILL)
    assert wait_until(lambda: not family(study.log), 5)
    assert (study.done(), study.errors(), study.held()) == (set(), {}, [])
    assert study.run()[0] == 0


def kill_a_worker(study: Sweep, driver: subprocess.Popen) -> str:
    """Kill one of two busy workers, and have the others hurry; give the trial it had."""
    assert wait_until(lambda: len(family(study.log)) >= 7, 20)
    program = study.programs()[0]
    trial = next(word for word in program.words if "/attempts/" in word).split("/")[-3]
    processes = [p for p in family(study.log) if p.trial == trial]
    assert processes
    os.kill(program.parent, signal.SIGKILL)
    assert wait_until(lambda: not {*processes, program} & set(family(study.log)), 5)
    assert driver.poll() is None
    (study.folder / "hurry").touch()
    return trial


def test_a_killed_worker_costs_its_trial_and_no_other(sweep) -> None:
    study = sweep(LONG)
    driver = study.start()
    trial = kill_a_worker(study, driver)
    said, _ = driver.communicate(timeout=30)
    assert driver.returncode == 4
    assert "1 trial failed: killed by signal 9, perhaps out of memory" in said
    assert study.errors() == {trial: "killed by signal 9, perhaps out of memory"}
    assert len(study.done()) == 3
    assert not family(study.log)
    assert study.run()[0] == 0
    assert study.started() == {name: 2 if name == trial else 1 for name in study.done()}


def test_a_killed_worker_s_trial_is_tried_again_in_the_same_run_if_the_study_says_so(sweep) -> None:
    study = sweep(LONG)
    study.study.write_text(study.study.read_text() + "retries = 1\n")
    driver = study.start("--json")
    trial = kill_a_worker(study, driver)
    said, _ = driver.communicate(timeout=30)
    assert driver.returncode == 0, said
    assert list(study.errors()) == [trial]
    assert study.started() == {name: 2 if name == trial else 1 for name in study.done()}
    assert len(study.done()) == 4


def test_two_hosts_share_a_store_and_run_every_trial_once(sweep) -> None:
    study = sweep("0.8")
    drivers = [study.start(program=hasty(host)) for host in ("here", "other-host")]
    said = [driver.communicate(timeout=60)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], said
    assert len(study.done()) == 4
    assert list(study.started().values()) == [1, 1, 1, 1]
    claims = [json.loads(p.read_text())["place"] for p in study.store.glob("*/claims/1.json")]
    assert len({place.split()[0] for place in claims}) == 2, "both took part"


def test_what_a_host_left_is_run_by_another_once_it_is_silent(sweep) -> None:
    """The first host vanishes with its workers; the other waits until its claims do not beat."""
    study = sweep(LONG)
    driver = study.start(program=hasty("other-host"))
    assert wait_until(lambda: len(family(study.log)) >= 7, 20)
    driver.kill()
    for process in family(study.log):
        os.kill(process.pid, signal.SIGKILL)
    driver.communicate()
    assert len(study.held()) == 2
    (study.folder / "hurry").touch()
    driver = study.start(program=hasty())
    said, _ = driver.communicate(timeout=60)
    assert driver.returncode == 0, said
    assert len(study.done()) == 4
    assert sorted(study.started().values()) == [1, 1, 2, 2]
