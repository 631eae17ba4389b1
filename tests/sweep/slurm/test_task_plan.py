"""Plan of a sweep's tasks: how many are submitted, and which were lost."""

import pytest

from mutransfer.sweep.executors.slurm import plan as plan_module
from mutransfer.sweep.executors.slurm.plan import MAX_TASKS, TaskPlan


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that a test sets."""
    times = [1000.0]
    monkeypatch.setattr(plan_module.time, "monotonic", lambda: times[0])
    return times


def submit_all(
    plan: TaskPlan, num_live: int = 0, room: int = 10**9
) -> list[tuple[int, int | None]]:
    """Submit what is planned to a queue of some room, and return the accepted arrays."""
    arrays = []
    while (array := plan.next_array(num_live))[0]:
        if array[0] > room:
            plan.count_refused(array[0])
            continue
        plan.count_submitted(array[0])
        num_live += array[0]
        arrays.append(array)
    return arrays


def test_every_trial_has_a_task_and_tasks_in_the_queue_count(clock) -> None:
    plan = TaskPlan(trials_per_task=3, limit=None)
    assert plan.lost(num_trials=10, num_live=1) == 0
    assert submit_all(plan, 1) == [(3, None)]
    assert plan.lost(10, 4) == 0
    assert submit_all(plan, 4) == []


def test_tasks_are_lost_only_if_they_are_missing_for_long(clock) -> None:
    """A result appears up to half a minute after its task has left the queue."""
    plan = TaskPlan(1, None)
    plan.lost(10, 0)
    submit_all(plan)
    assert plan.lost(10, 9) == 0
    clock[0] += plan_module.LOST_SECONDS - 1
    assert plan.lost(10, 9) == 0
    clock[0] += 2
    assert plan.lost(10, 9) == 1
    assert plan.replacements == 1
    assert submit_all(plan, 9) == [(1, None)]
    assert plan.lost(10, 8) == 0
    clock[0] += plan_module.LOST_SECONDS + 1
    assert plan.lost(8, 8) == 0, "the results of two tasks appeared in the meantime"
    assert plan.lost(8, 7) == 0


def test_an_array_is_halved_until_the_queue_accepts_it(clock) -> None:
    """MaxArraySize bounds every array; one after another, all tasks are submitted."""
    plan = TaskPlan(1, None)
    plan.lost(200, 0)
    arrays = submit_all(plan, room=51)
    assert sum(size for size, _ in arrays) == 200
    assert max(size for size, _ in arrays) == 50


def test_a_large_study_keeps_few_tasks_in_the_queue(clock) -> None:
    plan = TaskPlan(1, None)
    plan.lost(100_000, 0)
    assert submit_all(plan) == [(MAX_TASKS, None)]
    assert plan.lost(99_500, MAX_TASKS - 400) == 0
    assert submit_all(plan, MAX_TASKS - 400) == [], "the queue is more than half full"
    assert submit_all(plan, 400) == [(MAX_TASKS - 400, None)]


def test_arrays_together_run_no_more_tasks_than_the_limit(clock) -> None:
    plan = TaskPlan(1, limit=8)
    plan.lost(20, 0)
    assert submit_all(plan) == [(20, 8)]
    plan.lost(20, 5)
    clock[0] += plan_module.LOST_SECONDS + 1
    assert plan.lost(20, 5) == 15
    assert plan.next_array(5) == (0, None)
    assert plan.next_array(4) == (15, 4)
