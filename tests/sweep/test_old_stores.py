"""A store of an earlier version is read, resumed and analyzed.

`stores/schema1` was written at commit 7bb99d4 by a sweep of six trials: two diverged, of which one
shares the other's result, and one failed. Only its place names were replaced.
"""

import shutil
from pathlib import Path

import pytest

import mutransfer as mt
from mutransfer.errors import StoreError
from mutransfer.records import CallableRunner, TrialResult, TrialSpec
from mutransfer.sweep import LocalExecutor, TrialStore, run_sweep
from mutransfer.sweep.status import store_status

SPECS = [
    TrialSpec(runner=CallableRunner(name="valley"), axes={"width": width, "lr": lr})
    for width in (32, 64)
    for lr in (0.25, 0.5, 16.0)
]
LOSSES = [2.28125, 2.28125, None, 2.265625, 2.265625, None]


@pytest.fixture
def store(tmp_path) -> TrialStore:
    """Return a copy of the store."""
    original = Path(__file__).parent / "stores" / "schema1"
    return TrialStore(shutil.copytree(original, tmp_path / "s"))


def train(spec: TrialSpec, trial_dir: Path) -> TrialResult:
    """Return the missing result."""
    assert spec == SPECS[4], "only the failed trial runs"
    return TrialResult(id=spec.id, spec=spec, loss=LOSSES[4], seconds=0.5, finished="now")


def test_an_old_store_is_read(store) -> None:
    status = store_status(store.path)
    assert (status.total, status.done, status.diverged) == (6, 5, 2)
    assert status.failed == {SPECS[4].id: "KeyError: 'oops'"}
    assert store.result(SPECS[5].id).shared_from == SPECS[2].id


def test_an_old_store_is_resumed(store) -> None:
    summary = run_sweep(SPECS, store, runner=train, executor=LocalExecutor(1))
    assert (summary.done, summary.ran, summary.diverged, summary.failed) == (6, 1, 2, {})
    assert [store.result(spec.id).loss for spec in SPECS] == LOSSES


def test_an_old_store_is_analyzed(store) -> None:
    results = mt.load_results(store.path)
    losses = zip(results.axes["width"], results.axes["lr"], results.loss, strict=True)
    assert {point[:2]: point[2] for point in losses if point[1] < 16} == {
        (32, 0.25): LOSSES[0], (32, 0.5): LOSSES[1], (64, 0.25): LOSSES[3]
    }  # fmt: skip
    assert (results.provenance.diverged, results.provenance.shared) == (2, 1)
    assert results.provenance.unfinished == 1
    assert mt.analyze(results)["all"].verdict == "undetermined", "width 64 has one loss"


def test_another_schema_is_refused(store) -> None:
    """Negative control."""
    (store.path / "store.json").write_text('{"schema": 0}')
    with pytest.raises(StoreError):
        TrialStore(store.path)
