"""Published tables travel unchanged, with their licence and their citation."""

import hashlib
from importlib.resources import files

import pytest

from mutransfer.errors import ResultsError
from mutransfer.literature import PUBLISHED, citation, load_published
from mutransfer.literature.text import published_answer

DATA = files("mutransfer.literature").joinpath("data")


@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        ("lingle2024.csv", "ba69d2beddedec74033a2909fb1a51b67809c990f9406e40900f764ae023cef7"),
        ("kalra2026.csv", "f901cb5fce2b5105df847e3c659190fd9fab5a75d5ef036cef9b1645f16062eb"),
        (
            "LICENSE-kalra2026.txt",
            "1c0215ed92a0dd60deb243be63e3347a1e727fca4fdf37b7db82134bcaeebc09",
        ),
    ],
)
def test_the_packaged_bytes_are_those_that_were_read(name: str, sha256: str) -> None:
    """A cell that somebody mends is no longer published."""
    assert hashlib.sha256(DATA.joinpath(name).read_bytes()).hexdigest() == sha256


def test_the_mit_licence_travels_with_its_file() -> None:
    """Its terms: the copyright notice and the permission notice in all copies."""
    text = DATA.joinpath("LICENSE-kalra2026.txt").read_text()
    assert text.startswith("MIT License\n\nCopyright (c) 2026 Dayal Kalra\n")
    assert "The above copyright notice and this permission notice shall be included in all" in text
    assert 'THE SOFTWARE IS PROVIDED "AS IS"' in text
    assert "LICENSE-kalra2026.txt" in citation("kalra2026").license


def test_every_table_says_whom_to_cite_and_what_is_open() -> None:
    assert PUBLISHED == ("lingle2024", "kalra2026")
    for name in PUBLISHED:
        text, data = published_answer(name)
        cited = citation(name)
        joined = " ".join(text.split())
        assert str(cited) in joined
        assert cited.license in joined
        assert all(sentence in joined for sentence in cited.not_known)
        assert data["citation"]["title"] == cited.title


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    for ask in (citation, load_published, published_answer):
        with pytest.raises(ResultsError) as raised:
            ask("lingle2042")
        assert str(raised.value) == (
            "there is no published table 'lingle2042'\n"
            "  why: another paper's numbers would be taken for the ones you asked for\n"
            "  fix: did you mean 'lingle2024'?"
        )


def test_a_table_without_losses_says_what_to_load() -> None:
    with pytest.raises(ResultsError) as raised:
        load_published("kalra2026")
    assert str(raised.value) == (
        "'kalra2026' holds no losses\n"
        "  why: the authors released E, kappa and R(inf), but not the runs behind them\n"
        "  fix: load_transfer_table()"
    )
