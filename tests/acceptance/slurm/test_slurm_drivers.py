"""Drivers of sweeps on a real SLURM: they leave, die and come back, and the tasks go on."""

import re

import pytest
from slurm_cluster import wait_until

# A minute without a heartbeat, and the start of Python for each task, take long on two busy cores.
pytestmark = [pytest.mark.slow, pytest.mark.slurm, pytest.mark.timeout(900)]


def test_a_killed_driver_is_replaced_by_one_that_finds_its_tasks(sweep) -> None:
    sweep.write(widths=3, lrs=6, seconds=3)
    driver = sweep.start()
    assert wait_until(lambda: sweep.running() >= 2, 60)
    driver.kill()
    driver.communicate()
    output = sweep.finish(sweep.start())
    assert re.search(r"watching \d+ tasks in the queue, of job \d+", output)
    assert "submitted" not in output
    assert "18 of 18 trials done" in output
    sweep.check(18)
    assert len([line for line in sweep.lines() if line.startswith("start")]) == 18


def test_one_interrupt_leaves_the_tasks_in_the_queue(sweep, stop) -> None:
    sweep.write(widths=2, lrs=5, seconds=3)
    driver = sweep.start()
    assert wait_until(lambda: sweep.running() >= 2, 60)
    stop(driver, 1)
    output, _ = driver.communicate(timeout=30)
    assert driver.returncode == 130
    assert "press Ctrl-C again within 3 s to cancel them" in output
    assert re.search(r"cancel: scancel --name=mutransfer-study-[0-9a-f]{8}", output)
    assert sweep.tasks()
    assert wait_until(lambda: sweep.num_done() == 10, 60), "the tasks go on alone"
    assert "10 of 10 trials done" in sweep.finish(sweep.start())
    sweep.check(10)


def test_two_interrupts_cancel_the_tasks_which_release_their_trials(sweep, stop) -> None:
    sweep.write(widths=2, lrs=5, seconds=60)
    driver = sweep.start()
    assert wait_until(lambda: sweep.running() == 6, 60)
    stop(driver, 2)
    output, _ = driver.communicate(timeout=30)
    assert driver.returncode == 130
    assert "cancelled every task of mutransfer-study-" in output
    assert wait_until(lambda: not sweep.tasks(), 30)
    claims = list(sweep.store.glob("*/claims/*.json"))
    assert len(claims) == 6
    assert all(path.with_suffix(".released").exists() for path in claims)
    assert sweep.num_done() == 0
