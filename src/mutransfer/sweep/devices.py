"""GPUs and cores of this machine, assigned to workers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from mutransfer.errors import UsageError, counted
from mutransfer.records.tables.resources import ResourcesTable

VISIBLE = "CUDA_VISIBLE_DEVICES"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them."""
    variable = os.environ.get(VISIBLE)
    if variable is not None:
        names = [name.strip() for name in variable.split(",")]
        return [] if names[0] in ("", "-1") else names
    numbers = [p.name.removeprefix("nvidia") for p in Path("/dev").glob("nvidia[0-9]*")]
    return sorted((number for number in numbers if number.isdecimal()), key=int)


def device() -> str:
    """Return the device of a trial; a worker sees its own GPUs only, numbered from 0."""
    return "cuda" if visible_gpus() else "cpu"


def worker_environments(
    workers: int | Literal["auto"], resources: ResourcesTable
) -> list[dict[str, str]]:
    """Return the environment variables of each worker: its GPUs, and its number of threads.

    Args:
        workers: Number of workers; 'auto' is as many as there are GPUs, or cores without GPUs.
        resources: What a trial needs. Unless it says how many GPUs, they are distributed evenly:
            with more workers than GPUs some share one, with fewer a worker has several. A trial of
            several processes has one GPU for each, where there are any.

    Raises:
        UsageError: This machine has less than the workers need together.

    Example:
        >>> os.environ["CUDA_VISIBLE_DEVICES"] = "0,1,2,3"
        >>> [w["CUDA_VISIBLE_DEVICES"] for w in worker_environments(2, ResourcesTable())]
        ['0,1', '2,3']
        >>> quarter = ResourcesTable(gpus_per_trial=0.25)
        >>> [w["CUDA_VISIBLE_DEVICES"] for w in worker_environments(5, quarter)]
        ['0', '1', '2', '3', '0']
        >>> del os.environ["CUDA_VISIBLE_DEVICES"]
    """
    gpus = visible_gpus() if resources.gpus_per_trial != 0 else []
    if gpus and resources.gpus_per_trial is None and resources.processes_per_trial > 1:
        one_each = {"gpus_per_trial": float(resources.processes_per_trial)}
        resources = resources.model_copy(update=one_each)
    room_on_gpus = _room_on_gpus(gpus, resources)
    room_on_cores = _room_on_cores(resources)
    if isinstance(workers, int):
        num_workers = workers
    else:
        # The work of a trial on a GPU needs few cores, so the cores limit it only if they are set.
        limits = [room for room in (room_on_gpus or len(gpus), room_on_cores) if room]
        num_workers = min(limits) if limits else len(os.sched_getaffinity(0))
    if room_on_gpus is not None and num_workers > room_on_gpus:
        raise _oversubscription(num_workers, room_on_gpus, "GPUs", len(gpus))
    if room_on_cores is not None and num_workers > room_on_cores:
        raise _oversubscription(num_workers, room_on_cores, "cores", len(os.sched_getaffinity(0)))
    environment = dict.fromkeys(THREADS, str(resources.threads_per_process))
    return [
        environment | _gpus_of(worker, num_workers, gpus, resources)
        for worker in range(num_workers)
    ]


def _gpus_of(
    worker: int, num_workers: int, gpus: list[str], resources: ResourcesTable
) -> dict[str, str]:
    """Return the variable that restricts a worker to its GPUs."""
    if resources.gpus_per_trial == 0:
        return {VISIBLE: ""}
    if not gpus:
        return {}
    if resources.gpus_per_trial is None:
        first = worker * len(gpus) // num_workers
        last = max(first + 1, (worker + 1) * len(gpus) // num_workers)
    elif resources.whole_gpus:
        first, last = worker * resources.whole_gpus, (worker + 1) * resources.whole_gpus
    else:
        first = worker % len(gpus)
        last = first + 1
    return {VISIBLE: ",".join(gpus[first:last])}


def _room_on_gpus(gpus: list[str], resources: ResourcesTable) -> int | None:
    """Return how many trials the GPUs hold; None if a trial does not say what it needs."""
    if not resources.gpus_per_trial:
        return None
    room = len(gpus) * resources.trials_per_gpu // max(1, resources.whole_gpus)
    if not room:
        raise UsageError(
            f"a trial needs {resources.gpus_per_trial:g} GPUs, and this machine has {len(gpus)}",
            why="a trial that waits for them would never start",
            fix="lower gpus_per_trial in [resources], or run it where there are more",
        )
    return room


def _room_on_cores(resources: ResourcesTable) -> int | None:
    """Return how many trials the cores hold; None if a trial does not say what it needs."""
    if "cpus_per_trial" not in resources.model_fields_set:
        return None
    cores = len(os.sched_getaffinity(0))
    if resources.cpus_per_trial > cores:
        raise UsageError(
            f"a trial needs {resources.cpus_per_trial} cores, and this machine has {cores}",
            why="its threads would wait for each other",
            fix=f"write cpus_per_trial = {cores} in [resources], or run it where there are more",
        )
    return cores // resources.cpus_per_trial


def _oversubscription(workers: int, room: int, name: str, number: int) -> UsageError:
    """Return the error of more workers than a machine holds."""
    return UsageError(
        f"{workers} workers do not fit on {number} {name}, which hold {counted(room, 'trial')}",
        why="trials that share what each needs alone run out of memory, or slow each other down",
        fix=f"write --workers {room} or --workers auto, or lower the needs in [resources]",
    )
