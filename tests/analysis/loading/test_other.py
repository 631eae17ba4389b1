"""Paths without results: what they are, and the command that analyzes the results nearby."""

from __future__ import annotations

from pathlib import Path

import pytest

from mutransfer.analysis import load_results
from mutransfer.errors import ResultsError

TABLE = "width,lr,loss\n64,0.5,3\n"


def error_of(path: Path) -> ResultsError:
    with pytest.raises(ResultsError) as raised:
        load_results(path)
    return raised.value


@pytest.mark.parametrize(
    ("name", "content", "what", "fix"),
    [
        ("x.svg", "<svg/>", "a figure", "pass the folder of a trial store"),
        ("report.html", "<table/>", "a page", "pass the folder of a trial store"),
        ("study.toml", "a = 1", "a study file", "pass the store that `mutransfer sweep` wrote"),
        ("runs.xlsx", "PK", "a workbook", "save its sheet as CSV"),
        ("run-a.wandb", ":W&B", "a binary file of W&B", "sync it"),
        ("events.out.tfevents.17.host.1.0", "", "an event file of TensorBoard", "download the"),
    ],
)
def test_a_file_that_is_no_table_is_called_by_its_kind(name, content, what, fix, tmp_path) -> None:
    (tmp_path / name).write_text(content)
    error = error_of(tmp_path / name)
    assert error.what == f"'{tmp_path}/{name}' is {what}, not a table of losses"
    assert error.fix.startswith(fix)


def test_the_results_beside_a_figure_are_proposed(tmp_path) -> None:
    (tmp_path / "x.svg").write_text("<svg/>")
    (tmp_path / "my runs.csv").write_text(TABLE)
    (tmp_path / "words.csv").write_text("word,count\nthe,7\n")
    assert error_of(tmp_path / "x.svg").fix == f"type mutransfer analyze '{tmp_path}/my runs.csv'"


def test_a_folder_names_the_results_below_it(tmp_path, monkeypatch) -> None:
    """Stores, folders of W&B runs and tables; not what an environment or a hidden folder holds."""
    for name in ("runs/demo/store.json", "wandb/run-1-a/x", "data/runs.csv", "venv/a/loss.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(TABLE)
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "loss.csv").write_text(TABLE)
    monkeypatch.chdir(tmp_path)
    error = error_of(Path())
    assert error.what.startswith(f"'.' (the folder '{tmp_path}') holds no results: no store.json")
    commands = [f"mutransfer analyze {name}" for name in ("data/runs.csv", "runs/demo", "wandb")]
    assert error.fix == "type " + ", or ".join(commands)


@pytest.mark.parametrize(
    ("files", "fix"),
    [
        (("0/a/meta.yaml", "0/a/metrics/loss", "0/a/params/lr"), "mlflow.search_runs("),
        (("exp/trial/params.json", "exp/trial/result.json"), "get_dataframe().to_csv('runs.csv')"),
        (("version_0/hparams.yaml", "version_0/metrics.csv"), "a row per run"),
    ],
)
def test_the_folder_of_a_tracker_names_the_export(files, fix, tmp_path) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(TABLE)
    assert fix in error_of(tmp_path).fix


def test_a_table_without_a_known_suffix_is_read(tmp_path) -> None:
    (tmp_path / "losses.txt").write_text(TABLE)
    assert len(load_results(tmp_path / "losses.txt")) == 1
