"""Datasets by name, on small local ones: no test uses the network."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mutransfer.errors import DataError
from mutransfer.lab.data.corpus import is_held_out
from mutransfer.lab.data.datasets import dataset_documents, located
from mutransfer.lab.data.sources import source_hash
from mutransfer.lab.data.tokens import load_tokens
from mutransfer.lab.trial import run_trial
from mutransfer.records import DatasetTable
from mutransfer.workflows import prepare_study

TEXTS = [f"document {k} of a dataset, in café {k * k}" for k in range(60)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MUTRANSFER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    return tmp_path / "cache"


@pytest.fixture(params=["jsonl", "parquet"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    place = tmp_path / "dataset"
    place.mkdir()
    numbers = list(range(len(TEXTS)))
    if request.param == "parquet":
        pq.write_table(pa.table({"text": TEXTS, "number": numbers}), place / "train.parquet")
    else:
        rows = [json.dumps({"text": t, "number": n}) for t, n in zip(TEXTS, numbers, strict=True)]
        (place / "train.jsonl").write_text("\n".join(rows))
    return place


def table(folder: Path, **keys: Any) -> DatasetTable:
    return located(DatasetTable(name=str(folder), **keys), Path())


def test_documents_are_the_first_ones_of_the_column(folder: Path) -> None:
    expected = [(f"#{k}", text.encode()) for k, text in enumerate(TEXTS)]
    assert list(dataset_documents(table(folder))) == expected
    assert list(dataset_documents(table(folder, documents=7))) == expected[:7]


def test_tokens_are_documents_packed_one_after_the_other(folder: Path) -> None:
    """ORACLE: the joined texts, of which those are held out whose name says so."""
    tokens = load_tokens(table(folder))
    parts: dict[bool, str] = {True: "", False: ""}
    for k, text in enumerate(TEXTS):
        parts[is_held_out(f"#{k}")] += f"{text}\n\n"
    assert tokens.train.tobytes().decode() == parts[False]
    assert tokens.held_out.tobytes().decode() == parts[True]
    assert parts[True]
    bpe = load_tokens(table(folder), tokenizer="bpe-512")
    assert len(bpe.train) < len(tokens.train)


def test_the_hash_is_that_of_the_content_and_of_what_is_read(folder: Path) -> None:
    first = source_hash(table(folder))
    assert source_hash(table(folder, split="train")) == first, "a default"
    moved = folder.rename(folder.with_name("moved"))
    assert source_hash(table(moved)) == first
    (moved / ".hidden").write_text("no data")
    assert source_hash(table(moved)) == first
    different = {source_hash(table(moved, documents=7)), source_hash(table(moved, column="title"))}
    (moved / "train2.jsonl").write_text('{"text": "more"}')
    different.add(source_hash(table(moved)))
    assert len(different | {first}) == 4


def test_a_folder_that_changed_during_a_study_is_an_error(folder: Path) -> None:
    digest = source_hash(table(folder))
    (folder / "more.jsonl").write_text('{"text": "more", "number": 1}')
    with pytest.raises(DataError) as error:
        load_tokens(table(folder), digest=digest)
    assert str(error.value) == (
        f"dataset '{folder}' has changed since the study was started\n"
        "  why: trials of one study are trained on one text\n"
        "  fix: run the command again; trials of the new text are new trials"
    )


def test_a_dataset_of_the_hub_is_identified_without_a_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **keys: object) -> None:
        raise AssertionError("nothing may be downloaded")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    c4 = DatasetTable(name="allenai/c4", config="en", revision="1588ec45")
    assert located(c4, tmp_path) == c4
    assert source_hash(c4) == source_hash(located(c4, tmp_path))
    others = [c4.model_copy(update=u) for u in ({"revision": "1588ec46"}, {"config": "de"})]
    assert len({source_hash(dataset) for dataset in [c4, *others]}) == 3


def test_a_dataset_of_the_hub_is_streamed_at_its_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[Any] = []

    def stream(*args: Any, **keys: Any) -> Iterator[dict[str, str]]:
        requests.append((args, keys))
        return iter([{"content": "one"}, {"content": "two"}, {"content": "three"}])

    monkeypatch.setattr(datasets, "load_dataset", stream)
    c4 = DatasetTable(
        name="allenai/c4", config="en", revision="1588ec45", column="content", documents=2
    )
    assert list(dataset_documents(c4)) == [("#0", b"one"), ("#1", b"two")]
    options = {"split": "train", "revision": "1588ec45", "streaming": True}
    assert requests == [(("allenai/c4", "en"), options)]


def error_text(dataset: DatasetTable, folder: Path = Path()) -> str:
    with pytest.raises(DataError) as error:
        list(dataset_documents(located(dataset, folder)))
    return str(error.value)


def test_a_dataset_of_the_hub_without_a_revision_is_an_error(tmp_path: Path) -> None:
    assert error_text(DatasetTable(name="allenai/c4"), tmp_path) == (
        f"dataset 'allenai/c4' has no revision, and there is no folder {tmp_path}/allenai/c4\n"
        "  why: a dataset of the Hugging Face hub can change, and trials of one study are trained "
        "on one text\n"
        '  fix: add revision = "COMMIT" to [lab.dataset], with a commit from '
        "https://huggingface.co/datasets/allenai/c4/commits/main"
    )


def test_a_folder_with_a_revision_is_an_error(folder: Path) -> None:
    assert error_text(DatasetTable(name=folder.name, revision="main"), folder.parent) == (
        f"dataset {folder} is a folder, which has no revision\n"
        "  why: a folder is identified by its content\n"
        "  fix: remove revision from [lab.dataset]"
    )


def test_a_missing_column_is_named_with_the_nearest_one(folder: Path) -> None:
    assert error_text(table(folder, column="txt")) == (
        f"dataset '{folder}' has no column 'txt'\n"
        "  why: trials are trained on the text of one column\n"
        "  fix: set column in [lab.dataset]; did you mean 'text'?"
    )


def test_a_column_without_text_is_named_with_one_that_has_it(folder: Path) -> None:
    assert error_text(table(folder, column="number")) == (
        f"column 'number' of dataset '{folder}' has 0 in row 0, which is not text\n"
        "  why: trials are trained on the text of one column\n"
        "  fix: set column in [lab.dataset] to a column of text: 'text'"
    )


def test_what_the_library_cannot_load_is_named(folder: Path) -> None:
    assert error_text(table(folder, split="trian")) == (
        f"dataset '{folder}' cannot be loaded: Bad split: trian. Available splits: ['train']\n"
        "  why: trials are trained on its documents\n"
        "  fix: check name, config, split and revision in [lab.dataset], and the connection"
    )
    c4 = DatasetTable(name="allenai/c4", config="en", revision="1588ec45")
    assert "dataset 'allenai/c4' cannot be loaded: " in error_text(c4)


def test_without_the_library_the_error_names_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert error_text(table(folder)) == (
        f"dataset '{folder}' needs the package 'datasets', which is not installed\n"
        "  why: it streams the documents of a dataset, which text and tokens do not need\n"
        "  fix: pip install 'mutransfer[datasets]'"
    )


def test_a_study_trains_on_a_dataset(folder: Path) -> None:
    study = {
        "schema": 1,
        "study": {"name": "documents"},
        "axes": {"width": [32], "lr": [0.01], "tokenizer": ["bytes", "bpe-512"]},
        "lab": {
            "base_width": 32, "depth": 1, "context": 16, "steps": 2,
            "dataset": {"name": str(folder)},
        },
    }  # fmt: skip
    prepared = prepare_study(study)
    prepared.options["check"](prepared.trials[0])
    assert {trial.runner.data for trial in prepared.trials} == {source_hash(table(folder))}
    for trial, size in zip(prepared.trials, (256, 512), strict=True):
        result = run_trial(trial, source=prepared.runner.source)
        assert result.untrained_loss == pytest.approx(math.log(size), abs=0.05)
        assert np.isfinite(result.loss)
