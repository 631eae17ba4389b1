"""Disasters of a store: full and read-only disks, wrong clocks, damaged files, other versions.

Killed and interrupted sweeps are in `tests/acceptance`.
"""

import errno
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from runners import Valley, trials

from mutransfer.cli import main
from mutransfer.errors import StoreError
from mutransfer.records import TrialResult, TrialSpec
from mutransfer.sweep import LocalExecutor, TrialStore, driver, run_sweep
from mutransfer.sweep.store.claims import Claim, acquire, current_claim
from mutransfer.sweep.store.store import RESERVED_BYTES
from mutransfer.sweep.trial_run import TrialRun


class InProcess:
    """Executor that runs trials one after another in this process."""

    def run(self, trials, work, stop) -> Iterator:
        for spec in trials:
            if not stop.is_set():
                yield work(spec)


def sweep(store: TrialStore, runner, specs=None, executor=None, **options):
    """Run trials, four by default, with an executor, by default in this process."""
    specs = trials() if specs is None else specs
    return run_sweep(specs, store, runner=runner, executor=executor or InProcess(), **options)


def three_lines(call: Callable[[], object]) -> list[str]:
    """Return the three lines of an error."""
    with pytest.raises(StoreError) as raised:
        call()
    lines = str(raised.value).splitlines()
    assert [line[:7] for line in lines[1:]] == ["  why: ", "  fix: "]
    return lines


def finished_ids(store: TrialStore) -> set[str]:
    """Return the ids of the trials that have a result."""
    return {trial for trial in store.ids() if store.is_done(trial)}


@pytest.fixture
def store(tmp_path) -> TrialStore:
    """Return an empty store."""
    return TrialStore(tmp_path / "runs", create=True)


# Full disks.


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """Mount a file system for a while; skip the test where that is not permitted."""
    folder.mkdir(exist_ok=True)
    try:
        subprocess.run(["mount", *options, str(folder)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as problem:
        pytest.skip(f"nothing can be mounted here: {problem}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """Return a folder on a disk of 4 MiB."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=4m", "tmpfs") as folder:
        yield folder


def fill(path: Path) -> None:
    """Write a file until the disk is full."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    assert path.stat().st_size


@dataclass(frozen=True)
class FillingRunner:
    """Runner whose first trial fills the disk while the second runs; later ones cannot start."""

    disk: Path
    log: Path
    seconds: float = 0.0

    def __call__(self, spec: TrialSpec, trial_dir: Path) -> TrialResult:
        with self.log.open("a") as log:
            log.write(f"{spec.id}\n")
        if spec == trials()[0]:
            time.sleep(self.seconds / 2)
            fill(self.disk / "filler")
        elif spec == trials()[1]:
            time.sleep(2 * self.seconds)
        return TrialResult(id=spec.id, spec=spec, loss=2.0, seconds=0.0, finished="now")


@pytest.mark.slow
def test_running_trials_are_published_on_a_disk_that_fills_up_and_others_run_later(
    small_disk, tmp_path
) -> None:
    """Both trials that run when the disk fills are published, in the space they reserved."""
    store, log = TrialStore(small_disk / "runs", create=True), tmp_path / "log"
    runner, specs = FillingRunner(small_disk, log, seconds=1.0), trials()
    lines = three_lines(lambda: sweep(store, runner, executor=LocalExecutor(2)))
    assert lines[0].startswith(f"cannot write {store.path}/")
    assert lines[0].endswith(": No space left on device")
    assert (
        lines[2] == "  fix: free some space or set the permissions, then run the same command again"
    )
    assert finished_ids(store) == {specs[0].id, specs[1].id}
    assert all(store.current_claim(spec.id) is None for spec in specs[:2])
    (small_disk / "filler").unlink()
    start = time.monotonic()
    summary = sweep(store, runner, executor=LocalExecutor(2))
    assert time.monotonic() - start < 20, "no claim had to be watched"
    assert (summary.done, summary.ran, summary.failed) == (4, 2, {})
    assert sorted(log.read_text().split()) == sorted(spec.id for spec in specs)


def test_a_full_disk_leaves_no_claim_that_must_be_watched(small_disk) -> None:
    store, spec = TrialStore(small_disk / "runs", create=True), trials()[0]
    store.claim(spec).release()
    fill(small_disk / "filler")
    lines = three_lines(lambda: store.claim(spec))
    assert lines[0] == f"cannot write {store.folder(spec.id)}: No space left on device"
    (small_disk / "filler").unlink()
    assert store.current_claim(spec.id) is None
    assert store.claim(spec) is not None


def test_the_reserved_space_is_used_for_the_result(store) -> None:
    """A full disk is simulated: only an attempt that freed its reserve can be written to."""
    specs, full = trials(), threading.Event()
    opened = Path.open

    def on_a_full_disk(path: Path, mode: str = "r", *how: object, **more: object):
        has_room = path.parent.parent.name == "attempts" and not (path.parent / ".reserve").exists()
        if full.is_set() and mode[0] == "w" and not has_room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(path, mode, *how, **more)

    def runner(spec: TrialSpec, trial_dir: Path) -> TrialResult:
        assert (trial_dir / ".reserve").stat().st_size == RESERVED_BYTES
        full.set()
        return Valley()(spec, trial_dir)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", on_a_full_disk)
        lines = three_lines(lambda: sweep(store, runner))
    assert lines[0] == f"cannot write {store.folder(specs[1].id)}: No space left on device"
    assert finished_ids(store) == {specs[0].id}
    assert sweep(store, Valley()).ran == 3
    calls = (store.path / "calls.log").read_text().splitlines()
    assert sorted(line.split()[0] for line in calls) == sorted(spec.id for spec in specs)


# Stores that cannot be written.

STUDY = """
schema = 1
[study]
name = "echo"
[axes]
width = [32, 64]
lr = {lrs}
[runner]
command = "echo loss={{lr}}{{width}}"
loss = {{ regex = "loss=(.*)" }}
"""


def cli(capsys, *arguments: object) -> tuple[int, str, str]:
    """Run a command line in this process; return its status, stdout and stderr."""
    with pytest.raises(SystemExit) as exited:
        main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    return int(exited.value.code or 0), printed.out, printed.err


def study_file(folder: Path, lrs: list[float]) -> Path:
    """Write a study whose program is `echo`."""
    path = folder / f"echo{len(lrs)}.toml"
    path.write_text(STUDY.format(lrs=lrs))
    return path


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder read-only, for root too, for a while."""
    if os.geteuid():
        everything = [folder, *folder.rglob("*")]
        for path in everything:
            path.chmod(path.stat().st_mode & ~0o222)
        try:
            yield
        finally:
            for path in everything:
                path.chmod(path.stat().st_mode | 0o200)
    else:
        with mounted(folder, "--bind", str(folder)):
            subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
            yield


@pytest.mark.slow
def test_a_read_only_store_can_be_read_but_not_written(tmp_path, capsys) -> None:
    store = tmp_path / "runs"
    study, more = study_file(tmp_path, [0.25, 0.5]), study_file(tmp_path, [0.25, 0.5, 1.0])
    assert cli(capsys, "sweep", study, "--store", store, "--workers", 1)[0] == 0
    with read_only(store):
        status, out, _ = cli(capsys, "sweep", "--status", store)
        assert (status, out.splitlines()[0]) == (
            0, "4 of 4 trials done; 0 running, 0 failed, 0 to do"
        )  # fmt: skip
        status, out, _ = cli(capsys, "analyze", store)
        assert status == 0
        assert "lr" in out
        for file in (study, more):
            status, out, err = cli(capsys, "sweep", file, "--store", store)
            lines = err.splitlines()
            assert (status, out, len(lines)) == (2, "", 3)
            assert lines[0].startswith(f"StoreError: cannot write {store}: ")
    status, out, _ = cli(capsys, "sweep", more, "--store", store, "--workers", 1)
    assert (status, out.splitlines()[0]) == (0, "6 of 6 trials done")


# Clocks that jump.

PAST, FUTURE = 0, 4102444800  # 1970 and 2100


@pytest.fixture
def short_timeouts(monkeypatch) -> None:
    """Make claims stale after 0.6 seconds."""
    monkeypatch.setattr(driver, "STALE_SECONDS", 0.6)
    monkeypatch.setattr(driver, "POLL_SECONDS", 0.05)


def claimed_elsewhere(store: TrialStore, spec: TrialSpec) -> Claim:
    """Claim a trial for another host."""
    claim = store.claim(spec)
    owner = json.loads(claim.path.read_text()) | {"place": "elsewhere 1 2"}
    claim.path.write_text(json.dumps(owner))
    return claim


@contextmanager
def call_later(act: Callable[[], object], seconds: float = 0.3) -> Iterator[None]:
    """Call a function after a moment."""
    timer = threading.Timer(seconds, act)
    timer.start()
    yield
    timer.join()


@pytest.mark.parametrize("when", [PAST, FUTURE])
def test_a_wrong_clock_does_not_change_whether_an_owner_is_alive(tmp_path, when) -> None:
    claim = acquire(tmp_path)
    os.utime(claim.path, (when, when))
    assert current_claim(tmp_path).is_alive
    assert acquire(tmp_path) is None
    owner = json.loads(claim.path.read_text())
    claim.path.write_text(json.dumps(owner | {"started": "1"}))
    os.utime(claim.path, (when, when))
    assert acquire(tmp_path).path.name == "2.json"


@pytest.mark.parametrize(("before", "beat"), [(PAST, PAST + 9), (FUTURE, PAST), (PAST, FUTURE)])
def test_a_host_whose_clock_jumps_keeps_its_trial_while_there_are_heartbeats(
    store, short_timeouts, before, beat
) -> None:
    spec, statuses = trials()[0], []
    claim = claimed_elsewhere(store, spec)
    os.utime(claim.path, (before, before))
    with call_later(lambda: os.utime(claim.path, (beat, beat))):
        summary = sweep(store, Valley(), [spec], on_outcome=lambda o: statuses.append(o.status))
    assert (summary.taken, summary.done, statuses) == (1, 0, ["waiting", "taken"])
    assert store.current_claim(spec.id).number == 1


@pytest.mark.parametrize("when", [PAST, FUTURE])
def test_the_trial_of_a_silent_host_is_taken_over_whatever_its_clock(
    store, short_timeouts, when
) -> None:
    spec = trials()[0]
    claim = claimed_elsewhere(store, spec)
    os.utime(claim.path, (when, when))
    start = time.monotonic()
    summary = sweep(store, Valley(), [spec])
    assert (summary.ran, summary.taken) == (1, 0)
    assert time.monotonic() - start > 0.5, "the claim was watched"
    assert sorted(p.name for p in claim.path.parent.glob("*.json")) == ["1.json", "2.json"]


class SetBySignals(threading.Event):
    """Event that a signal handler may set: waiting for it could hang, since it holds a lock."""

    def wait(self, timeout: float | None = None) -> bool:
        raise AssertionError("a signal at this moment would hang")


def test_a_trial_that_another_host_releases_is_run_at_once(
    store, short_timeouts, monkeypatch
) -> None:
    monkeypatch.setattr(driver, "STALE_SECONDS", 60.0)
    spec = trials()[0]
    with call_later(claimed_elsewhere(store, spec).release):
        assert sweep(store, Valley(), [spec], stop=SetBySignals()).ran == 1


def test_a_trial_that_another_host_finishes_is_done(store, short_timeouts, monkeypatch) -> None:
    monkeypatch.setattr(driver, "STALE_SECONDS", 60.0)
    spec = trials()[0]
    claimed_elsewhere(store, spec)
    other_result = Valley()(spec, store.new_attempt(spec.id))
    start = time.monotonic()
    with call_later(lambda: store.publish(other_result, store.new_attempt(spec.id))):
        summary = sweep(store, Valley(), [spec])
    assert time.monotonic() - start < 30, "the claim was not watched to its end"
    assert (summary.done, summary.ran, summary.taken) == (1, 0, 0)


# Damaged files and mixed versions.


def test_a_truncated_result_is_an_error_and_affects_no_other_trial(store) -> None:
    specs = trials()
    sweep(store, Valley())
    contents = {spec.id: (store.folder(spec.id) / "result.json").read_bytes() for spec in specs}
    path = store.folder(specs[1].id) / "result.json"
    os.truncate(path, len(contents[specs[1].id]) // 2)
    lines = three_lines(lambda: sweep(store, Valley()))
    assert lines[0].startswith(f"{path}: ")
    assert lines[2] == f"  fix: remove it and run the study again: rm {path}"
    path.unlink()
    assert sweep(store, Valley()).ran == 1
    for spec in (specs[0], *specs[2:]):
        assert (store.folder(spec.id) / "result.json").read_bytes() == contents[spec.id]


def test_the_first_of_two_results_is_kept_and_reported_by_both(store) -> None:
    """A silent owner may come back after another worker has published."""
    spec = trials()[0]

    def slow(spec: TrialSpec, trial_dir: Path) -> TrialResult:
        own_result = Valley()(spec, trial_dir)
        store.publish(own_result.model_copy(update={"loss": 7.0}), store.new_attempt(spec.id))
        return own_result

    outcome = TrialRun(store.path, slow)(spec)
    assert (outcome.status, outcome.result.loss) == ("done", 7.0)
    assert store.result(spec.id).loss == 7.0


@pytest.mark.slow
def test_an_edited_command_makes_other_trials_and_keeps_the_old_ones(tmp_path, capsys) -> None:
    store, study = tmp_path / "runs", study_file(tmp_path, [0.25, 0.5])
    before = study.read_text()
    command = ("sweep", study, "--store", store, "--workers", 1, "--json")
    assert cli(capsys, *command)[0] == 0
    first = finished_ids(TrialStore(store))
    study.write_text(before.replace("echo loss", "echo a loss"))
    assert json.loads(cli(capsys, *command)[1])["ran"] == 4
    both = finished_ids(TrialStore(store))
    assert len(both) == 8
    assert first < both
    study.write_text(before)
    assert json.loads(cli(capsys, *command)[1])["ran"] == 0
