"""Tokens are written once and published as a whole; a batch depends on seed and step only."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from mutransfer.errors import DataError
from mutransfer.lab.data.batches import HeldOut, TrainingBatches
from mutransfer.lab.data.cache import cache_folder
from mutransfer.lab.data.corpus import corpus_hash, documents, is_held_out
from mutransfer.lab.data.tokens import load_tokens

# Shape legend: B batch, W window of context + 1 tokens.

TEXT = b"".join(b"the %d lines of this text differ\n" % k for k in range(20_000))
TOKENS = np.arange(1000, dtype=np.int64).astype(np.uint8)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a cache other than the user's own."""
    monkeypatch.setenv("MUTRANSFER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "text.txt"
    path.write_bytes(TEXT)
    return str(path)


def test_every_document_is_whole_in_one_of_the_two_parts() -> None:
    tokens = load_tokens(None)
    train, held_out = tokens.train.tobytes(), tokens.held_out.tobytes()
    for name, document in documents(None):
        assert (document in held_out) == is_held_out(name), name
        assert (document in train) != is_held_out(name), name
    total = sum(len(document) + 2 for _, document in documents(None))
    assert len(train) + len(held_out) == total


def test_tokens_are_written_once_and_then_mapped(text: str, cache: Path) -> None:
    first = load_tokens(text)
    written = {p: p.stat().st_mtime_ns for p in cache.rglob("*.bin")}
    assert {p.name for p in written} == {"train.bin", "held_out.bin"}
    assert {p.parent.name for p in written} == {corpus_hash(text)}
    Path(text).unlink()
    again = load_tokens(text, digest=next(iter(written)).parent.name)
    assert isinstance(again.train, np.memmap)
    assert np.array_equal(first.train, again.train)
    assert {p: p.stat().st_mtime_ns for p in cache.rglob("*.bin")} == written


def test_processes_that_write_at_once_publish_one_whole_folder(text: str, cache: Path) -> None:
    lengths: list[int] = []
    threads = [
        threading.Thread(target=lambda: lengths.append(len(load_tokens(text).train)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lengths) == 8
    assert len(set(lengths)) == 1
    assert [p.name for p in (cache / "tokens").iterdir()] == [corpus_hash(text)]


@pytest.mark.parametrize("num_files", [2, 3])
def test_a_few_files_still_have_a_held_out_part(tmp_path: Path, num_files: int) -> None:
    (tmp_path / "texts").mkdir()
    for k in range(num_files):
        assert not is_held_out(f"play-{k}.txt"), "by its hash alone, none would be"
        (tmp_path / "texts" / f"play-{k}.txt").write_bytes(b"%d" % k * 500)
    tokens = load_tokens(str(tmp_path / "texts"))
    assert len(tokens.held_out) == 502
    assert len(tokens.train) == 502 * (num_files - 1)
    assert not set(tokens.held_out.tolist()[:500]) & set(tokens.train.tolist()) - {10}


def test_a_text_that_changed_since_it_was_hashed_is_an_error(text: str, cache: Path) -> None:
    digest = corpus_hash(text)
    Path(text).write_bytes(TEXT + b"one more line\n")
    with pytest.raises(DataError) as error:
        load_tokens(text, digest=digest)
    assert str(error.value) == (
        f"{text} has changed since the study was started\n"
        "  why: trials of one study are trained on one text\n"
        "  fix: run the command again; trials of the new text are new trials"
    )
    assert not list((cache / "tokens").iterdir())


def test_a_cache_that_cannot_be_written_is_named(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MUTRANSFER_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError) as error:
        load_tokens(text)
    assert str(error.value) == (
        f"cannot store tokens in {tmp_path}/file/tokens: Not a directory\n"
        "  why: a text is converted to tokens once, and every worker maps them into memory\n"
        "  fix: choose a folder that can be written: export MUTRANSFER_CACHE=DIR"
    )


def test_a_damaged_cache_is_named(text: str, cache: Path) -> None:
    load_tokens(text)
    next(cache.rglob("held_out.bin")).unlink()
    with pytest.raises(DataError, match=r"cannot store tokens in .*: No such file"):
        load_tokens(text)


def test_the_cache_is_the_users_own_by_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert cache_folder("tokens") == tmp_path / "cache" / "tokens"
    monkeypatch.delenv("MUTRANSFER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder("tokens") == tmp_path / "xdg" / "mutransfer" / "tokens"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("tokens") == tmp_path / ".cache" / "mutransfer" / "tokens"


def test_a_batch_depends_on_seed_and_step_only() -> None:
    batches = TrainingBatches(TOKENS, batch=4, context=8, seed=3)
    forward = [batches.at(step) for step in range(20)]
    other = TrainingBatches(TOKENS, batch=4, context=8, seed=3)
    backward = [other.at(step) for step in reversed(range(20))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forward, backward, strict=True))
    # Controls: another step and another seed give other windows.
    different = TrainingBatches(TOKENS, batch=4, context=8, seed=4)
    assert len({batches.at(0).tobytes(), batches.at(1).tobytes(), different.at(0).tobytes()}) == 3


def test_a_smaller_batch_is_the_beginning_of_a_larger_one() -> None:
    small = TrainingBatches(TOKENS, batch=4, context=8, seed=0)
    large = TrainingBatches(TOKENS, batch=16, context=8, seed=0)
    assert np.array_equal(small.at(5), large.at(5)[:4])


def test_the_batches_are_these_in_every_version_of_numpy() -> None:
    """Golden numbers: first tokens of the windows, from Philox's documented bits."""
    batches = TrainingBatches(TOKENS[:200], batch=6, context=8, seed=1)
    bits = np.random.Philox(key=[1, 2]).random_raw(6).tolist()
    assert bits[0] == 5705853004827290377
    assert batches.at(2)[:, 0].tolist() == [b % 192 for b in bits]


def test_windows_are_consecutive_tokens_and_reach_every_start() -> None:
    batches = TrainingBatches(TOKENS[:20], batch=64, context=8, seed=0)
    starts = set()
    for step in range(10):
        windows_BW = batches.at(step)
        assert windows_BW.shape == (64, 9)
        assert (np.diff(windows_BW.astype(int), axis=1) == 1).all()
        starts |= set(windows_BW[:, 0].tolist())
    assert starts == set(range(12))


def test_held_out_windows_are_spread_evenly_from_the_first_token_to_the_last() -> None:
    held_out = HeldOut(np.arange(0, 256, dtype=np.uint8), context=9)
    windows_BW = np.concatenate(list(held_out))
    assert windows_BW.shape == (128, 10)
    assert (windows_BW[0, 0], windows_BW[-1, -1]) == (0, 255)
    gaps = np.diff(windows_BW[:, 0].astype(int))
    assert gaps.min() >= 1
    assert gaps.max() <= 2
    assert all(np.array_equal(a, b) for a, b in zip(held_out, held_out, strict=True))


def test_one_window_is_enough_and_one_token_less_is_named() -> None:
    assert TrainingBatches(TOKENS[:9], batch=2, context=8, seed=0).at(1).shape == (2, 9)
    assert len(list(HeldOut(TOKENS[:9], context=8))) == 8
    for part, short in (
        ("training", lambda: TrainingBatches(TOKENS[:8], batch=2, context=8, seed=0)),
        ("held-out", lambda: HeldOut(TOKENS[:8], context=8)),
    ):
        with pytest.raises(DataError) as error:
            short()
        assert str(error.value) == (
            f"the {part} part of the text has 8 tokens, a window needs 9\n"
            "  why: a batch is made of windows of context + 1 tokens; "
            "1 document in 20 is held out\n"
            "  fix: use more text: two files, or one of 32 kB, or a smaller context in [lab]"
        )
