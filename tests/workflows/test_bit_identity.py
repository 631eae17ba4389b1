"""A trial is reproducible bit for bit, whatever the executor, worker count or order."""

from pathlib import Path

import pytest
import torch

import mutransfer.lab.trial
from mutransfer.lab.data.corpus import EMBEDDED_HASH
from mutransfer.records import LabRunner, TrialSpec
from mutransfer.records.lab import NUMERICS
from mutransfer.sweep import LocalExecutor, TrialStore, run_sweep
from mutransfer.workflows.studies.lab import LabRun

SMALL = {"base_width": 16, "steps": 8, "batch": 4, "context": 32, "depth": 1}
POINTS = [
    {"parametrization": "mup", "width": 64, "lr": 2**-6},
    {"parametrization": "sp", "width": 48, "lr": 2**-6, "seed": 3},
    {"parametrization": "mup", "width": 96, "lr": 2**-5, "schedule": "cosine"},
    {"parametrization": "mup", "width": 32, "lr": 2**-8, "optimizer": "lion"},
    {"parametrization": "none", "width": 128, "lr": 2**-4, "optimizer": "sgd"},
    {"parametrization": "mup", "width": 256, "lr": 2**-6, "seed": 1},
]


def trials() -> list[TrialSpec]:
    runner = LabRunner(numerics=NUMERICS, data=EMBEDDED_HASH, settings=SMALL)
    return [TrialSpec(runner=runner, axes=point) for point in POINTS]


class InProcess:
    """An executor that runs trials one after another in this process, with all its threads."""

    def run(self, trials, work, stop):
        threads = torch.get_num_threads()
        torch.set_num_threads(2)
        yield from map(work, trials)
        assert torch.get_num_threads() == 2, "a trial restores the threads of its process"
        torch.set_num_threads(threads)


def curves(tmp_path: Path, executor, specs: list[TrialSpec]) -> dict[str, tuple]:
    store = TrialStore(tmp_path, create=True)
    summary = run_sweep(specs, store, runner=LabRun(None, "cpu", 60.0), executor=executor)
    assert summary.done == len(specs), summary.failed
    return {r.id: (r.loss, r.untrained_loss, r.curve) for r in store.results()}


def test_a_trial_computes_with_one_thread_whatever_the_process_uses(monkeypatch, tmp_path) -> None:
    num_threads = []

    def watched_train(*arguments):
        num_threads.append(torch.get_num_threads())
        return train(*arguments)

    train = mutransfer.lab.trial.train
    monkeypatch.setattr(mutransfer.lab.trial, "train", watched_train)
    curves(tmp_path, InProcess(), trials()[:1])
    assert num_threads == [1]


@pytest.mark.slow
def test_curves_do_not_depend_on_the_executor(tmp_path) -> None:
    alone = curves(tmp_path / "a", LocalExecutor(1), trials())
    assert len({curve for *_, curve in alone.values()}) == len(POINTS)
    assert curves(tmp_path / "b", LocalExecutor(2), trials()[::-1]) == alone
    assert curves(tmp_path / "c", InProcess(), trials()) == alone
