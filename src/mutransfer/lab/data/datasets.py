"""Datasets of the Hugging Face hub, or of a local folder, as documents that are streamed."""

from __future__ import annotations

import hashlib
import importlib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from mutransfer.errors import DataError, listed, nearest
from mutransfer.lab.data.corpus import Document
from mutransfer.lab.data.file_summary import file_summary
from mutransfer.records import DatasetTable
from mutransfer.records.base import canonical_json


def located(dataset: DatasetTable, folder: Path) -> DatasetTable:
    """Return the dataset with an absolute path if it is a folder, and check its revision if not.

    Args:
        dataset: The table `[lab.dataset]`.
        folder: The study's folder, to which paths are relative.

    Raises:
        DataError: There is no such folder, and a dataset of the hub needs a revision.
    """
    path = (folder / dataset.name).resolve()
    if path.is_dir():
        if dataset.revision is not None:
            raise DataError(
                f"dataset {path} is a folder, which has no revision",
                why="a folder is identified by its content",
                fix="remove revision from [lab.dataset]",
            )
        return dataset.model_copy(update={"name": str(path)})
    if dataset.revision is None:
        raise DataError(
            f"dataset '{dataset.name}' has no revision, and there is no folder {path}",
            why="a dataset of the Hugging Face hub can change, and trials of one study are "
            "trained on one text",
            fix='add revision = "COMMIT" to [lab.dataset], with a commit from '
            f"https://huggingface.co/datasets/{dataset.name}/commits/main",
        )
    return dataset


def dataset_hash(dataset: DatasetTable) -> str:
    """Return the hash of a dataset that is located.

    A commit of the hub stands for its content, so nothing is downloaded. The files of a folder
    are read.

    Raises:
        DataError: The folder cannot be read.
    """
    reference = dataset.non_default_fields()
    if _is_local(dataset):
        reference["name"] = _folder_digests(Path(dataset.name))
    return hashlib.sha256(canonical_json({"dataset": reference}).encode()).hexdigest()


def dataset_documents(dataset: DatasetTable) -> Iterator[Document]:
    """Yield the first documents of a dataset, without storing it.

    Raises:
        DataError: The package `datasets` is missing, or the dataset cannot be loaded or has no
            such column of text.
    """
    library = _import_library(dataset.name)
    try:
        rows = iter(
            library.load_dataset(
                dataset.name,
                dataset.config,
                split=dataset.split,
                revision=dataset.revision,
                streaming=True,
            )
        )
        for number, row in enumerate(itertools.islice(rows, dataset.documents)):
            yield f"#{number}", _text(row, number, dataset).encode()
    except DataError:
        raise
    except Exception as problem:  # the library raises those of several others
        reason = (str(problem).splitlines() or [type(problem).__name__])[0]
        raise DataError(
            f"dataset '{dataset.name}' cannot be loaded: {reason}",
            why="trials are trained on its documents",
            fix="check name, config, split and revision in [lab.dataset], and the connection",
        ) from None


def _text(row: Mapping[str, Any], number: int, dataset: DatasetTable) -> str:
    """Return the text of a row."""
    if dataset.column not in row:
        raise DataError(
            f"dataset '{dataset.name}' has no column '{dataset.column}'",
            why="trials are trained on the text of one column",
            fix=f"set column in [lab.dataset]; {nearest(dataset.column, row)}",
        )
    text = row[dataset.column]
    if not isinstance(text, str):
        texts = [name for name, value in row.items() if isinstance(value, str)]
        raise DataError(
            f"column '{dataset.column}' of dataset '{dataset.name}' has {text!r:.60} in row "
            f"{number}, which is not text",
            why="trials are trained on the text of one column",
            fix=f"set column in [lab.dataset] to a column of text: {listed(texts) or 'none here'}",
        )
    return text


def _is_local(dataset: DatasetTable) -> bool:
    """Return whether a located dataset is a folder."""
    return Path(dataset.name).is_absolute()


def _folder_digests(folder: Path) -> dict[str, str]:
    """Return the hash of every file of a folder by name, hidden files excepted."""
    try:
        paths = {path.relative_to(folder): path for path in sorted(folder.rglob("*"))}
        return {
            name.as_posix(): file_summary(path).digest
            for name, path in paths.items()
            if path.is_file() and not any(part.startswith(".") for part in name.parts)
        }
    except OSError as problem:
        raise DataError(
            f"{problem.filename or folder} cannot be read: {problem.strerror}",
            why="trials are trained on the documents of this folder",
            fix="make it readable, or set another name in [lab.dataset]",
        ) from None


def _import_library(name: str) -> ModuleType:
    """Import the library of datasets, which only some studies need."""
    try:
        return importlib.import_module("datasets")
    except ModuleNotFoundError:
        raise DataError(
            f"dataset '{name}' needs the package 'datasets', which is not installed",
            why="it streams the documents of a dataset, which text and tokens do not need",
            fix="pip install 'mutransfer[datasets]'",
        ) from None
