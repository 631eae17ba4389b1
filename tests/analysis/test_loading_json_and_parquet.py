"""Losses in JSON, JSON lines and Parquet."""

import json
import math
import sys

import pytest
from loaded_files import error_text, write_file

from mutransfer.analysis import load_results


def test_nested_json_becomes_dotted_columns(tmp_path) -> None:
    lines = [
        {"config": {"lr": {"value": 0.01, "desc": None}, "n_embd": 64, "betas": [0.9, 0.95]},
         "summary": {"val_loss": 3.5, "_wandb": {"runtime": 3}}, "name": "a"},
        {"config": {"lr": 0.02, "n_embd": 64}, "summary": {"val_loss": "NaN"}},
        {"config": {"lr": 0.03, "n_embd": 64}, "summary": {"val_loss": None}},
    ]  # fmt: skip
    content = "\n\n".join(json.dumps(line) for line in lines)
    columns = {"width": "config.n_embd", "lr": "config.lr", "loss": "summary.val_loss"}
    # Without a known suffix, the first character identifies JSON.
    for name in ("runs.jsonl", "runs.txt"):
        results = load_results(write_file(tmp_path, content, name), columns=columns)
        assert results.axes == {"width": [64, 64], "lr": [0.01, 0.02], "name": ["a", None]}
        assert results.diverged.tolist() == [False, True]
        assert len(results.notes) == 1


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("orient", ["columns", "index", "split", "table"])
def test_a_data_frame_that_pandas_wrote_is_read(tmp_path, orient, indent) -> None:
    """`DataFrame.to_json` writes one object, by default with a dictionary per column."""
    rows = [{"width": 64, "lr": 0.5, "loss": 3.25}, {"width": 64, "lr": 0.25, "loss": 3.5}]
    data = {
        "columns": {name: {str(k): row[name] for k, row in enumerate(rows)} for name in rows[0]},
        "index": {str(k): row for k, row in enumerate(rows)},
        "split": {"columns": [*rows[0]], "index": [0, 1], "data": [[*r.values()] for r in rows]},
        "table": {"schema": {"fields": []}, "data": rows},
    }[orient]
    results = load_results(write_file(tmp_path, json.dumps(data, indent=indent), "runs.json"))
    assert results.axes == {"width": [64, 64], "lr": [0.5, 0.25]}
    assert results.loss.tolist() == [3.25, 3.5]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ('{"columns": ["lr", "loss"], "data": [[1, 2], [1]]}', "FILE, entry 2 is a list"),
        ('{"loss": 1}\n{"loss": \n', "FILE, line 2: not JSON: Expecting value"),
        ('{"loss": 1}\n\n3\n', "FILE, line 3 is the number 3"),
        ('{"lr": 1, "lr": 2}', "FILE, line 1: the key 'lr' occurs twice"),
        ('{"a.b": 1, "a": {"b": 2}}', "FILE, line 1: 'a.b' occurs twice"),
        ('{"a":' * 100_000, "FILE, line 1: nested too deeply"),
        ('[{"loss": 1}, []]', "FILE, entry 2 is a list"),
        ("[]", "FILE has no rows"),
        ('{"a": ' + "1" * 5000 + "}", "FILE, line 1: Exceeds the limit"),
    ],
)
def test_malformed_json_is_an_error(tmp_path, content, what) -> None:
    assert error_text(content, tmp_path, "runs.jsonl").startswith(what)


def test_a_parquet_file_is_read(tmp_path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    config = [{"lr": 0.5}, {"lr": 0.25}, {"lr": 0.125}]
    table = pyarrow.table(
        {"width": [64, 64, 64], "config": config, "loss": [3.0, None, math.nan],
         "form": pyarrow.array(["mup", "sp", "mup"]).dictionary_encode(), "tags": [["a"]] * 3,
         "__index_level_0__": [0, 1, 2]},
    )  # fmt: skip
    parquet.write_table(table, tmp_path / "runs.parquet")
    (tmp_path / "runs").write_bytes((tmp_path / "runs.parquet").read_bytes())
    for name in ("runs.parquet", "runs"):
        results = load_results(tmp_path / name, columns={"lr": "config.lr"})
        assert results.axes == {"width": [64, 64], "lr": [0.5, 0.125], "form": ["mup", "mup"]}
        assert results.diverged.tolist() == [False, True]
    assert error_text(b"PAR1 not", tmp_path, "x").startswith("FILE cannot be read as Parquet: ")


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    text = error_text(b"PAR1", tmp_path, "runs.parquet")
    assert text.endswith("\n  fix: pip install 'mutransfer[parquet]'")
