"""The SLURM executor on a played cluster, beside a store that other processes fill."""

import threading
from pathlib import Path

import pytest
from runners import Valley, trials

from mutransfer.errors import ClusterError, UsageError
from mutransfer.records.tables.slurm import SlurmTable
from mutransfer.sweep import TrialStore
from mutransfer.sweep.executors.slurm import executor as executor_module
from mutransfer.sweep.executors.slurm import queue as queue_module
from mutransfer.sweep.executors.slurm.commands import NoAnswerError
from mutransfer.sweep.executors.slurm.executor import SlurmExecutor
from mutransfer.sweep.executors.slurm.script import Script
from mutransfer.sweep.trial_run import TrialRun
from mutransfer.workflows import run_study


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Play a queue without tasks that accepts every array, and return what is submitted."""
    submitted = []
    monkeypatch.setattr(executor_module, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(executor_module, "LEAVE_SECONDS", 0.0)
    monkeypatch.setattr(queue_module, "list_tasks", lambda name: [])
    monkeypatch.setattr(
        queue_module, "submit", lambda path, size, limit: submitted.append(size) or "7"
    )
    return submitted


def test_outcomes_are_those_that_appear_in_the_store(cluster, tmp_path) -> None:
    """Two trials are run by another process, one has no outcome when the user stops."""
    store, specs, lines = TrialStore(tmp_path / "s", create=True), trials()[:3], []
    script = Script(store.path, "s", ["true"], SlurmTable())
    stop = threading.Event()
    outcomes = SlurmExecutor(script, report=lines.append).run(specs, lambda *_: None, stop)
    TrialRun(store.path, Valley())(specs[0])
    first = next(outcomes)
    assert (first.status, first.spec, first.attempt is not None) == ("done", specs[0], True)
    TrialRun(store.path, Valley())(specs[1])
    assert next(outcomes).spec == specs[1]
    stop.set()
    assert list(outcomes) == []
    assert cluster == [2], "one task for each trial without an outcome when the queue was listed"
    assert lines[0] == f"submitted job 7: 2 tasks of {store.path}/slurm/job.sh"
    assert lines[-1].startswith("the tasks stay in the queue; the same command watches them again")
    assert Path(store.path, "slurm", "job.sh").read_text() == script.text


def test_a_cluster_that_does_not_answer_at_the_start_is_an_error(
    cluster, tmp_path, monkeypatch
) -> None:
    """Tasks of an earlier run may be in its queue; later on, its answer is waited for."""

    def no_answer(name: str) -> list:
        raise NoAnswerError("Unable to contact slurm controller")

    store = TrialStore(tmp_path / "s", create=True)
    script = Script(store.path, "s", ["true"], SlurmTable())
    monkeypatch.setattr(queue_module, "list_tasks", no_answer)
    with pytest.raises(ClusterError) as error:
        list(SlurmExecutor(script).run(trials(), lambda *_: None, threading.Event()))
    assert str(error.value) == (
        "squeue does not answer: Unable to contact slurm controller\n"
        "  why: tasks of an earlier run may be in the queue, and would run twice\n"
        "  fix: run it where `squeue` answers, such as on a login node"
    )
    assert cluster == []


def test_settings_that_tasks_would_ignore_are_refused(tmp_path) -> None:
    study = tmp_path / "s.toml"
    study.write_text(
        'schema = 1\nstudy = { name = "s" }\naxes = { width = [8], lr = [1] }\n'
        'runner = { command = "echo {width} {lr}", loss = { regex = "(.*)" } }\n'
    )
    with pytest.raises(UsageError) as error:
        run_study(study, store=tmp_path / "s", executor="slurm", count=2, workers=4)
    assert str(error.value) == (
        "count= and workers= without effect under executor='slurm'\n"
        "  why: tasks run any trial that is left, and [slurm] says how many run at a time\n"
        "  fix: write array_limit and trials_per_task in [slurm], or select trials by only="
    )


def test_a_study_without_a_file_is_refused(tmp_path) -> None:
    study = {"schema": 1, "study": {"name": "s"}, "axes": {"width": [8], "lr": [1]}}
    with pytest.raises(UsageError) as error:
        run_study(study, runner=lambda width, lr: 1.0, store=tmp_path / "s", executor="slurm")
    assert str(error.value) == (
        "this study is not a file\n"
        "  why: tasks on other machines run `mutransfer sweep STUDY.toml`\n"
        "  fix: write it to a TOML file with a [runner] command or [lab], and pass its path"
    )
    assert not (tmp_path / "s").exists()
