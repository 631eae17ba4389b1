"""Documents of a text, the hash that identifies it, and which documents are held out."""

from __future__ import annotations

import errno
import hashlib
import json
import lzma
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from mutransfer.errors import DataError
from mutransfer.lab.data.corpus import (
    EMBEDDED_HASH,
    corpus_hash,
    documents,
    hash_documents,
    is_held_out,
)

LINES = b"".join(b"line %d of a text that is long enough to be cut\n" % k for k in range(4000))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with two texts, one nested and not UTF-8, and files that must be skipped."""
    place = tmp_path / "texts"
    (place / "inner").mkdir(parents=True)
    (place / ".git").mkdir()
    (place / "b.txt").write_bytes(b"beta\n")
    (place / "inner" / "a.txt").write_bytes("écrit en latin\n".encode("latin-1"))
    (place / "empty.txt").write_bytes(b"")
    (place / "picture.png").write_bytes(b"\x89PNG\0\0")
    (place / ".hidden").write_bytes(b"hidden")
    (place / ".git" / "config").write_bytes(b"hidden too")
    return place


def test_the_embedded_text_is_the_one_its_frozen_hash_names() -> None:
    assert hash_documents(documents(None)) == EMBEDDED_HASH == corpus_hash(None)


def test_the_embedded_text_is_whole_addresses_in_the_order_of_years() -> None:
    """ORACLE: the archive itself, parsed without our reader."""
    packed = files("mutransfer.lab.data").joinpath("texts/addresses.jsonl.xz").read_bytes()
    entries = [json.loads(line) for line in lzma.decompress(packed).split(b"\n")[:-1]]
    assert list(documents(None)) == [(e["name"], e["text"].encode()) for e in entries]
    assert len(packed) < 1e6
    assert 3.9e6 < sum(len(text) for _, text in documents(None)) <= 4e6
    years = [int(e["name"][:4]) for e in entries]
    assert years == sorted(years)
    assert years[-1] == 2026
    assert len({e["name"] for e in entries}) == len(entries)
    assert min(len(text) for _, text in documents(None)) > 2000


def test_about_one_address_in_twenty_is_held_out() -> None:
    addresses = list(documents(None))
    held_out = [len(text) for name, text in addresses if is_held_out(name)]
    assert 3 <= len(held_out) <= 8
    assert 0.02 < sum(held_out) / sum(len(text) for _, text in addresses) < 0.1


def test_hashing_needs_neither_torch_nor_a_training_run(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes(LINES)
    code = (
        "import sys; from mutransfer.lab.data.corpus import corpus_hash; corpus_hash(None);"
        f"corpus_hash({str(tmp_path)!r}); print([m for m in sys.modules if m == 'torch'])"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "[]"


def test_a_file_is_cut_into_documents_that_lose_nothing(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes(LINES)
    pieces = list(documents(str(tmp_path / "t.txt")))
    assert b"".join(text for _, text in pieces) == LINES
    assert len({name for name, _ in pieces}) == len(pieces) == len(LINES) // 2**14 + 1
    assert all(text.endswith(b"\n") for _, text in pieces)


def test_a_file_without_lines_is_cut_too(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes(b"x" * 100_000)
    pieces = [text for _, text in documents(str(tmp_path / "t.txt"))]
    assert b"".join(pieces) == b"x" * 100_000
    assert max(map(len, pieces)) <= 2**15


def test_a_folder_has_its_text_files_without_hidden_and_binary_ones(folder: Path) -> None:
    """Tokens are bytes, so text that is not UTF-8 is text."""
    assert list(documents(str(folder))) == [
        ("b.txt", b"beta\n"),
        ("inner/a.txt", b"\xe9crit en latin\n"),
    ]


def test_the_order_of_a_folder_is_by_name_however_the_disk_lists_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, listing = list(documents(str(folder))), list(folder.rglob("*"))
    for listed in (sorted(listing), sorted(listing, reverse=True)):
        monkeypatch.setattr(Path, "rglob", lambda self, pattern, listed=listed: iter(listed))
        assert list(documents(str(folder))) == expected


def test_a_large_file_in_a_folder_is_cut_so_that_memory_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "large.txt").write_bytes(LINES * 6)
    (tmp_path / "small.txt").write_bytes(LINES)
    texts = dict(documents(str(tmp_path)))
    assert texts.pop("small.txt") == LINES
    assert b"".join(texts.values()) == LINES * 6
    assert max(map(len, texts.values())) <= 2**15


def test_the_hash_depends_on_content_and_not_on_location(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_bytes(LINES)
    (tmp_path / "two.txt").write_bytes(LINES)
    assert corpus_hash(str(tmp_path / "one.txt")) == corpus_hash(str(tmp_path / "two.txt"))
    before = corpus_hash(str(folder))
    moved = folder.rename(tmp_path / "moved")
    assert corpus_hash(str(moved)) == before
    (moved / ".hidden").write_bytes(b"changed, but never read")
    assert corpus_hash(str(moved)) == before
    # Controls: every change that changes training changes the hash.
    (moved / "b.txt").write_bytes(b"betA\n")
    changed = corpus_hash(str(moved))
    (moved / "b.txt").write_bytes(b"beta\n")
    (moved / "b.txt").rename(moved / "c.txt")
    assert len({before, changed, corpus_hash(str(moved))}) == 3


def test_text_cannot_move_between_documents_unnoticed() -> None:
    assert hash_documents(iter([("a", b"xy"), ("b", b"z")])) != hash_documents(
        iter([("a", b"x"), ("b", b"yz")])
    )
    assert hash_documents(iter([("a", b"x")])) != hash_documents(iter([("a", b"x"), ("b", b"")]))


def test_names_decide_what_is_held_out() -> None:
    share = sum(is_held_out(f"document {k}") for k in range(20_000)) / 20_000
    assert share == pytest.approx(0.05, abs=0.005)
    first = int(hashlib.sha256(b"document 7").hexdigest()[:16], 16)
    assert is_held_out("document 7") == (first < 2**64 // 20)


def error_text(source: Path) -> str:
    with pytest.raises(DataError) as error:
        corpus_hash(str(source))
    return str(error.value)


def test_a_missing_text_is_named(tmp_path: Path) -> None:
    assert error_text(tmp_path / "nowhere.txt") == (
        f"{tmp_path}/nowhere.txt cannot be read: No such file or directory\n"
        "  why: trials are trained on this text\n"
        "  fix: set text in [lab] to a file or folder of text, or leave it out for the embedded one"
    )


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.txt").touch()
    assert error_text(tmp_path / "t.txt") == (
        f"{tmp_path}/t.txt is empty\n"
        "  why: trials are trained on this text\n"
        "  fix: set text in [lab] to a file with text, or leave it out for the embedded one"
    )


def test_a_folder_without_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "picture.png").write_bytes(b"\0")
    assert error_text(tmp_path / "texts") == (
        f"{tmp_path}/texts holds no text file\n"
        "  why: trials are trained on this text\n"
        "  fix: set text in [lab] to a folder with text files; hidden and binary ones are "
        "skipped"
    )


def test_a_binary_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.bin").write_bytes("text of two bytes each".encode("utf-16"))
    assert error_text(tmp_path / "t.bin") == (
        f"{tmp_path}/t.bin is not text: it has zero bytes\n"
        "  why: trials are trained on the bytes of text\n"
        "  fix: set text in [lab] to a text file, or to a folder of them"
    )


def test_a_text_without_permission_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is simulated, because the user of the tests may be root."""

    def forbidden(self: Path, *args: object) -> Iterator[bytes]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    (tmp_path / "t.txt").write_bytes(LINES)
    monkeypatch.setattr(Path, "open", forbidden)
    assert error_text(tmp_path / "t.txt") == (
        f"{tmp_path}/t.txt cannot be read: Permission denied\n"
        "  why: trials are trained on this text\n"
        "  fix: set text in [lab] to a file or folder of text, or leave it out for the embedded one"
    )
