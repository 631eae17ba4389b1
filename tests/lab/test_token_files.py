"""Token files of the user's own, which are mapped where they are and never executed."""

from __future__ import annotations

import hashlib
import math
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mutransfer.errors import DataError
from mutransfer.lab.data import file_summary
from mutransfer.lab.data.sources import source_hash
from mutransfer.lab.data.token_files import TokenFiles
from mutransfer.lab.data.tokens import load_tokens
from mutransfer.lab.trial import run_trial
from mutransfer.workflows import prepare_study

TRAIN = np.random.default_rng(0).integers(0, 65, 5000).astype(np.uint16)
VAL = np.random.default_rng(1).integers(0, 65, 700).astype(np.uint16)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MUTRANSFER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write what nanoGPT's prepare.py of a text in characters writes."""
    place = tmp_path / "shakespeare"
    place.mkdir()
    TRAIN.tofile(place / "train.bin")
    VAL.tofile(place / "val.bin")
    (place / "meta.pkl").write_bytes(b"never read")
    return place


def load(folder: Path, vocabulary: int = 65) -> tuple[np.ndarray, np.ndarray]:
    tokens = load_tokens(TokenFiles(str(folder)), tokenizer="token-files", vocabulary=vocabulary)
    return tokens.train, tokens.held_out


def test_the_files_are_mapped_where_they_are(folder: Path, cache: Path) -> None:
    train, held_out = load(folder)
    assert isinstance(train, np.memmap)
    assert np.array_equal(train, TRAIN)
    assert np.array_equal(held_out, VAL)
    assert not (cache / "tokens").exists(), "nothing is copied"


def test_the_hash_is_that_of_the_content(folder: Path) -> None:
    """ORACLE: hashes of the bytes, and every change of one of the files changes it."""
    digests = [hashlib.sha256(t.tobytes()).hexdigest() for t in (TRAIN, VAL)]
    expected = hashlib.sha256("\n".join(["token files", *digests]).encode()).hexdigest()
    source = TokenFiles(str(folder))
    assert source_hash(source) == expected
    moved = TokenFiles(str(folder.rename(folder.with_name("moved"))))
    assert source_hash(moved) == expected
    hashes = {expected}
    for name in ("train.bin", "val.bin"):
        path = Path(moved.folder) / name
        tokens = np.fromfile(path, np.uint16)
        tokens[3] ^= 1
        tokens.tofile(path)
        hashes.add(source_hash(moved))
    assert len(hashes) == 3


def test_a_file_is_read_once_and_again_only_after_it_has_changed(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, summarize = [], file_summary._summarize
    monkeypatch.setattr(
        file_summary, "_summarize", lambda path: (read.append(path.name), summarize(path))[1]
    )
    first = source_hash(TokenFiles(str(folder)))
    assert source_hash(TokenFiles(str(folder))) == first
    load(folder)
    assert read == ["train.bin", "val.bin"]
    next((cache / "hashes").iterdir()).write_text("{damaged")
    assert source_hash(TokenFiles(str(folder))) == first
    assert len(read) == 3
    os.utime(folder / "val.bin", ns=(1, 1))
    assert source_hash(TokenFiles(str(folder))) == first
    assert read[3:] == ["val.bin"]


def test_large_files_are_read_in_chunks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = file_summary._summarize(folder / "train.bin")
    monkeypatch.setattr(file_summary, "CHUNK_BYTES", 64)
    assert file_summary._summarize(folder / "train.bin") == whole
    assert whole.largest == TRAIN.max()


def test_files_that_changed_during_a_study_are_an_error(folder: Path) -> None:
    source = TokenFiles(str(folder))
    digest = source_hash(source)
    load_tokens(source, digest=digest, tokenizer="token-files", vocabulary=65)
    VAL[::-1].tofile(folder / "val.bin")
    with pytest.raises(DataError) as error:
        load_tokens(source, digest=digest, tokenizer="token-files", vocabulary=65)
    assert str(error.value) == (
        f"{folder} has changed since the study was started\n"
        "  why: trials of one study are trained on one text\n"
        "  fix: run the command again; trials of the new text are new trials"
    )


def damage_missing(folder: Path) -> None:
    (folder / "val.bin").unlink()


def damage_odd(folder: Path) -> None:
    (folder / "train.bin").write_bytes(b"123")


def damage_empty(folder: Path) -> None:
    (folder / "val.bin").write_bytes(b"")


def damage_large(folder: Path) -> None:
    np.array([3, 65, 2], np.uint16).tofile(folder / "val.bin")


def damage_pickle(folder: Path) -> None:
    """Hide code in the place of tokens: it is data, and data that are no tokens."""
    (folder / "train.bin").write_bytes(pickle.dumps([os.getcwd]) + b"\0\0")


UNREADABLE = (
    "why: tokens in [lab] names a folder with train.bin and val.bin, of unsigned 16-bit ids\n"
    "  fix: write both files, as nanoGPT's prepare.py does, or set text to train on text"
)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_missing, f"val.bin cannot be read: No such file or directory\n  {UNREADABLE}"),
        (
            damage_odd,
            "train.bin has 3 bytes, an odd number\n"
            "  why: a token is an unsigned 16-bit number, which takes two bytes\n"
            "  fix: write the file again: it was cut off, or has another type",
        ),
        (
            damage_empty,
            "val.bin is empty\n"
            "  why: trials are trained on the tokens of train.bin, and measured on val.bin\n"
            "  fix: write unsigned 16-bit ids into it, as nanoGPT's prepare.py does",
        ),
        (
            damage_large,
            "val.bin has the token 65, but the vocabulary is 65\n"
            "  why: a token without a row in the embedding cannot be trained on\n"
            "  fix: write vocabulary = 66 or more in [lab]; if that is not the tokenizer's, the "
            "file does not hold unsigned 16-bit ids alone",
        ),
    ],
)
def test_files_that_cannot_be_used_are_named(
    folder: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(folder)
    with pytest.raises(DataError) as error:
        load(folder)
    assert str(error.value) == f"{folder}/{message}"


def test_a_pickle_in_the_place_of_tokens_is_not_executed(folder: Path) -> None:
    damage_pickle(folder)
    with pytest.raises(DataError, match=r"odd number|has the token"):
        load(folder)


def test_a_study_trains_on_token_files(folder: Path) -> None:
    """ORACLE: an untrained readout is nearly uniform over the vocabulary that the study sets."""
    study = {
        "schema": 1,
        "study": {"name": "characters"},
        "axes": {"width": [32], "lr": [0.01]},
        "lab": {
            "base_width": 32, "depth": 1, "context": 16, "steps": 2,
            "tokens": str(folder), "vocabulary": 65,
        },
    }  # fmt: skip
    prepared = prepare_study(study)
    (trial,) = prepared.trials
    assert trial.runner.settings["tokenizer"] == "token-files"
    assert trial.runner.data == source_hash(TokenFiles(str(folder)))
    prepared.options["check"](trial)
    result = run_trial(trial, source=TokenFiles(str(folder)))
    assert result.untrained_loss == pytest.approx(math.log(65), abs=0.05)
    assert result.parameters == 2 * 65 * 32 + 12 * 32**2
    small = prepare_study({**study, "lab": study["lab"] | {"vocabulary": 60}})
    with pytest.raises(DataError, match="has the token 64, but the vocabulary is 60"):
        small.options["check"](small.trials[0])
