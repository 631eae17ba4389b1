"""Sweeps on a real SLURM: whatever happens to tasks, no trial is lost and none is repeated."""

import re

import pytest
from slurm_cluster import MAX_ARRAY, wait_until

# A minute without a heartbeat, and the start of Python for each task, take long on two busy cores.
pytestmark = [pytest.mark.slow, pytest.mark.slurm, pytest.mark.timeout(900)]


def test_two_hundred_trials_on_three_nodes_survive_the_death_of_one(sweep, cluster) -> None:
    """The trials of the dead node run again on another, once their claims are silent."""
    sweep.write(widths=10, lrs=20, seconds=1, settings="trials_per_task = 5")
    driver = sweep.start()
    assert wait_until(lambda: sweep.num_done() >= 60, 100), "60 trials done"
    assert wait_until(lambda: sweep.runs_on("n1"), 30)
    cluster.node("kill-node", "n1")
    output = sweep.finish(driver)
    assert "200 of 200 trials done" in output
    sweep.check(200)
    starts = [line for line in sweep.lines() if line.startswith("start")]
    assert len(starts) > 200, "the dead node had trials"


def test_preempted_tasks_are_requeued_and_their_trials_run_again(sweep, cluster) -> None:
    sweep.write(widths=4, lrs=6, seconds=3)
    driver = sweep.start()
    assert wait_until(lambda: sweep.running() >= 2, 60)
    urgent = ["--partition=urgent", "--nodes=3", "--exclusive", "--output=/dev/null"]
    cluster("sbatch", *urgent, "--wrap=sleep 5")
    output = sweep.finish(driver)
    assert "24 of 24 trials done" in output
    sweep.check(24)
    logs = "".join(path.read_text() for path in (sweep.store / "slurm").glob("*.log"))
    assert "DUE TO PREEMPTION" in logs


def test_tasks_that_others_cancel_are_replaced(sweep, cluster) -> None:
    """A running task releases its trial, and tasks that wait have none."""
    sweep.write(widths=4, lrs=5, seconds=4)
    driver = sweep.start()
    assert wait_until(lambda: sweep.running() >= 2, 60)
    job = sweep.tasks()[0].split("_")[0]
    cluster("scancel", job)
    output = sweep.finish(driver)
    assert re.search(r"\d+ tasks left the queue without their trials \(\d+ CANCELLED", output)
    assert "20 of 20 trials done" in output
    sweep.check(20)


def test_a_queue_that_accepts_few_tasks_gets_several_arrays(sweep) -> None:
    """And no more tasks run at the same time than `array_limit` says."""
    num_trials = MAX_ARRAY + 5
    sweep.write(widths=1, lrs=num_trials, seconds=2, settings="array_limit = 3")
    output = sweep.finish(sweep.start())
    sweep.check(num_trials)
    sizes = [int(size) for size in re.findall(r"submitted job \d+: (\d+) task", output)]
    assert len(sizes) > 1
    assert max(sizes) < MAX_ARRAY
    running = most = 0
    events = sorted((line.split() for line in sweep.lines()), key=lambda words: float(words[2]))
    for event, *_ in events:
        running += 1 if event == "start" else -1
        most = max(most, running)
    assert 2 <= most <= 3, "six cores are free"


def test_tasks_that_cannot_begin_are_an_error_with_the_log(sweep) -> None:
    sweep.write(widths=1, lrs=3, seconds=0, settings="setup = ['echo no such module', 'exit 7']")
    driver = sweep.start()
    output, _ = driver.communicate(timeout=120)
    assert driver.returncode == 2
    assert (
        "ClusterError: tasks end without their trials: 3 FAILED with status 7; "
        "the last lines of a log: no such module\n"
        "  why: submitting them again would not help; finished trials are kept\n"
    ) in output
    assert sweep.num_done() == 0


def test_a_trial_that_fails_is_tried_by_one_more_task(sweep) -> None:
    """And not by every task, also where --retry-failed forgives earlier failures."""
    sweep.write(widths=2, lrs=4, seconds=0)
    study = sweep.folder / "study.toml"
    study.write_text(
        study.read_text().replace("echo loss", "test {width}-{lr} != 1-3 && echo loss")
    )
    for options, num_starts in ([], 9), (["--retry-failed"], 11):
        driver = sweep.start(*options)
        output, _ = driver.communicate(timeout=120)
        assert driver.returncode == 4, output
        assert "7 of 8 trials done" in output
        assert "next:  fix the cause, then add --retry-failed" in output
        starts = [line for line in sweep.lines() if line.startswith("start")]
        assert len(starts) == num_starts
        assert len([line for line in starts if line.split()[1] == "1-3"]) == num_starts - 7
