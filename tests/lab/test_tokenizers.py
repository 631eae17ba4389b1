"""Tokenizers: ids that never change, texts that come back, and vocabularies without a download."""

from __future__ import annotations

import hashlib
import itertools
import math
import runpy
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as LibraryTokenizer

from mutransfer.errors import DataError
from mutransfer.lab.data.corpus import corpus_hash, documents, is_held_out
from mutransfer.lab.data.tokenizers import (
    SEPARATOR,
    BytePairTokenizer,
    ByteTokenizer,
    load_tokenizer,
    read_merges,
)
from mutransfer.lab.data.tokens import load_tokens
from mutransfer.lab.data.vocabulary import (
    HUB_VOCABULARIES,
    SHIPPED_VOCABULARIES,
    vocabulary_size,
)
from mutransfer.lab.trial import run_trial
from mutransfer.records import LabRunner, TrialSpec

TOOL = Path(__file__).parents[2] / "tools" / "make_bpe.py"
BPE = BytePairTokenizer(1024)


def test_the_shipped_merges_are_those_of_this_hash() -> None:
    """The name of a tokenizer is part of a trial's id, so its ids must never change."""
    merges = (files("mutransfer.lab.data") / "texts" / "merges.txt").read_bytes()
    assert hashlib.sha256(merges).hexdigest() == (
        "0215694e425cb519b3d19460a92936682025df69757d185ad50e26c23623de34"
    )
    assert len(read_merges()) == max(SHIPPED_VOCABULARIES.values()) - 256


def test_ids_of_a_sentence_are_these() -> None:
    """Golden ids: they also depend on how words are split and on the library's encoder."""
    text = "The state of the Union, in 2026: 3 cafés.\n".encode()
    assert BPE.encode(text).tolist() == [
        *(534, 330, 365, 277, 262, 571, 281, 44, 284, 673, 48, 50, 54, 58, 1014, 272, 97, 102),
        *(195, 169, 115, 46, 302, 10),
    ]
    assert BPE.encode(text).dtype == np.uint16


def test_training_again_on_the_training_part_gives_the_shipped_merges() -> None:
    """ORACLE: the library's trainer; a smaller vocabulary has the first merges of a larger one."""
    tool = runpy.run_path(str(TOOL))
    for size in (512, 4096):
        assert tool["train_merges"](tool["training_texts"](), size) == read_merges()[: size - 256]


def test_held_out_documents_are_not_trained_on() -> None:
    trained_on = set(runpy.run_path(str(TOOL))["training_texts"]())
    held_out = {text for name, text in documents(None) if is_held_out(name)}
    assert held_out
    assert not held_out & trained_on
    assert len(held_out | trained_on) == len(list(documents(None)))


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
@settings(deadline=None)
def test_every_text_comes_back(document: bytes) -> None:
    for tokenizer in (ByteTokenizer(), BPE):
        tokens = tokenizer.encode(document)
        assert tokenizer.decode(tokens) == document + SEPARATOR
        assert tokens.max() < tokenizer.vocabulary


@given(st.binary(min_size=1, max_size=200))
@settings(deadline=None)
def test_the_encoder_joins_pairs_in_the_order_of_training(word: bytes) -> None:
    """ORACLE: the definition of BPE, on one word: the earliest merge is applied first."""
    word = bytes(97 + b % 26 for b in word)
    tokens = list(word)
    rank = {pair: k for k, pair in enumerate(read_merges()[: 1024 - 256])}
    while pairs := [pair for pair in itertools.pairwise(tokens) if pair in rank]:
        best = min(pairs, key=rank.__getitem__)
        joined, k = [], 0
        while k < len(tokens):
            is_pair = tuple(tokens[k : k + 2]) == best
            joined.append(256 + rank[best] if is_pair else tokens[k])
            k += 2 if is_pair else 1
        tokens = joined
    separator = BPE.encode(b"").tolist()
    assert BPE.encode(word).tolist() == [*tokens, *separator]


def test_bpe_tokens_on_disk_are_those_of_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUTRANSFER_CACHE", str(tmp_path / "cache"))
    (tmp_path / "texts").mkdir()
    for k in range(3):
        (tmp_path / "texts" / f"{k}.txt").write_bytes(b"the state of the union %d" % k * 9)
    source = str(tmp_path / "texts")
    tokens, as_bytes = load_tokens(source, tokenizer="bpe-1024"), load_tokens(source)
    for part, expected in ((tokens.train, as_bytes.train), (tokens.held_out, as_bytes.held_out)):
        assert part.dtype == np.uint16
        assert len(part) < len(expected) / 2
        assert BPE.decode(part) == expected.tobytes()
    assert len(list((tmp_path / "cache" / "tokens").iterdir())) == 2
    padded = load_tokens(source, vocabulary=1024)
    assert padded.train.dtype == np.uint16
    assert np.array_equal(padded.train, as_bytes.train), "as large a vocabulary, other tokens"


def test_a_trial_on_bpe_tokens_predicts_among_as_many() -> None:
    """ORACLE: an untrained readout is nearly uniform over the vocabulary; rows are width long."""
    small = {"width": 32, "base_width": 32, "lr": 2**-6, "depth": 1, "context": 16, "steps": 2}
    runner = LabRunner(numerics=1, data=corpus_hash(None))
    on_bytes, on_bpe = (
        run_trial(TrialSpec(runner=runner, axes={**small, **more}))
        for more in ({}, {"tokenizer": "bpe-1024"})
    )
    assert on_bpe.parameters == on_bytes.parameters + 2 * 32 * (1024 - 256)
    assert on_bytes.untrained_loss == pytest.approx(math.log(256), abs=0.05)
    assert on_bpe.untrained_loss == pytest.approx(math.log(1024), abs=0.05)
    assert on_bpe.loss < on_bpe.untrained_loss


def test_vocabularies_are_those_of_the_tokenizers_and_need_neither_torch_nor_the_library() -> None:
    for name, size in SHIPPED_VOCABULARIES.items():
        assert load_tokenizer(name).vocabulary == vocabulary_size(name) == size
    assert HUB_VOCABULARIES == {"gpt2": 50257, "t5-base": 32100}
    assert vocabulary_size("my/own@0123abc", 1000) == 1000
    assert vocabulary_size("t5-base", 32128) == 32128
    code = (
        "import sys; from mutransfer.lab.data.vocabulary import vocabulary_size;"
        "vocabulary_size('bpe-1024'); print({'torch', 'tokenizers', 'numpy'} & set(sys.modules))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "set()"


@pytest.mark.parametrize(("name", "size"), [("bpe-1023", 1023), ("bpe-1023@0123abc", None)])
def test_an_unknown_tokenizer_needs_a_revision_and_a_size(name: str, size: int | None) -> None:
    with pytest.raises(DataError) as error:
        vocabulary_size(name, size)
    assert str(error.value) == (
        f"tokenizer '{name}' is unknown\n"
        "  why: another tokenizer of the Hugging Face hub needs its revision, because it can "
        "change, and its size, because costs depend on it\n"
        '  fix: for one of the hub write tokenizer = "OWNER/NAME@COMMIT" and vocabulary = SIZE; '
        "or did you mean 'bpe-1024'?"
    )


def test_a_vocabulary_below_the_tokenizers_is_named() -> None:
    with pytest.raises(DataError) as error:
        vocabulary_size("bpe-1024", 1000)
    assert str(error.value) == (
        "vocabulary 1000 is smaller than the 1024 tokens of 'bpe-1024'\n"
        "  why: a token without a row in the embedding cannot be trained on\n"
        "  fix: write vocabulary = 1024 or more, or remove it"
    )


def word_tokenizer(*special: str) -> LibraryTokenizer:
    """Build a tokenizer of six words, as the hub would hand over."""
    words = ["[UNK]", "the", "union", "of", "states", "é", *special]
    model = tokenizers.models.WordLevel({w: k for k, w in enumerate(words)}, unk_token="[UNK]")
    tokenizer = LibraryTokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    return tokenizer


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[[LibraryTokenizer], list[Any]]:
    """Replace the hub by one tokenizer; the list of what was requested grows."""

    def serve(tokenizer: LibraryTokenizer) -> list[Any]:
        requests: list[Any] = []

        class Local:
            @staticmethod
            def from_pretrained(name: str, revision: str) -> LibraryTokenizer:
                requests.append((name, revision))
                return tokenizer

        monkeypatch.setattr(tokenizers, "Tokenizer", Local)
        return requests

    return serve


def test_a_tokenizer_of_the_hub_ends_documents_with_its_own_token(hub: Any) -> None:
    requests = hub(word_tokenizer("</s>"))
    tokenizer = load_tokenizer("t5-base")
    assert requests == [("google-t5/t5-base", "a9723ea7f1b39c1eae772870f3b547bf6ef7e6c1")]
    assert tokenizer.vocabulary == 7
    assert tokenizer.encode("the é union".encode()).tolist() == [1, 5, 2, 6]
    assert tokenizer.encode(b"the \xff union").tolist() == [1, 0, 2, 6], "no UTF-8: replaced"
    requests = hub(word_tokenizer())
    assert load_tokenizer("my/words@0123abc").encode(b"the union").tolist() == [1, 2]
    assert requests == [("my/words", "0123abc")]


def test_more_tokens_than_the_vocabulary_are_an_error(
    hub: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MUTRANSFER_CACHE", str(tmp_path / "cache"))
    hub(word_tokenizer("</s>"))
    assert load_tokens(tokenizer="my/words@0123abc", vocabulary=7).train.max() == 6
    with pytest.raises(DataError) as error:
        load_tokens(tokenizer="my/words@0123abc", vocabulary=6)
    assert str(error.value) == (
        "vocabulary 6 is smaller than the 7 tokens of 'my/words@0123abc'\n"
        "  why: a token without a row in the embedding cannot be trained on\n"
        "  fix: write vocabulary = 7 or more in [lab]"
    )


def test_a_tokenizer_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Offline:
        @staticmethod
        def from_pretrained(name: str, revision: str) -> None:
            raise Exception("404 Client Error\nof several lines")

    monkeypatch.setattr(tokenizers, "Tokenizer", Offline)
    with pytest.raises(DataError) as error:
        load_tokenizer("my/word@0123abc")
    assert str(error.value) == (
        "tokenizer 'my/word@0123abc' cannot be loaded: 404 Client Error\n"
        "  why: it is not one of this package, so it is loaded from the Hugging Face hub\n"
        "  fix: check its name and revision at huggingface.co, and the connection"
    )


@pytest.mark.parametrize("name", ["bpe-1024", "t5-base"])
def test_without_the_library_the_error_names_what_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(DataError) as error:
        load_tokenizer(name)
    assert str(error.value) == (
        f"tokenizer '{name}' needs the package 'tokenizers', which is not installed\n"
        "  why: only bytes are tokens without it\n"
        "  fix: pip install 'mutransfer[tokenizers]'; or write tokenizer = \"bytes\" in [lab]"
    )
