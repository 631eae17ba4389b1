"""Hostile CSV files: each is analyzed, or refused in three lines."""

from __future__ import annotations

import itertools

import pytest
from case_counts import cases
from hypothesis import strategies as st
from sandbox import run_command, sandbox_folder
from strategies import choice, corrupted, fuzz, texts

COLUMNS = ["width", "lr", "seed", "loss", "parametrization", "diverged_at"]
CELLS = [
    "1e400",
    "1e-320",
    "64",
    "128",
    "0.25",
    "0.5",
    "1",
    "0",
    "-1",
    "nan",
    "inf",
    "",
    "mup",
    "sp",
    "1e400",
    "1e-320",
]

cell = st.one_of(st.sampled_from(CELLS), texts)
flags = st.lists(
    st.sampled_from(
        [
            *(["--json"], ["--scale", "lr"], ["--scale", "seed"], ["--hyperparameter", "x"]),
            *(["--group-by", ""], ["--group-by", "seed"], ["--group-by", "seed,parametrization"]),
            *(["--threshold", "0.5"], ["--threshold", "nan"], ["--threshold", "1e-300"]),
        ]
    ),
    max_size=2,
)


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """Draw a table of results with a few corrupted cells, names and rows."""
    header = list(COLUMNS[: draw(st.integers(4, 6))])
    grid = [(w, lr, s) for w in (64, 128) for lr in (0.125, 0.25, 0.5) for s in (0, 1)]
    rows = [
        [str(x) for x in (w, lr, s, 3 - w / 999 + (lr - 0.2) ** 2, "mup", "")] for w, lr, s in grid
    ]
    rows = [row[: len(header)] for row in rows]
    for _ in range(draw(st.integers(0, 3))):
        row = draw(choice([header, *rows]))
        if row:
            row[draw(st.integers(0, len(row) - 1))] = draw(cell)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        row = draw(choice([header, *rows]))
        row.pop() if row and draw(st.booleans()) else row.append(draw(cell))
    column, same = draw(st.integers(0, 5)), draw(st.one_of(st.none(), st.none(), cell))
    for row in rows:
        if same is not None and column < len(row):
            row[column] = same
    quote = draw(st.booleans())
    lines = [",".join(_quoted(c) if quote else c for c in row) for row in (header, *rows)]
    return draw(st.sampled_from(["\n", "\r\n"])).join(lines).encode(errors="replace")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


@cases("tables")
def test_a_table_is_analyzed_or_refused(cases) -> None:
    fuzz(cases, st.tuples(corrupted(tables()), flags), _analyze)


def _analyze(case: tuple[bytes, list[list[str]]]) -> None:
    content, options = case
    with sandbox_folder() as here:
        (here / "t.csv").write_bytes(content)
        run_command(here, "analyze", "t.csv", *itertools.chain(*options))


@pytest.mark.parametrize("loss", ["-1.7e308", "1.7e308", "-inf", "1e101"])
def test_an_absurd_loss_counts_as_a_diverged_run(loss) -> None:
    rows = [f"{w},{lr},{2 + (lr - 0.2) ** 2}" for w in (64, 128) for lr in (0.125, 0.25, 0.5)]
    with sandbox_folder() as here:
        (here / "t.csv").write_text("\n".join(["width,lr,loss", *rows, f"128,1,{loss}"]))
        output = run_command(here, "analyze", "t.csv")
        assert output.status == 0
        assert "diverged runs           1" in output.out
