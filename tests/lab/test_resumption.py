"""Checkpoints: a trial that continues has the bits of one that was never interrupted."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from mutransfer.lab import checkpoints as module
from mutransfer.lab.checkpoints import FILE, Checkpoints, TrainingStopped
from mutransfer.lab.data.corpus import corpus_hash
from mutransfer.lab.optimizers import OPTIMIZERS
from mutransfer.lab.trial import run_trial
from mutransfer.records import LabRunner, TrialResult, TrialSpec
from mutransfer.sweep import TrialStore
from mutransfer.sweep.trial_run import TrialRun
from mutransfer.workflows import prepare_study
from mutransfer.workflows.studies.lab import LabRun

SMALL: dict[str, Any] = {
    "width": 32, "base_width": 16, "lr": 2**-6, "depth": 1, "context": 16, "batch": 4, "steps": 8,
}  # fmt: skip


def spec(**settings: Any) -> TrialSpec:
    runner = LabRunner(numerics=1, data=corpus_hash(None))
    return TrialSpec(runner=runner, axes={**SMALL, **settings})


def outcome(result: TrialResult) -> dict[str, Any]:
    return result.model_dump(exclude={"seconds", "finished"})


def stop_after(steps: int):
    """Return a check that reports the end of the process after some steps."""
    calls = iter([False] * (steps - 1) + [True])
    return lambda: next(calls)


def interrupt(trial: TrialSpec, folder: Path, *, after: int) -> None:
    """Train some steps, and leave a checkpoint."""
    with pytest.raises(TrainingStopped):
        run_trial(trial, checkpoints=Checkpoints(folder, trial.id, 1e9, stop_after(after)))


def run(trial: TrialSpec, folder: Path, seconds: float = 1e9) -> TrialResult:
    return run_trial(trial, checkpoints=Checkpoints(folder, trial.id, seconds))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_continued_trial_has_the_bits_of_an_uninterrupted_one(
    optimizer, tmp_path, capsys
) -> None:
    """Interrupted twice, in the warmup and behind it, with decay and clipping."""
    trial = spec(optimizer=optimizer, weight_decay=0.1, warmup=4, schedule="cosine")
    interrupt(trial, tmp_path, after=2)
    interrupt(trial, tmp_path, after=3)
    result = run(trial, tmp_path)
    assert outcome(result) == outcome(run_trial(trial))
    assert capsys.readouterr().err.splitlines() == [
        "continues from a checkpoint at step 2",
        "continues from a checkpoint at step 5",
    ]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_states_of_optimizers_matter(optimizer, tmp_path, monkeypatch) -> None:
    """Negative control: weights alone do not give the same bits."""
    trial = spec(optimizer=optimizer)
    interrupt(trial, tmp_path, after=4)
    load = module._load_states
    monkeypatch.setattr(
        module, "_load_states", lambda states, m, o: load([states[0], *({} for _ in o)], m, o)
    )
    assert run(trial, tmp_path).curve != run_trial(trial).curve


def test_a_run_that_diverges_later_ends_at_the_same_step(tmp_path) -> None:
    trial = spec(optimizer="sgd", lr=1e30, clip=0.0, steps=50)
    whole = run_trial(trial)
    assert whole.diverged_at == 2
    interrupt(trial, tmp_path, after=1)
    assert outcome(run(trial, tmp_path)) == outcome(whole)


def test_seconds_are_those_of_all_attempts(tmp_path) -> None:
    trial = spec()
    interrupt(trial, tmp_path, after=4)
    content = torch.load(tmp_path / FILE, weights_only=True)
    torch.save(content | {"seconds": 1000.0}, tmp_path / FILE)
    assert 1000 < run(trial, tmp_path).seconds < 1100


def flip_a_bit(path: Path) -> None:
    """Change one weight; `torch.load` would not notice."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (flip_a_bit, "is damaged"),
        (lambda path: os.truncate(path, 1000), "File is not a zip file"),
        (lambda path: path.write_bytes(b""), "File is not a zip file"),
        (lambda path: torch.save({"identity": {}}, path), "a checkpoint of {}, not of {'format'"),
        (lambda path: torch.save([Path], path), "Weights only load failed"),
    ],
    ids=["one bit", "truncated", "empty", "other format", "code"],
)
def test_a_damaged_checkpoint_is_ignored_with_a_note(change, note, tmp_path, capsys) -> None:
    trial = spec()
    interrupt(trial, tmp_path, after=4)
    change(tmp_path / FILE)
    assert run(trial, tmp_path).curve == run_trial(trial).curve
    [line, *_] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"starts from the beginning: {tmp_path / FILE}: ")
    assert note in line


def test_a_checkpoint_of_another_trial_or_arithmetic_is_ignored(
    tmp_path, capsys, monkeypatch
) -> None:
    trial = spec()
    interrupt(spec(seed=1), tmp_path, after=4)
    assert run(trial, tmp_path).curve == run_trial(trial).curve
    interrupt(trial, tmp_path, after=4)
    monkeypatch.setattr(torch, "__version__", "9.9.9")
    run(trial, tmp_path)
    assert capsys.readouterr().err.count("starts from the beginning") == 3


def test_a_checkpoint_that_fits_in_part_changes_nothing(tmp_path, capsys) -> None:
    """As that of a network whose code was edited: the first tensors fit, the last does not."""
    trial = spec()
    interrupt(trial, tmp_path, after=4)
    content = torch.load(tmp_path / FILE, weights_only=True)
    content["states"][0].popitem()
    torch.save(content, tmp_path / FILE)
    assert run(trial, tmp_path).curve == run_trial(trial).curve
    assert "Missing key(s)" in capsys.readouterr().err


def test_checkpoints_are_written_only_when_it_is_time(tmp_path, monkeypatch) -> None:
    written, write = [], Checkpoints._write

    def recorded(self, model, optimizers, losses) -> None:
        written.append(len(losses))
        write(self, model, optimizers, losses)

    monkeypatch.setattr(Checkpoints, "_write", recorded)
    run(spec(), tmp_path)
    assert (written, list(tmp_path.iterdir())) == ([], [])
    run(spec(), tmp_path, seconds=1e-9)
    assert written == list(range(1, 9))
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def fail_to_sync(monkeypatch) -> None:
    """Let the disk be full when the file is synchronized, as on a network file system."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.os, "fsync", fail)


def fail_to_write(monkeypatch) -> None:
    """Let the disk be full when torch writes."""
    save = torch.save

    def fail(content: object, file: object) -> None:
        with open("/dev/full", "wb") as full:
            save(content, full)

    monkeypatch.setattr(module.torch, "save", fail)


@pytest.mark.parametrize("fill_disk", [fail_to_sync, fail_to_write])
def test_a_full_disk_costs_the_checkpoint_and_not_the_trial(
    fill_disk, tmp_path, monkeypatch, capsys
) -> None:
    trial = spec()
    interrupt(trial, tmp_path, after=2)
    previous = (tmp_path / FILE).read_bytes()
    capsys.readouterr()
    fill_disk(monkeypatch)
    result = run(trial, tmp_path, seconds=1e-9)
    assert outcome(result) == outcome(run_trial(trial))
    assert capsys.readouterr().err.splitlines() == [
        "continues from a checkpoint at step 2",
        "no checkpoint: No space left on device; the training goes on",
    ]
    # The previous one remains, and no half-written one beside it.
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    assert (tmp_path / FILE).read_bytes() == previous


def test_what_a_killed_attempt_left_half_written_is_removed(tmp_path) -> None:
    (tmp_path / f".{FILE}.0123").write_bytes(b"half")
    run(spec(steps=2), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_trial_with_a_result_leaves_no_checkpoint(tmp_path) -> None:
    trial, store = spec(), TrialStore(tmp_path / "store", create=True)
    folder = store.folder(trial.id) / "checkpoints"
    folder.mkdir(parents=True)
    interrupt(trial, folder, after=4)
    outcome = TrialRun(store.path, LabRun(None, "cpu", 1e-9))(trial)
    assert outcome.status == "done"
    assert outcome.result.loss == run_trial(trial).loss
    assert not folder.exists()


def test_seconds_between_checkpoints_are_no_part_of_an_id() -> None:
    def ids(**lab: float) -> list[str]:
        axes = {"width": [32], "lr": [0.125]}
        study = {
            "schema": 1,
            "study": {"name": "s"},
            "axes": axes,
            "lab": {"base_width": 32, **lab},
        }
        return [trial.id for trial in prepare_study(study).trials]

    assert ids(checkpoint_seconds=5.0) == ids()
    assert ids(momentum=0.5) != ids()
