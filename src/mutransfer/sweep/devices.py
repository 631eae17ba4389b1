"""This file is which accelerators a worker has: those of the machine are dealt out evenly."""

from __future__ import annotations

import os
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> list[str]:
    """Name the GPUs this process may use, as `CUDA_VISIBLE_DEVICES` names them."""
    said = os.environ.get(VISIBLE)
    if said is not None:
        named = [name.strip() for name in said.split(",")]
        return [] if named[0] in ("", "-1") else named
    found = [p.name.removeprefix("nvidia") for p in Path("/dev").glob("nvidia[0-9]*")]
    return sorted((number for number in found if number.isdecimal()), key=int)


def device() -> str:
    """Name what a trial trains on; a worker sees its own GPUs only, from number 0."""
    return "cuda" if visible_gpus() else "cpu"


def share(worker: int, workers: int) -> dict[str, str]:
    """Give the environment that leaves a worker its part of the GPUs.

    With more workers than GPUs, some share one; with fewer, a worker has several.

    Example:
        >>> os.environ["CUDA_VISIBLE_DEVICES"] = "0,1,2,3"
        >>> share(1, 2), share(5, 8)
        ({'CUDA_VISIBLE_DEVICES': '2,3'}, {'CUDA_VISIBLE_DEVICES': '2'})
        >>> del os.environ["CUDA_VISIBLE_DEVICES"]
    """
    gpus = visible_gpus()
    if not gpus:
        return {}
    first = worker * len(gpus) // workers
    last = max(first + 1, (worker + 1) * len(gpus) // workers)
    return {VISIBLE: ",".join(gpus[first:last])}
