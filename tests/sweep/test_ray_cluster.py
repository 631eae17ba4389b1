"""Sweeps on a Ray cluster of three nodes on this machine: the contract, and a lost node."""

import os

import pytest
from runners import FailingRunner, Valley, trials

from mutransfer.sweep import TrialStore, run_sweep
from mutransfer.sweep.executors.ray.cluster import QUIET
from mutransfer.sweep.executors.ray.executor import RayExecutor

pytestmark = [pytest.mark.ray, pytest.mark.slow]
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}


@pytest.fixture(scope="module")
def cluster():
    os.environ.update(QUIET)  # before the import, which takes a second
    from ray.cluster_utils import Cluster

    head = {**NODE, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        cluster.add_node(**NODE)
    yield cluster
    cluster.shutdown()


@pytest.fixture
def store(tmp_path):
    return TrialStore(tmp_path / "runs", create=True)


def calls(store) -> list[str]:
    return [line.split()[0] for line in (store.path / "calls.log").read_text().splitlines()]


def test_every_trial_gets_one_outcome_and_a_failure_stops_no_other(cluster, store) -> None:
    finals = []
    summary = run_sweep(
        trials(),
        store,
        runner=FailingRunner(0.5),
        executor=RayExecutor(cluster.address),
        on_outcome=lambda o: o.status == "running" or finals.append(o.spec.id),
    )
    assert sorted(finals) == sorted(spec.id for spec in trials())
    assert (summary.done, len(summary.failed)) == (2, 2)
    assert {e.splitlines()[0] for e in summary.failed.values()} == {"no such device 'cuda:9'"}
    assert len(list(store.path.glob("*/attempts/*/stdout.txt"))) == 4


def test_a_lost_node_loses_no_trial_and_repeats_none(cluster, store) -> None:
    specs, lines, victim = trials(widths=range(1, 5)), [], list(cluster.worker_nodes)[-1]
    running = set()

    def remove_a_node(outcome) -> None:
        running.add(outcome.spec.id)
        if len(running) == 3 and victim in cluster.worker_nodes:  # each of three nodes has a trial
            cluster.remove_node(victim, allow_graceful=False)

    executor = RayExecutor(cluster.address, report=lines.append)
    summary = run_sweep(
        specs, store, runner=Valley(4.0), executor=executor, on_outcome=remove_a_node
    )
    assert (summary.done, summary.ran, summary.failed) == (8, 8, {})
    assert sorted(calls(store)) == sorted(spec.id for spec in specs)
    assert any("is lost and starts again" in line for line in lines), "no trial was on the node"
