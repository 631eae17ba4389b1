"""A trial store and a table give the same report; a store also records the cost."""

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from planted_surfaces import columns, quadratic, surface

from mutransfer.analysis import Results, analyze, load_results
from mutransfer.records import CallableRunner, LabRunner, TrialResult, TrialSpec

DATA = "0" * 64


def write_store(folder: Path, results: list[TrialResult]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "store.json").write_text('{"schema": 1}')
    for result in results:
        (folder / result.id).mkdir()
        (folder / result.id / "result.json").write_text(result.model_dump_json())
    return folder


def trials(**changes: object) -> list[TrialResult]:
    """Return the planted surface as trials of a callable."""
    table = columns(quadratic(drift=-0.5), seeds=2, sd_within=0.01, group="mup")
    results = []
    for width, lr, seed, loss, group in zip(
        table["width"], table["lr"], table["seed"], table["loss"], table["parametrization"],
        strict=True,
    ):  # fmt: skip
        axes = {"width": width, "lr": lr, "seed": seed, "parametrization": group}
        spec = TrialSpec(runner=CallableRunner(name="train"), axes=axes)
        costs = {"seconds": 2.0, "flops": 1e9, "tokens": 100, "finished": "2026-01-01T00:00:00Z"}
        costs |= {"host": "h", "versions": {"torch": "2.13.0"}, "commit": "abc"}
        results.append(TrialResult(id=spec.id, spec=spec, loss=loss, **(costs | changes)))
    return results


def test_a_store_gives_the_same_report_as_its_table(tmp_path: Path) -> None:
    """Every number is equal to the last digit."""
    stored = load_results(write_store(tmp_path / "runs", trials()))
    table = columns(quadratic(drift=-0.5), seeds=2, sd_within=0.01, group="mup")
    table["flops"] = [1e9] * len(table["loss"])
    file = tmp_path / "runs.csv"
    with file.open("w", newline="", encoding="utf-8-sig") as out:
        writer = csv.writer(out)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))
    reports = [analyze(r) for r in (stored, load_results(file), Results.from_columns(table))]
    assert reports[0].to_json() == reports[1].to_json() == reports[2].to_json()
    assert list(reports[0]) == ["mup"]


def test_the_cost_of_a_store_counts_every_training_once(tmp_path: Path) -> None:
    """A copied trial costs nothing, an unfinished one is counted."""
    results = trials()
    results[1] = results[1].model_copy(update={"shared_from": results[0].id})
    results[2] = results[2].model_copy(update={"loss": None, "diverged_at": 7})
    store = write_store(tmp_path / "runs", results)
    (store / ("f" * 64)).mkdir()
    (store / "attempts").mkdir()
    provenance = load_results(store).provenance
    assert (provenance.trials, provenance.unfinished) == (80, 1)
    assert (provenance.diverged, provenance.shared) == (1, 1)
    assert (provenance.seconds, provenance.flops, provenance.tokens) == (158.0, 79e9, 7900)
    assert provenance.versions == {"torch": ("2.13.0",)}
    assert (provenance.commits, provenance.hosts) == (("abc",), ("h",))
    assert provenance.finished == ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z")


def test_a_copy_without_its_original_is_counted(tmp_path: Path) -> None:
    results = trials()
    results[1] = results[1].model_copy(update={"shared_from": "e" * 64})
    assert load_results(write_store(tmp_path / "runs", results)).provenance.flops == 80e9


def test_the_study_in_a_store_sets_the_defaults(tmp_path: Path) -> None:
    """Threshold and groups are those of the study, unless arguments override them."""
    store = write_store(tmp_path / "runs", trials())
    table = {"threshold": 0.5, "group_by": ["seed"]}
    (store / "study.json").write_text(json.dumps({"schema": 1, "analysis": table}))
    results = load_results(store)
    report = analyze(results)
    assert (report.threshold, report.group_by, list(report)) == (0.5, ("seed",), ["0", "1"])
    assert analyze(results, threshold=0.02, group_by=()).threshold == 0.02


def test_lab_settings_at_their_default_are_columns(tmp_path: Path) -> None:
    """The lab omits 'mup', its default, from the settings of a trial."""
    trained = []
    for settings in ({}, {"parametrization": "sp"}):
        runner = LabRunner(numerics=1, data=DATA, settings={"base_width": 32, **settings})
        spec = TrialSpec(runner=runner, axes={"width": 64, "lr": 0.25})
        trained.append(
            TrialResult(id=spec.id, spec=spec, loss=3.0, seconds=1.0, finished="2026-01-01")
        )
    results = load_results(write_store(tmp_path / "runs", trained))
    assert sorted(results.axes["parametrization"]) == ["mup", "sp"]
    assert results.axes["base_width"] == [32, 32]
    assert results.axes["seed"] == [0, 0]
    assert results.loss_unit == "nats"


def test_the_unit_of_the_loss_of_another_program_is_undetermined(tmp_path: Path) -> None:
    assert load_results(write_store(tmp_path / "runs", trials())).loss_unit is None


def test_every_notation_of_a_diverged_run_is_recognized(tmp_path: Path) -> None:
    """NaN, inf, an enormous loss and a step mark one; an empty loss is a run without a result."""
    file = tmp_path / "runs.csv"
    file.write_text(
        "width,lr,loss,diverged_at\n"
        "64,0.1,3.0,\n64,0.2,,\n64,0.3,nan,\n64,0.4,inf,\n64,0.5,3.1,7\n64,0.6,1e999,NaN\n\n"
    )
    results = load_results(file)
    assert results.axes["lr"] == [0.1, 0.3, 0.4, 0.5, 0.6]
    assert results.diverged.tolist() == [False, True, True, True, True]
    assert results.notes == (
        "1 run has no loss and is left out; where a run diverged "
        "write nan or inf (pandas leaves nan empty: na_rep='nan')",
    )


@pytest.mark.slow
def test_a_large_store_is_read_quickly(tmp_path: Path) -> None:
    """10,000 trials take about 0.1 ms each; the budget is 10 s for 100,000."""
    (tmp_path / "store.json").write_text('{"schema": 1}')
    sample = json.loads(trials()[0].model_dump_json())
    for k in range(10_000):
        name = f"{k:064x}"
        sample["id"], sample["spec"]["axes"]["lr"] = name, 1.0 + k
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(json.dumps(sample))
    start = time.perf_counter()
    assert len(load_results(tmp_path)) == 10_000
    assert time.perf_counter() - start < 5.0


def test_importing_the_analysis_does_not_load_torch() -> None:
    """A CSV file can be analyzed where torch is not installed."""
    code = "import sys, mutransfer.analysis; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_report_is_a_mapping_of_groups() -> None:
    report = analyze(surface(quadratic()))
    assert dict(report) == report.groups
    assert len(report) == 1


def test_a_stored_trial_costs_what_its_original_did(tmp_path: Path) -> None:
    """This holds for a copy that records no cost; `columns` renames a store's columns, too."""
    results = trials()
    results[1] = results[1].model_copy(update={"shared_from": results[0].id, "flops": None})
    results[2] = results[2].model_copy(update={"loss": None, "diverged_at": 7, "flops": None})
    loaded = load_results(write_store(tmp_path / "runs", results), columns={"size": "width"})
    index_of = dict(zip([r.id[:12] + "…" for r in results], range(len(results)), strict=True))
    flops = {
        index_of[str(name)]: cost
        for name, cost in zip(loaded.places.names, loaded.flops, strict=True)
    }
    assert (flops[0], flops[1], np.isnan(flops[2])) == (1e9, 1e9, True)
    assert sorted(set(loaded.axes["size"])) == [64, 128, 256, 512]
    assert "width" not in loaded.axes
    assert loaded.diverged.sum() == 1
