"""Drivers that start at the same moment on a store that is not there yet."""

import multiprocessing
from pathlib import Path

import pytest

from mutransfer.sweep import TrialStore


def make(path: Path, barrier, said) -> None:
    """Make the store, or say what was refused."""
    barrier.wait()
    try:
        TrialStore(path, create=True)
        said.put("made")
    except Exception as problem:
        said.put(str(problem))


@pytest.mark.slow
def test_drivers_that_start_together_share_one_new_store(tmp_path) -> None:
    processes = multiprocessing.get_context("fork")
    said = processes.SimpleQueue()
    for attempt in range(20):
        barrier = processes.Barrier(3)
        words = (tmp_path / str(attempt) / "store", barrier, said)
        drivers = [processes.Process(target=make, args=words) for _ in range(3)]
        for driver in drivers:
            driver.start()
        assert [said.get() for _ in drivers] == ["made"] * 3
        for driver in drivers:
            driver.join()


def test_a_driver_that_died_while_it_made_a_store_does_not_spoil_it(tmp_path) -> None:
    (tmp_path / ".store.json.0123").touch()
    TrialStore(tmp_path, create=True)
    TrialStore(tmp_path)
