"""Entry point of loading: detect what a path holds, read it, and return results.

The steps, one module each: a reader of `formats` returns a `Table`; `mapping` renames its columns
to those that `columns` describes; `rows` parses values and drops duplicates. Points of a grid are
formed later, in `analysis.curves.grid`. A trial store, which also records costs, is `Results`
already.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from mutransfer.analysis.loading.formats.csv import read_csv
from mutransfer.analysis.loading.formats.json import read_json
from mutransfer.analysis.loading.formats.other import (
    FIX,
    check_may_be_table,
    export_of_tracker,
    results_nearby,
)
from mutransfer.analysis.loading.formats.parquet import MAGIC, read_parquet
from mutransfer.analysis.loading.formats.store import read_store
from mutransfer.analysis.loading.formats.tensorboard import EXAMPLE, read_curves
from mutransfer.analysis.loading.formats.wandb import find_runs, read_runs
from mutransfer.analysis.loading.rows import results_from_table
from mutransfer.analysis.loading.table import Table
from mutransfer.analysis.results import Results
from mutransfer.errors import ResultsError

READERS: Mapping[str, Callable[[Path], Table]] = {
    **{".csv": read_csv, ".tsv": read_csv, ".parquet": read_parquet},
    **{".json": read_json, ".jsonl": read_json, ".ndjson": read_json},
}
MAX_FILES = 200_000  # a folder with more is hardly one study [assumed]


def load_results(
    path: str | os.PathLike[str], *, columns: Mapping[str, str] | None = None
) -> Results:
    r"""Load results from a trial store, a table, or an export of an experiment tracker.

    A table is a CSV, JSON or Parquet file with `loss`, the scale (`width`), the hyperparameter
    (`lr`) and optionally `seed`, `diverged_at` and columns to group by. A run whose loss is `nan`
    or infinite diverged; a run with an empty loss has no result and is left out.
    The runs table of W&B and the HPARAMS table of TensorBoard are such tables; so are a folder of
    W&B runs and a folder of TensorBoard's scalar CSVs.

    Args:
        path: The folder or the file.
        columns: Our name -> theirs; `2^NAME`, `10^NAME` or `e^NAME` where NAME is a logarithm.

    Returns:
        The finished trials. `provenance` holds their cost and the number of unfinished trials,
        `notes` what was left out.

    Raises:
        ResultsError: The path cannot be read; the message names the file and the line.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp(), "runs.csv")
        >>> _ = file.write_text("n_embd,log2_lr,seed,loss\n64,-2,0,3.1\n64,-1,0,3.4\n")
        >>> load_results(file, columns={"width": "n_embd", "lr": "2^log2_lr"}).axes["lr"]
        [0.25, 0.5]
    """
    place = Path(path)
    try:
        if place.is_dir() and os.path.lexists(place / "store.json"):
            return read_store(place, columns)
        if place.is_dir():
            return results_from_table(_read_folder(place), columns)
        if place.is_file():
            return results_from_table(_read_file(place), columns)
        exists = place.exists()
    except OSError as error:
        is_denied = isinstance(error, PermissionError)
        raise ResultsError(
            f"'{error.filename or place}' cannot be read: {error.strerror}",
            why="results that cannot be read would be missing from the analysis",
            fix=f"ask the owner for access, or: chmod -R u+rX '{place}'" if is_denied else FIX,
        ) from None
    raise ResultsError(
        f"'{place}' is neither a folder nor a file" if exists else f"'{place}' does not exist",
        why="results are read from a trial store, a table, or an export of an experiment tracker",
        fix=FIX,
    )


def _read_file(file: Path) -> Table:
    """Read a file by its suffix, or by its first bytes where the suffix is unknown."""
    if reader := READERS.get(file.suffix.lower()):
        return reader(file)
    check_may_be_table(file)
    with file.open("rb") as stream:
        head = stream.read(4096)
    if head.startswith(MAGIC):
        return read_parquet(file)
    # Skip byte-order marks, blanks, and the zero bytes of UTF-16.
    first = head.lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")[:1]
    return read_json(file) if first in (b"{", b"[") else read_csv(file)


def _read_folder(folder: Path) -> Table:
    """Read a folder that W&B or TensorBoard wrote."""
    if runs := find_runs(folder):
        return read_runs(folder, runs)
    files = _csv_files(folder)
    table = read_curves(folder, files) if files else None
    if table is None:
        name = "" if folder.name not in ("", "..") else f" (the folder '{folder.resolve()}')"
        raise ResultsError(
            f"'{folder}'{name} holds no results: no store.json, no W&B runs (run-*/files), no "
            "scalar CSVs of TensorBoard (Wall time,Step,Value)",
            why="other files would be mistaken for results",
            fix=export_of_tracker(folder)
            or results_nearby(folder)
            or "pass the folder that `mutransfer sweep` wrote, the folder `wandb` of W&B, a "
            f"folder of files such as {EXAMPLE}, or a single CSV file",
        )
    return table


def _csv_files(folder: Path) -> list[Path]:
    """Return the CSV files below a folder, without following links."""
    csv_files: list[Path] = []
    for place, _, names in os.walk(folder, followlinks=False):
        files = [Path(place, name) for name in names if name.lower().endswith(".csv")]
        csv_files.extend(file for file in files if file.is_file() and not file.is_symlink())
        if len(csv_files) > MAX_FILES:
            raise ResultsError(
                f"'{folder}' holds more than {MAX_FILES} CSV files",
                why="so many files are hardly one study, and reading them would take very long",
                fix="pass the folder of one study",
            )
    return csv_files
