"""`mutransfer sweep`, stopped or killed in the ways that happen, and then resumed."""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_training import STUBBORN
from study_processes import (
    MUTRANSFER,
    Process,
    environment,
    processes_of,
    wait_until,
    with_short_timeouts,
    write_study,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc to observe processes"),
]
LONG = "60"


class Sweep:
    """A study of four programs, and the state of its store."""

    def __init__(self, folder: Path, seconds: str) -> None:
        self.folder, self.log, self.store = folder, folder / "log", folder / "store"
        self.study = write_study(folder, seconds=seconds)

    def start(
        self, *options: str, program: list[str] = MUTRANSFER, **variables: str
    ) -> subprocess.Popen:
        """Start `mutransfer sweep` with two workers."""
        words = ["sweep", str(self.study), "--store", str(self.store), "--workers", "2", *options]
        return subprocess.Popen(
            [*program, *words],
            env={**environment(self.log), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *options: str) -> tuple[int, str]:
        """Run the sweep to its end without delays, and return its status and output."""
        (self.folder / "hurry").touch()
        driver = self.start(*options)
        output, _ = driver.communicate(timeout=60)
        return driver.returncode, output

    def programs(self) -> list[Process]:
        """Return the running programs."""
        return [p for p in processes_of(self.log) if p.is_program]

    def num_starts(self) -> Counter[str]:
        """Return how often each trial's program was started."""
        if not self.log.exists():
            return Counter()
        lines = [line.split() for line in self.log.read_text().splitlines()]
        assert not [words for words in lines if words[0] in ("overlap", "late")]
        return Counter(words[1] for words in lines if words[0] == "start")

    def done(self) -> set[str]:
        """Return the trials that have a result."""
        return {path.parent.name for path in self.store.glob("*/result.json")}

    def errors(self) -> dict[str, str]:
        """Return the errors of failed attempts, by trial."""
        paths = self.store.glob("*/attempts/*/error.txt")
        return {path.parts[-4]: path.read_text() for path in paths}

    def unreleased(self) -> list[Path]:
        """Return the claims that were not released."""
        claims = self.store.glob("*/claims/*.json")
        return [path for path in claims if not path.with_suffix(".released").exists()]


@pytest.fixture
def sweep(tmp_path) -> Iterator:
    """Yield a factory of sweeps, and kill the processes that a failed test leaves behind."""
    sweeps = []

    def make(seconds: str) -> Sweep:
        sweeps.append(Sweep(tmp_path, seconds))
        return sweeps[-1]

    yield make
    for sweep in sweeps:
        for process in processes_of(sweep.log):
            os.kill(process.pid, signal.SIGKILL)


def stop(sweep: Sweep, driver: subprocess.Popen, *numbers: int) -> tuple[float, str]:
    """Send signals while two programs run, and return the seconds to the end and the output."""
    assert wait_until(lambda: len(processes_of(sweep.log)) >= 7, 20), (
        "two programs with their processes"
    )
    start = time.monotonic()
    for number in numbers:
        driver.send_signal(number)
        time.sleep(0.3)
    output, _ = driver.communicate(timeout=30)
    return time.monotonic() - start, output


@pytest.mark.parametrize("stubborn", [{}, {STUBBORN: "1"}], ids=["cooperative", "stubborn"])
def test_sigterm_ends_long_programs_within_ten_seconds(sweep, stubborn) -> None:
    """Neither a program that saves and exits with 0 nor one that ignores SIGTERM has a result."""
    study = sweep(LONG)
    driver = study.start(**stubborn)
    seconds, output = stop(study, driver, signal.SIGTERM)
    assert seconds < 10
    assert driver.returncode == 130
    assert "terminated: running trials have 4 s to end" in output
    assert wait_until(lambda: not processes_of(study.log), 1)
    assert (study.done(), study.errors(), study.unreleased()) == (set(), {}, [])
    status, output = study.run()
    assert status == 0
    assert "4 of 4 trials done" in output
    assert sorted(study.num_starts().values()) == [1, 1, 2, 2]


def test_one_interrupt_lets_running_trials_end_and_starts_no_more(sweep) -> None:
    study = sweep("3")
    driver = study.start()
    _, output = stop(study, driver, signal.SIGINT)
    assert driver.returncode == 130
    assert "stopped: finished trials are kept; run the same command again to resume" in output
    assert len(study.done()) == 2
    assert study.done() == set(study.num_starts())
    assert (study.errors(), study.unreleased(), processes_of(study.log)) == ({}, [], [])
    assert study.run()[0] == 0
    assert list(study.num_starts().values()) == [1, 1, 1, 1]


def test_two_interrupts_end_within_seconds(sweep) -> None:
    study = sweep(LONG)
    driver = study.start()
    seconds, output = stop(study, driver, signal.SIGINT, signal.SIGINT)
    assert seconds < 5
    assert driver.returncode == 130
    assert "interrupted: finished trials are kept; run the same command again to resume" in output
    assert wait_until(lambda: not processes_of(study.log), 1)
    assert (study.done(), study.errors(), study.unreleased()) == (set(), {}, [])
    assert study.run()[0] == 0


def test_a_killed_driver_leaves_neither_results_nor_failures_nor_processes(sweep) -> None:
    study = sweep(LONG)
    driver = study.start()
    stop(study, driver, signal.SIGKILL)
    assert wait_until(lambda: not processes_of(study.log), 5)
    assert (study.done(), study.errors(), study.unreleased()) == (set(), {}, [])
    assert study.run()[0] == 0


def kill_a_worker(study: Sweep, driver: subprocess.Popen) -> str:
    """Kill one of two busy workers, let the others finish, and return the trial it had."""
    assert wait_until(lambda: len(processes_of(study.log)) >= 7, 20)
    program = study.programs()[0]
    trial = next(word for word in program.words if "/attempts/" in word).split("/")[-3]
    processes = [p for p in processes_of(study.log) if p.trial == trial]
    assert processes
    os.kill(program.parent, signal.SIGKILL)
    assert wait_until(lambda: not {*processes, program} & set(processes_of(study.log)), 5)
    assert driver.poll() is None
    (study.folder / "hurry").touch()
    return trial


def test_a_killed_worker_fails_its_trial_and_no_other(sweep) -> None:
    study = sweep(LONG)
    driver = study.start()
    trial = kill_a_worker(study, driver)
    output, _ = driver.communicate(timeout=30)
    assert driver.returncode == 4
    assert "1 trial failed: killed by signal 9, perhaps out of memory" in output
    assert study.errors() == {trial: "killed by signal 9, perhaps out of memory"}
    assert len(study.done()) == 3
    assert not processes_of(study.log)
    assert study.run()[0] == 0
    assert study.num_starts() == {name: 2 if name == trial else 1 for name in study.done()}


def test_the_trial_of_a_killed_worker_is_retried_if_the_study_has_retries(
    sweep,
) -> None:
    study = sweep(LONG)
    study.study.write_text(study.study.read_text() + "retries = 1\n")
    driver = study.start("--json")
    trial = kill_a_worker(study, driver)
    output, _ = driver.communicate(timeout=30)
    assert driver.returncode == 0, output
    assert list(study.errors()) == [trial]
    assert study.num_starts() == {name: 2 if name == trial else 1 for name in study.done()}
    assert len(study.done()) == 4


def test_two_hosts_share_a_store_and_run_every_trial_once(sweep) -> None:
    study = sweep("0.8")
    drivers = [study.start(program=with_short_timeouts(host)) for host in ("here", "other-host")]
    outputs = [driver.communicate(timeout=60)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], outputs
    assert len(study.done()) == 4
    assert list(study.num_starts().values()) == [1, 1, 1, 1]
    claims = [json.loads(p.read_text())["place"] for p in study.store.glob("*/claims/1.json")]
    assert len({place.split()[0] for place in claims}) == 2, "both hosts ran trials"


def test_the_trials_of_a_silent_host_are_run_by_another(sweep) -> None:
    """The first host vanishes with its workers, so that its claims have no heartbeat."""
    study = sweep(LONG)
    driver = study.start(program=with_short_timeouts("other-host"))
    assert wait_until(lambda: len(processes_of(study.log)) >= 7, 20)
    driver.kill()
    for process in processes_of(study.log):
        os.kill(process.pid, signal.SIGKILL)
    driver.communicate()
    assert len(study.unreleased()) == 2
    (study.folder / "hurry").touch()
    driver = study.start(program=with_short_timeouts())
    output, _ = driver.communicate(timeout=60)
    assert driver.returncode == 0, output
    assert len(study.done()) == 4
    assert sorted(study.num_starts().values()) == [1, 1, 2, 2]
