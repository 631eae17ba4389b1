"""This file is where published tables come from: the packaged files and their citations."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files

from mutransfer.errors import ResultsError, nearest


@dataclass(frozen=True, slots=True)
class Citation:
    """Whom to cite, under which terms the numbers are here, and what they cannot tell.

    Args:
        authors: As the paper lists them.
        title: Title of the paper.
        year: Year of its first version.
        arxiv: Number at arXiv, with the version that the numbers belong to.
        numbers: How the numbers came here.
        license: Terms of the numbers.
        not_known: What the table leaves open; one sentence each.

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
        numbers="Tables 1, 3 and 4, transcribed cell by cell from slides that show them",
        license="only numeric facts are reproduced; the licence of the paper's text is not known",
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
        license="MIT, Copyright (c) 2026 Dayal Kalra; LICENSE-kalra2026.txt lies beside the file",
        not_known=(
            "No intervals are published.",
            "The norm of E and the reference of R(inf) are not stated.",
            "The released page is nine days older than the paper, whose own figures may differ.",
        ),
    ),
}

PUBLISHED = tuple(_CITATIONS)


def citation(name: str) -> Citation:
    """Give the citation of a published table.

    Args:
        name: One of `PUBLISHED`.

    Returns:
        The citation.

    Raises:
        ResultsError: There is no such table.

    Example:
        >>> citation("kalra2026").arxiv
        '2605.21486v1'
    """
    if name not in _CITATIONS:
        raise ResultsError(
            f"there is no published table '{name}'",
            why="another paper's numbers would be taken for the ones you asked for",
            fix=nearest(name, PUBLISHED),
        )
    return _CITATIONS[name]


def read_rows(name: str) -> list[dict[str, str]]:
    """Read a packaged table as text, cell by cell."""
    citation(name)
    text = files(__package__).joinpath("data", f"{name}.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
