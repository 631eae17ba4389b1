"""What a trial needs of a machine: GPUs, cores and processes, and how workers share them."""

import os
import re

import pytest

from mutransfer.errors import StudyError, UsageError
from mutransfer.records import StudySpec
from mutransfer.records.tables.resources import ResourcesTable
from mutransfer.sweep import LocalExecutor
from mutransfer.sweep.devices import worker_environments
from mutransfer.workflows.studies.run import prepare_study, run_study

# A program that reports how it was started, one line for each of its processes.
REPORT = """
import os, sys
rank, size = os.environ["RANK"], os.environ["WORLD_SIZE"]
print("rank", rank, "of", size, "threads", os.environ["OMP_NUM_THREADS"], flush=True)
print("loss", float(sys.argv[2]))
"""


def study(command: str, **resources) -> dict:
    return {
        "schema": 1,
        "study": {"name": "s"},
        "axes": {"width": [8], "lr": [0.5]},
        "resources": resources,
        "runner": {"command": command, "loss": {"regex": "loss (.*)"}},
    }


@pytest.fixture
def gpus(monkeypatch):
    def set_gpus(names: str) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", names)

    return set_gpus


@pytest.fixture
def cores(monkeypatch):
    def set_cores(number: int) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(number)))

    return set_cores


def shares(workers, **resources) -> list[str | None]:
    environments = worker_environments(workers, ResourcesTable(**resources))
    return [environment.get("CUDA_VISIBLE_DEVICES") for environment in environments]


@pytest.mark.parametrize(
    ("visible", "workers", "parts"),
    [
        ("0,1,2,3", 4, ["0", "1", "2", "3"]),
        ("0,1,2,3", 2, ["0,1", "2,3"]),
        ("4,5", 4, ["4", "4", "5", "5"]),
        ("GPU-a,GPU-b,GPU-c", 2, ["GPU-a", "GPU-b,GPU-c"]),
    ],
)
def test_visible_gpus_are_distributed_among_workers(gpus, visible, workers, parts) -> None:
    gpus(visible)
    assert shares(workers) == parts


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_hidden_gpus_are_not_distributed(gpus, hidden) -> None:
    gpus(hidden)
    assert shares(2) == [None, None]


def test_whole_gpus_belong_to_one_worker(gpus) -> None:
    gpus("0,1,2,3,4")
    assert shares("auto", gpus_per_trial=2) == ["0,1", "2,3"]
    assert shares("auto", gpus_per_trial=1) == ["0", "1", "2", "3", "4"]
    assert shares(1, gpus_per_trial=2) == ["0,1"]


def test_several_processes_have_a_gpu_each_where_there_are_any(gpus, cores) -> None:
    gpus("0,1,2,3,4")
    cores(3)
    assert shares("auto", processes_per_trial=2) == ["0,1", "2,3"]
    assert shares("auto", processes_per_trial=2, gpus_per_trial=1) == ["0", "1", "2", "3", "4"]
    gpus("")
    assert shares("auto", processes_per_trial=2) == [None] * 3


def test_a_part_of_a_gpu_is_shared_by_as_many_workers_as_it_holds(gpus) -> None:
    gpus("0,1")
    assert shares("auto", gpus_per_trial=0.3) == ["0", "1"] * 3
    assert len(shares("auto", gpus_per_trial=1 / 49)) == 98


def test_trials_without_a_gpu_see_none(gpus, cores) -> None:
    gpus("0,1")
    cores(3)
    assert shares("auto", gpus_per_trial=0) == ["", "", ""]


def test_cores_limit_the_workers_only_if_a_trial_says_how_many_it_needs(gpus, cores) -> None:
    gpus("")
    cores(8)
    assert len(worker_environments("auto", ResourcesTable())) == 8
    assert len(worker_environments(20, ResourcesTable())) == 20
    four = worker_environments("auto", ResourcesTable(cpus_per_trial=4))
    assert [worker["OMP_NUM_THREADS"] for worker in four] == ["4", "4"]
    gpus("0,1,2,3")
    assert len(worker_environments("auto", ResourcesTable(cpus_per_trial=4))) == 2


REFUSED = {
    "4 GPUs of 2": (
        ("auto", {"gpus_per_trial": 4}),
        "a trial needs 4 GPUs, and this machine has 2\n"
        "  why: a trial that waits for them would never start\n"
        "  fix: lower gpus_per_trial in [resources], or run it where there are more",
    ),
    "9 quarters of 2": (
        (9, {"gpus_per_trial": 0.25}),
        "9 workers do not fit on 2 GPUs, which hold 8 trials\n"
        "  why: trials that share what each needs alone run out of memory, or slow each other "
        "down\n"
        "  fix: write --workers 8 or --workers auto, or lower the needs in [resources]",
    ),
    "16 cores of 8": (
        ("auto", {"cpus_per_trial": 16}),
        "a trial needs 16 cores, and this machine has 8\n"
        "  why: its threads would wait for each other\n"
        "  fix: write cpus_per_trial = 8 in [resources], or run it where there are more",
    ),
    "3 workers of 4 cores": (
        (3, {"cpus_per_trial": 4}),
        "3 workers do not fit on 8 cores, which hold 2 trials\n"
        "  why: trials that share what each needs alone run out of memory, or slow each other "
        "down\n"
        "  fix: write --workers 2 or --workers auto, or lower the needs in [resources]",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_more_than_the_machine_has_is_refused_before_a_trial_starts(case, gpus, cores) -> None:
    gpus("0,1")
    cores(8)
    (workers, resources), message = REFUSED[case]
    with pytest.raises(UsageError) as caught:
        LocalExecutor(workers, ResourcesTable(**resources))
    assert str(caught.value) == message


INVALID = {
    "1.5 GPUs": ("{python} a.py {width} {lr}", {"gpus_per_trial": 1.5}, "write gpus_per_trial = 2"),
    "processes on half a GPU": (
        "{python} a.py {width} {lr}",
        {"gpus_per_trial": 0.5, "processes_per_trial": 2},
        "write gpus_per_trial = 2, one for each process",
    ),
    "a shell": (
        "sh train.sh {width} {lr}",
        {"processes_per_trial": 2},
        "begin the command with {python} and a script, or remove processes_per_trial and write "
        "the launcher into the command",
    ),
    "torchrun in torchrun": (
        "{python} -m torch.distributed.run a.py {width} {lr}",
        {"processes_per_trial": 2},
        "remove processes_per_trial and write the launcher into the command",
    ),
    "an option of Python": (
        "{python} -O a.py {width} {lr}",
        {"processes_per_trial": 2},
        "begin the command with {python} and a script, or remove processes_per_trial and write "
        "the launcher into the command",
    ),
}


@pytest.mark.parametrize("case", INVALID)
def test_needs_that_cannot_be_met_anywhere_are_invalid(case) -> None:
    command, resources, fix = INVALID[case]
    with pytest.raises(StudyError, match=re.escape(fix)):
        StudySpec.read(study(command, **resources), error=StudyError, where="s")


def test_an_exit_status_that_torchrun_hides_is_invalid() -> None:
    spec = study("{python} a.py {width} {lr}", processes_per_trial=2)
    StudySpec.read(spec, error=StudyError, where="s")
    spec["runner"]["diverged"] = {"exit": 3}
    with pytest.raises(StudyError, match="cannot be observed: torchrun ends with status 1"):
        StudySpec.read(spec, error=StudyError, where="s")


def test_only_a_command_trains_in_several_processes() -> None:
    spec = {**study(""), "resources": {"processes_per_trial": 2}, "lab": {}}
    del spec["runner"]
    with pytest.raises(StudyError, match="only a \\[runner\\] command trains in several"):
        StudySpec.read(spec, error=StudyError, where="s")


def test_needs_are_not_part_of_an_identity() -> None:
    small = prepare_study(study("{python} a.py {width} {lr}"))
    large = prepare_study(
        study("{python} a.py {width} {lr}", processes_per_trial=8, gpus_per_trial=8)
    )
    assert [t.id for t in small.trials] == [t.id for t in large.trials]


@pytest.mark.slow
def test_torchrun_starts_the_processes_of_a_trial(tmp_path) -> None:
    script = tmp_path / "report.py"
    script.write_text(REPORT)
    # An option that begins like one of torchrun's own, --log-dir, is the script's.
    command = f"{{python}} {script} {{width}} {{lr}} --log=x"
    spec = study(command, processes_per_trial=2)
    run = run_study(spec, store=tmp_path / "store", workers=1)
    assert run.summary.done == 1, run.summary.failed
    (output,) = run.store.glob("*/attempts/*/stdout.txt")
    ranks = sorted(line for line in output.read_text().splitlines() if line.startswith("rank"))
    assert ranks == ["rank 0 of 2 threads 1", "rank 1 of 2 threads 1"]
