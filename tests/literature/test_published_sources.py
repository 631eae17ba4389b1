"""Published tables are packaged unchanged, with their license and their citation."""

import hashlib
from importlib.resources import files

import pytest

from mutransfer.errors import ResultsError
from mutransfer.literature import PUBLISHED, citation, load_published
from mutransfer.literature.text import published_report

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
def test_the_packaged_files_are_unchanged(name: str, sha256: str) -> None:
    """A table with a corrected cell would no longer be the published one."""
    assert hashlib.sha256(DATA.joinpath(name).read_bytes()).hexdigest() == sha256


def test_the_mit_license_is_packaged_with_its_file() -> None:
    """The license requires its two notices in all copies."""
    text = DATA.joinpath("LICENSE-kalra2026.txt").read_text()
    assert text.startswith("MIT License\n\nCopyright (c) 2026 Dayal Kalra\n")
    assert "The above copyright notice and this permission notice shall be included in all" in text
    assert 'THE SOFTWARE IS PROVIDED "AS IS"' in text
    assert "LICENSE-kalra2026.txt" in citation("kalra2026").license


def test_every_report_names_citation_license_and_open_questions() -> None:
    assert PUBLISHED == ("lingle2024", "kalra2026")
    for name in PUBLISHED:
        text, data = published_report(name)
        source = citation(name)
        paragraph = " ".join(text.split())
        assert str(source) in paragraph
        assert source.license in paragraph
        assert all(sentence in paragraph for sentence in source.not_known)
        assert data["citation"]["title"] == source.title


def test_the_error_for_an_unknown_table_names_the_nearest() -> None:
    for function in (citation, load_published, published_report):
        with pytest.raises(ResultsError) as raised:
            function("lingle2042")
        assert str(raised.value) == (
            "there is no published table 'lingle2042'\n"
            "  why: the numbers of another paper would be returned\n"
            "  fix: did you mean 'lingle2024'?"
        )


def test_the_error_for_a_table_without_losses_names_its_loader() -> None:
    with pytest.raises(ResultsError) as raised:
        load_published("kalra2026")
    assert str(raised.value) == (
        "'kalra2026' has no losses\n"
        "  why: the authors released E, kappa and R(inf), but not the losses behind them\n"
        "  fix: load_transfer_table()"
    )
