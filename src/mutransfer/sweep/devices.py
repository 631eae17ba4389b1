"""GPUs of this machine, distributed evenly among workers."""

from __future__ import annotations

import os
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"


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


def gpu_environment(worker: int, num_workers: int) -> dict[str, str]:
    """Return the environment variables that restrict a worker to its share of the GPUs.

    With more workers than GPUs, some share one; with fewer, a worker has several.

    Example:
        >>> os.environ["CUDA_VISIBLE_DEVICES"] = "0,1,2,3"
        >>> gpu_environment(1, 2), gpu_environment(5, 8)
        ({'CUDA_VISIBLE_DEVICES': '2,3'}, {'CUDA_VISIBLE_DEVICES': '2'})
        >>> del os.environ["CUDA_VISIBLE_DEVICES"]
    """
    gpus = visible_gpus()
    if not gpus:
        return {}
    first = worker * len(gpus) // num_workers
    last = max(first + 1, (worker + 1) * len(gpus) // num_workers)
    return {VISIBLE: ",".join(gpus[first:last])}
