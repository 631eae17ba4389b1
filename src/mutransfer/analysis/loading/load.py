"""This file is the way in: it finds out what a path is, and has it read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from mutransfer.analysis.loading.csv import read_csv
from mutransfer.analysis.loading.json_rows import read_json
from mutransfer.analysis.loading.parquet import MAGIC, read_parquet
from mutransfer.analysis.loading.store import read_store
from mutransfer.analysis.loading.table import Table, as_results
from mutransfer.analysis.loading.tensorboard import EXAMPLE, read_scalars
from mutransfer.analysis.loading.wandb import read_runs, run_folders
from mutransfer.analysis.results import Results
from mutransfer.errors import ResultsError

ACCEPTED = (
    "give the folder of a trial store, a CSV, JSONL or Parquet file with columns "
    "width, lr, loss, or what W&B or TensorBoard exports"
)
MOST_FILES = 200_000  # a folder of more is not one study's [assumed]


def load_results(
    path: str | os.PathLike[str], *, columns: Mapping[str, str] | None = None
) -> Results:
    r"""Read results from a trial store, a table, or what a tracker exports.

    A table is a CSV, JSONL or Parquet file with `loss`, the scale (`width`), the hyperparameter
    (`lr`) and optionally `seed`, `diverged_at` and columns to group by. A loss that is `nan` or
    infinite is a diverged run; an empty one is a run without a result, which is left out.
    W&B's runs table and TensorBoard's HPARAMS table are such tables; a folder of W&B runs or
    of TensorBoard's scalar CSVs is read as one.

    Args:
        path: The folder or the file.
        columns: Our name -> theirs. `2^NAME`, `10^NAME` or `e^NAME` where NAME is a logarithm.

    Returns:
        The finished trials. `provenance` says what they cost and how many are unfinished;
        `notes` say what was left out or counted once.

    Raises:
        ResultsError: Where the path cannot be read, naming the file and the line.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "runs.csv")
        >>> _ = file.write_text("n_embd,log2_lr,seed,loss\n64,-2,0,3.1\n64,-1,0,3.4\n")
        >>> load_results(file, columns={"width": "n_embd", "lr": "2^log2_lr"}).axes["lr"]
        [0.25, 0.5]
    """
    place = Path(path)
    try:
        if place.is_dir():
            if os.path.lexists(place / "store.json"):
                return read_store(place, columns)
            return as_results(_read_folder(place), columns)
        if place.is_file():
            return as_results(_read_file(place), columns)
        exists = place.exists()
    except PermissionError as refused:
        raise ResultsError(
            f"no permission to read '{refused.filename or place}'",
            why="results that cannot be read would be missing from the answer",
            fix=f"ask its owner, or: chmod -R u+rX '{place}'",
        ) from None
    except OSError as refused:
        raise ResultsError(
            f"'{refused.filename or place}' cannot be read: {refused.strerror}",
            why="results that cannot be read would be missing from the answer",
            fix=ACCEPTED,
        ) from None
    raise ResultsError(
        f"'{place}' is neither a folder nor a file" if exists else f"there is no '{place}'",
        why="results are read from a trial store, a table, or a folder that a tracker wrote",
        fix=ACCEPTED,
    )


def _read_file(file: Path) -> Table:
    """Read a file by its suffix, or by its first bytes where the suffix says nothing."""
    suffix = file.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return read_csv(file)
    if suffix in (".jsonl", ".json", ".ndjson"):
        return read_json(file)
    with file.open("rb") as opened:
        start = opened.read(4096)
    if suffix == ".parquet" or start.startswith(MAGIC):
        return read_parquet(file)
    # Marks of UTF-8 and UTF-16, and the zeros between UTF-16's letters, are no letters.
    first = start.lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")[:1]
    return read_json(file) if first in (b"{", b"[") else read_csv(file)


def _read_folder(folder: Path) -> Table:
    """Read a folder that a tracker wrote."""
    if runs := run_folders(folder):
        return read_runs(folder, runs)
    files = _csv_files(folder)
    table = read_scalars(folder, files) if files else None
    if table is None:
        raise ResultsError(
            f"'{folder}' holds no results: neither store.json, nor W&B's run-*/files, nor "
            "TensorBoard's scalar CSVs (Wall time,Step,Value)",
            why="other files would be taken for results",
            fix="give the folder that `mutransfer sweep` wrote, W&B's folder `wandb`, a folder of "
            f"files such as {EXAMPLE}, or a single CSV file",
        )
    return table


def _csv_files(folder: Path) -> list[Path]:
    """Find the CSV files below a folder, following no link."""
    found: list[Path] = []
    for place, _, names in os.walk(folder, followlinks=False):
        files = [Path(place, name) for name in names if name.lower().endswith(".csv")]
        found.extend(file for file in files if file.is_file() and not file.is_symlink())
        if len(found) > MOST_FILES:
            raise ResultsError(
                f"'{folder}' holds more than {MOST_FILES} CSV files",
                why="that is hardly one study, and reading it would take very long",
                fix="give the folder of one study",
            )
    return found
