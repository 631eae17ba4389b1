"""What the lab trains on: a text, token files or a dataset, and the hash of its content."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mutransfer.lab.data.corpus import Document, corpus_hash, documents
from mutransfer.lab.data.datasets import dataset_documents, dataset_hash, located
from mutransfer.lab.data.token_files import TokenFiles, token_files_hash
from mutransfer.records import DatasetTable, LabTable

Source = str | TokenFiles | DatasetTable | None
"""The path of a text, token files, a dataset, or None for the embedded text."""


def lab_source(lab: LabTable, folder: Path) -> Source:
    """Return what a study trains on; its paths are relative to the study's folder.

    Raises:
        DataError: A dataset is neither a folder nor one of the hub with a revision.
    """
    if lab.dataset is not None:
        return located(lab.dataset, folder)
    if lab.tokens is not None:
        return TokenFiles(str((folder / lab.tokens).resolve()))
    return None if lab.text is None else str((folder / lab.text).resolve())


def source_hash(source: Source) -> str:
    """Return the hash that stands for the data in a trial's identity.

    Raises:
        DataError: The data cannot be read.
    """
    if isinstance(source, DatasetTable):
        return dataset_hash(source)
    return token_files_hash(source) if isinstance(source, TokenFiles) else corpus_hash(source)


def source_documents(source: str | DatasetTable | None) -> Iterator[Document]:
    """Yield the documents of a text or of a dataset.

    Raises:
        DataError: The data cannot be read.
    """
    return dataset_documents(source) if isinstance(source, DatasetTable) else documents(source)


def source_name(source: Source) -> str:
    """Return how a message names the data."""
    if isinstance(source, TokenFiles):
        return source.folder
    if isinstance(source, DatasetTable):
        return f"dataset '{source.name}'"
    return source or "the embedded text"
