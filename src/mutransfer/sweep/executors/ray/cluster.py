"""The Ray cluster of a sweep: connection, what its nodes have, and which trials fit."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

from mutransfer.errors import ClusterError, UsageError, counted
from mutransfer.records.base import InvalidValue
from mutransfer.records.tables.ray import ray_address
from mutransfer.records.tables.resources import ResourcesTable

QUIET = {
    # Ray prints the log of every process that dies to stdout, which `--json` needs for itself.
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",
    "RAY_USAGE_STATS_ENABLED": "0",  # a sweep reports to nobody
}
"""Variables that Ray reads when it is imported; the user's environment overrides them."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What one trial needs of one node.

    Args:
        gpus: GPUs, or a fraction of one.
        cpus: Cores.
    """

    gpus: float
    cpus: int

    def room(self, node: Mapping[str, float]) -> int:
        """Return how many trials a node can run at once, by the resources that it has in total.

        Example:
            >>> Demand(gpus=0.25, cpus=1).room({"GPU": 1.0, "CPU": 16.0})
            4
        """
        rooms = [node.get("CPU", 0.0) / self.cpus]
        if self.gpus:
            rooms.append(node.get("GPU", 0.0) / self.gpus)
        return int(min(rooms) + 1e-9)

    @property
    def options(self) -> dict[str, float]:
        """The options of a Ray task."""
        return {"num_cpus": self.cpus, "num_gpus": self.gpus}

    def __str__(self) -> str:
        cores = counted(self.cpus, "core")
        if not self.gpus:
            return cores
        is_part = self.gpus < 1
        return (
            f"{self.gpus:g} of a GPU and {cores}"
            if is_part
            else (f"{counted(int(self.gpus), 'GPU')} and {cores}")
        )


def demand(resources: ResourcesTable, nodes: list[Mapping[str, float]]) -> Demand:
    """Return what a trial needs; by default one GPU for each of its processes, if there are GPUs.

    Raises:
        UsageError: No node is large enough, so that trials would wait forever.
    """
    gpus = resources.gpus_per_trial
    if gpus is None:
        gpus = resources.processes_per_trial if any(node.get("GPU") for node in nodes) else 0.0
    # Ray counts in steps of 1e-4, and three thirds must fit into a GPU.
    need = Demand(int(gpus * 1e4 + 1e-6) / 1e4, resources.cpus_per_trial)
    if not any(need.room(node) for node in nodes):
        sizes = {(int(node.get("GPU", 0)), int(node.get("CPU", 0))) for node in nodes}
        largest = [f"{counted(g, 'GPU')} and {counted(c, 'core')}" for g, c in sorted(sizes)[-3:]]
        raise UsageError(
            f"a trial needs {need}, but no node of the Ray cluster has them",
            why=f"a trial runs on one node; the nodes have {'; '.join(largest) or 'nothing'}",
            fix="write less as gpus_per_trial or cpus_per_trial in [resources], or add a node",
        )
    return need


def nodes(ray: ModuleType) -> list[Mapping[str, float]]:
    """Return the total resources of every node that is alive."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


@contextmanager
def connected(address: str | None) -> Iterator[ModuleType]:
    """Connect to a cluster, or start Ray on this machine and shut it down afterwards.

    A connection that the program already has is used, and kept.

    Args:
        address: 'local', 'auto' or HOST:PORT; by default `RAY_ADDRESS`, or else 'local'.

    Raises:
        UsageError: Ray is not installed, or `RAY_ADDRESS` is not valid.
        ClusterError: No cluster answers.
    """
    ray = _import_ray()
    if ray.is_initialized():
        yield ray
        return
    address = address or _address_of_environment()
    handler = signal.getsignal(signal.SIGTERM)
    options = {} if address != "local" else {"include_dashboard": False}
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL, **options)
    except Exception as error:  # ConnectionError, RuntimeError, ValueError: by the kind of problem
        raise _unreachable(address, error) from error
    finally:
        # Ray replaces the handler by one that exits, where a sweep lets running trials finish.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)
    try:
        yield ray
    finally:
        ray.shutdown()


def _import_ray() -> ModuleType:
    """Import Ray, with the variables that keep it quiet."""
    for name, setting in QUIET.items():
        os.environ.setdefault(name, setting)
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            f"Ray cannot be imported: {error}",
            why="--executor ray runs trials as tasks of a Ray cluster",
            fix="pip install 'mutransfer[ray]'",
        ) from error
    return ray


def _address_of_environment() -> str:
    """Return `RAY_ADDRESS`, or 'local' if it is not set."""
    address = os.environ.get("RAY_ADDRESS") or "local"
    try:
        return ray_address(address)
    except InvalidValue as error:
        raise UsageError(
            f"RAY_ADDRESS: {error}", why="trials would not reach a cluster", fix=error.fix
        ) from None


def _unreachable(address: str, error: Exception) -> ClusterError:
    """Return the error for a cluster to which there is no connection."""
    message = " ".join(str(error).split())[:200]
    if address == "local":
        return ClusterError(
            f"Ray does not start on this machine: {message}",
            why="without [ray] address or RAY_ADDRESS, a sweep starts its own Ray",
            fix="try `ray start --head`, or run with --executor local",
        )
    return ClusterError(
        f"the Ray cluster at {address} does not answer: {message}",
        why="trials run as tasks of this cluster",
        fix="check `ray status`, and the [ray] address or RAY_ADDRESS; the cluster's Ray and "
        "Python must be of the same versions as here",
    )
