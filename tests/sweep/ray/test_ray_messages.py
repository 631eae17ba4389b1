"""What a user reads if Ray is missing, an address is wrong, or no node is large enough."""

import sys

import pytest

from mutransfer.errors import StudyError, UsageError
from mutransfer.records.tables.ray import RayTable
from mutransfer.records.tables.resources import ResourcesTable
from mutransfer.sweep.executors.ray.cluster import Demand, connected, demand

LAPTOP, SERVER = {"CPU": 2.0}, {"CPU": 16.0, "GPU": 2.0}


def test_without_ray_the_line_to_install_it_is_printed(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError) as error, connected(None):
        pass
    assert str(error.value) == (
        "Ray cannot be imported: import of ray halted; None in sys.modules\n"
        "  why: --executor ray runs trials as tasks of a Ray cluster\n"
        "  fix: pip install 'mutransfer[ray]'"
    )


@pytest.mark.parametrize(
    ("address", "what", "fix"),
    [
        (
            "ray://10.0.0.1:10001",
            "'ray://10.0.0.1:10001' is an address for clients outside of the cluster",
            "run the sweep on a machine of the cluster, and write its HOST:PORT, or 'auto'",
        ),
        (
            "10.0.0.1",
            "'10.0.0.1' is not the address of a Ray cluster",
            "write HOST:PORT such as '10.0.0.1:6379', 'auto' or 'local'",
        ),
    ],
)
def test_an_address_that_ray_cannot_use_is_refused(address, what, fix) -> None:
    assert RayTable(address="10.0.0.1:6379").address == "10.0.0.1:6379"
    with pytest.raises(StudyError) as error:
        RayTable.read({"address": address}, error=StudyError, where="s.toml")
    assert (error.value.what, error.value.fix) == (f"s.toml: 'address': {what}", fix)


def test_a_trial_that_fits_no_node_is_refused_and_one_that_fits_is_not() -> None:
    with pytest.raises(UsageError) as error:
        demand(ResourcesTable(gpus_per_trial=4, cpus_per_trial=8), [LAPTOP, SERVER])
    assert str(error.value) == (
        "a trial needs 4 GPUs and 8 cores, but no node of the Ray cluster has them\n"
        "  why: a trial runs on one node; the nodes have 0 GPUs and 2 cores; 2 GPUs and 16 cores\n"
        "  fix: write less as gpus_per_trial or cpus_per_trial in [resources], or add a node"
    )
    need = demand(ResourcesTable(gpus_per_trial=2, cpus_per_trial=8), [LAPTOP, SERVER])
    assert (need.room(LAPTOP), need.room(SERVER)) == (0, 1)


def test_by_default_a_trial_has_a_gpu_if_the_cluster_has_some() -> None:
    assert demand(ResourcesTable(), [LAPTOP]) == Demand(gpus=0.0, cpus=1)
    assert demand(ResourcesTable(), [LAPTOP, SERVER]) == Demand(gpus=1.0, cpus=1)
    assert demand(ResourcesTable(gpus_per_trial=0), [SERVER]) == Demand(gpus=0.0, cpus=1)


@pytest.mark.parametrize("share", [3, 7, 49])
def test_equal_shares_fill_a_gpu(share) -> None:
    """Ray counts in steps of 1e-4, so a share rounded up would leave no room for the last one."""
    need = demand(ResourcesTable(gpus_per_trial=1 / share), [{"CPU": 64.0, "GPU": 1.0}])
    assert round(need.gpus * 1e4) * share <= 1e4
    assert need.room({"CPU": 64.0, "GPU": 1.0}) == share
