"""What a study may say about the data of the lab, and what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from mutransfer.errors import DataError, StudyError
from mutransfer.records import StudySpec
from mutransfer.workflows import prepare_study

WHY = "why: nothing that is written is ignored, and what cannot run is refused first"


def study(lab: dict[str, Any], **axes: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "study": {"name": "data"},
        "axes": {"width": [32], "lr": [0.01], **axes},
        "lab": {"base_width": 32, **lab},
    }


def test_a_dataset_has_defaults() -> None:
    lab = {"dataset": {"name": "allenai/c4", "config": "en", "revision": "1588ec45"}}
    spec = StudySpec.read(study(lab), error=StudyError, where="s.toml")
    assert spec.lab is not None
    assert spec.lab.dataset is not None
    assert spec.lab.dataset.model_dump() == {
        "name": "allenai/c4", "config": "en", "revision": "1588ec45", "split": "train",
        "column": "text", "documents": 10_000,
    }  # fmt: skip
    assert spec.lab.settings == {"base_width": 32}


@pytest.mark.parametrize(
    ("lab", "axes", "what", "fix"),
    [
        (
            {"text": "a", "tokens": "b", "vocabulary": 65},
            {},
            "'lab': text and tokens are set, but trials are trained on one of them",
            "keep one of text, tokens",
        ),
        (
            {"text": "a", "dataset": {"name": "b"}},
            {},
            "'lab': text and dataset are set, but trials are trained on one of them",
            "keep one of text, dataset",
        ),
        (
            {"tokens": "a"},
            {},
            "'tokens' needs 'vocabulary', the number of different tokens",
            "write vocabulary = 50257 for the tokens of GPT-2",
        ),
        (
            {"tokens": "a", "vocabulary": 50257},
            {"tokenizer": ["bytes", "gpt2"]},
            "'tokens' are ids already, so 'tokenizer' would have no effect",
            "remove 'tokenizer', and write its size as vocabulary",
        ),
        (
            {"tokens": "a", "vocabulary": 50257, "tokenizer": "gpt2"},
            {},
            "'tokens' are ids already, so 'tokenizer' would have no effect",
            "remove 'tokenizer', and write its size as vocabulary",
        ),
        (
            {"dataset": "allenai/c4"},
            {},
            "'lab.dataset': must be a table (got 'allenai/c4')",
            'write [lab.dataset] with name = "allenai/c4"',
        ),
        ({"dataset": {}}, {}, "missing key 'lab.dataset.name'", 'add name = "allenai/c4"'),
        (
            {"dataset": {"name": "a", "subset": "en"}},
            {},
            "unknown key 'lab.dataset.subset'",
            "lab.dataset.subset: choose from 'column', 'config', 'documents', 'name', "
            "'revision', 'split'",
        ),
        (
            {"dataset": {"name": "a", "documents": 0}},
            {},
            "'lab.dataset.documents': must be greater than 0 (got 0)",
            "write a value for 'lab.dataset.documents' that is greater than 0",
        ),
        ({"token": "a"}, {}, "'lab': unknown key 'token'", "token: did you mean 'tokens'?"),
    ],
)
def test_data_that_no_trial_can_have_are_an_error(
    lab: dict[str, Any], axes: dict[str, Any], what: str, fix: str
) -> None:
    with pytest.raises(StudyError) as error:
        StudySpec.read(study(lab, **axes), error=StudyError, where="s.toml")
    assert str(error.value) == f"s.toml: {what}\n  {WHY}\n  fix: {fix}"


def test_an_unknown_tokenizer_is_an_error_before_anything_runs() -> None:
    with pytest.raises(DataError, match="tokenizer 'bpe-1023' is unknown"):
        prepare_study(study({}, tokenizer=["bytes", "bpe-1023"]))
    with pytest.raises(DataError, match="vocabulary 100 is smaller than the 256 tokens"):
        prepare_study(study({"vocabulary": 100}))


def test_bytes_and_no_dataset_leave_every_id_as_it_was() -> None:
    """ORACLE: an id that a version without these settings computed."""
    plain, spelled = (prepare_study(study(lab)) for lab in ({}, {"tokenizer": "bytes"}))
    assert (
        plain.trials[0].id
        == spelled.trials[0].id
        == ("7813a2e9e28355dccb0157703f2e26bf506ac1f93d17838b1e311550bc9003c9")
    )
