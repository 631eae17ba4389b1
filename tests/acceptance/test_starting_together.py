"""Drivers that start at the same moment on a store that does not exist yet."""

import multiprocessing
from pathlib import Path

import pytest

from mutransfer.sweep import TrialStore


def create_store(path: Path, barrier, outcomes) -> None:
    """Create the store, and report the outcome."""
    barrier.wait()
    try:
        TrialStore(path, create=True)
        outcomes.put("created")
    except Exception as problem:
        outcomes.put(str(problem))


@pytest.mark.slow
def test_drivers_that_start_together_share_one_new_store(tmp_path) -> None:
    processes = multiprocessing.get_context("fork")
    outcomes = processes.SimpleQueue()
    for attempt in range(20):
        barrier = processes.Barrier(3)
        arguments = (tmp_path / str(attempt) / "store", barrier, outcomes)
        drivers = [processes.Process(target=create_store, args=arguments) for _ in range(3)]
        for driver in drivers:
            driver.start()
        assert [outcomes.get() for _ in drivers] == ["created"] * 3
        for driver in drivers:
            driver.join()


def test_a_driver_that_died_while_creating_a_store_leaves_it_usable(tmp_path) -> None:
    (tmp_path / ".store.json.0123").touch()
    TrialStore(tmp_path, create=True)
    TrialStore(tmp_path)
