"""A SLURM of three nodes for the tests of this folder, and sweeps on it."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from slurm_cluster import NODES, Cluster, Sweep, wait_until, why_not


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    """Yield a cluster of three nodes with two cores each."""
    if reason := why_not():
        pytest.skip(reason)
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.node("start", str(len(NODES)), "2")
        yield cluster
    finally:
        cluster.node("stop")


@pytest.fixture
def sweep(cluster, tmp_path) -> Iterator[Sweep]:
    """Yield a sweep on an empty cluster."""
    yield Sweep(cluster, tmp_path)
    cluster("scancel", "--user=root")
    for name in NODES:
        if not (cluster.folder / f"node-{name}.pid").exists():
            cluster.node("start-node", name)
    assert wait_until(lambda: not cluster("squeue", "-h"), 60)


@pytest.fixture
def stop() -> Callable[[subprocess.Popen, int], None]:
    """Return a function that sends Ctrl-C some times."""

    def press(driver: subprocess.Popen, times: int) -> None:
        for _ in range(times):
            driver.send_signal(signal.SIGINT)
            time.sleep(0.5)

    return press
