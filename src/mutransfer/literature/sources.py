"""Sources of the published tables: packaged files and their citations."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files

from mutransfer.errors import ResultsError, nearest


@dataclass(frozen=True, slots=True)
class Citation:
    """Citation of a published table, its license, and the limits of its numbers.

    Args:
        authors: Authors, as in the paper.
        title: Title of the paper.
        year: Year of the first version.
        arxiv: arXiv number and the version of the numbers.
        numbers: Origin of the numbers.
        license: License of the numbers.
        not_known: Open questions about the table, one sentence each.

    Example:
        >>> print(citation("lingle2024"))
        Lucas Lingle, "A Large-Scale Exploration of µ-Transfer", 2024, arXiv:2404.05728v3
    """

    authors: str
    title: str
    year: int
    arxiv: str
    numbers: str
    license: str
    not_known: tuple[str, ...]

    def __str__(self) -> str:
        return f'{self.authors}, "{self.title}", {self.year}, arXiv:{self.arxiv}'


_CITATIONS = {
    "lingle2024": Citation(
        authors="Lucas Lingle",
        title="A Large-Scale Exploration of µ-Transfer",
        year=2024,
        arxiv="2404.05728v3",
        numbers="Tables 1, 3 and 4, transcribed cell by cell from slides",
        license="only numeric facts are reproduced; the license of the paper's text is unknown",
        not_known=(
            "One seed per cell: no interval can be computed.",
            "The rows of lion and decoupled_weight_decay_0.1 were named from the table's layout.",
            "Versions 4 to 6 of the paper may differ.",
        ),
    ),
    "kalra2026": Citation(
        authors="Dayal Singh Kalra and Maissam Barkeshli",
        title="Quantifying Hyperparameter Transfer and the Importance of Embedding Layer "
        "Learning Rate",
        year=2026,
        arxiv="2605.21486v1",
        numbers="released at github.com/dayal-kalra/quantifying-hparam-transfer, commit 809b987",
        license="MIT, Copyright (c) 2026 Dayal Kalra; LICENSE-kalra2026.txt is packaged with it",
        not_known=(
            "No intervals are published.",
            "The norm of E and the reference of R(inf) are not stated.",
            "The released page is nine days older than the paper, whose own figures may differ.",
        ),
    ),
}

PUBLISHED = tuple(_CITATIONS)


def citation(name: str) -> Citation:
    """Return the citation of one of the `PUBLISHED` tables.

    Raises:
        ResultsError: The table does not exist.

    Example:
        >>> citation("kalra2026").arxiv
        '2605.21486v1'
    """
    if name not in _CITATIONS:
        raise ResultsError(
            f"there is no published table '{name}'",
            why="the numbers of another paper would be returned",
            fix=nearest(name, PUBLISHED),
        )
    return _CITATIONS[name]


def read_rows(name: str) -> list[dict[str, str]]:
    """Read one of the `PUBLISHED` tables; every cell is text."""
    citation(name)
    return read_table(f"{name}.csv")


def read_table(file: str) -> list[dict[str, str]]:
    """Read a packaged file; every cell is text."""
    text = files(__package__).joinpath("data", file).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
