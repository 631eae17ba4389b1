"""Files that hold no table, and what to pass instead of a path without results."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from mutransfer.errors import ResultsError

# Suffix -> what such a file is, and what to do with it; None where nothing is known.
KINDS: Mapping[str, tuple[str, str | None]] = {
    **dict.fromkeys((".svg", ".png", ".pdf", ".jpg", ".jpeg", ".gif"), ("a figure", None)),
    **dict.fromkeys((".html", ".htm"), ("a page", None)),
    **dict.fromkeys((".md", ".rst", ".tex", ".docx"), ("a text document", None)),
    **dict.fromkeys((".py", ".ipynb", ".sh"), ("a program", "write its losses to a CSV file")),
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".safetensors", ".bin"), ("a checkpoint", None)),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), ("a pickle, which could run code", None)),
    **dict.fromkeys((".yaml", ".yml", ".ini"), ("a configuration", None)),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), ("a workbook", "save its sheet as CSV")),
    **dict.fromkeys((".zip", ".gz", ".tar", ".tgz", ".xz"), ("an archive", "unpack it")),
    **dict.fromkeys((".npy", ".npz"), ("an array without names of columns", None)),
    **dict.fromkeys((".db", ".sqlite", ".sqlite3"), ("a database", "export a table as CSV")),
    ".toml": ("a study file", "pass the store that `mutransfer sweep` wrote, such as runs/NAME"),
    ".wandb": ("a binary file of W&B", 'sync it, then export the runs table by "Export as CSV"'),
}
EVENTS = "events.out.tfevents"
TENSORBOARD = ("an event file of TensorBoard", "download the table of its HPARAMS tab as CSV")
TABLES = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")
# Files that a folder of a tracker holds -> the tracker, and how to export a table of its runs.
TRACKERS: Mapping[tuple[str, ...], str] = {
    ("meta.yaml", "metrics", "params"): 'export the runs of MLflow: python -c "import mlflow; '
    "mlflow.search_runs(search_all_experiments=True).to_csv('runs.csv')\"",
    ("params.json", "result.json"): "export the runs of Ray Tune, in Python: "
    "tune.Tuner.restore(FOLDER, trainable).get_results().get_dataframe().to_csv('runs.csv')",
    ("hparams.yaml", "metrics.csv"): "write one CSV file with a row per run: the settings of its "
    "hparams.yaml and the last losses of its metrics.csv",
}
SKIPPED = frozenset({"node_modules", "site-packages", "__pycache__", "venv"})
MAX_DEPTH, MAX_FOLDERS = 3, 1000  # of the search for other results [assumed]
FIX = (
    "pass the folder of a trial store, a CSV, JSON or Parquet file with columns width, lr and "
    "loss, or an export of W&B or TensorBoard"
)


def check_may_be_table(file: Path) -> None:
    """Raise an error that says what a file is, if its name says that it is no table."""
    kind = TENSORBOARD if EVENTS in file.name else KINDS.get(file.suffix.lower())
    if kind is not None:
        raise ResultsError(
            f"'{file}' is {kind[0]}, not a table of losses",
            why="results are read from a trial store, a table, or an export of a tracker",
            fix="; ".join(filter(None, (kind[1], results_nearby(file.parent)))) or FIX,
        )


def export_of_tracker(folder: Path) -> str:
    """Return how to export the runs of the tracker that wrote a folder; empty for an unknown one.

    Example:
        >>> import tempfile
        >>> run = Path(tempfile.mkdtemp())
        >>> for name in ("hparams.yaml", "metrics.csv"):
        ...     (run / name).touch()
        >>> export_of_tracker(run).partition(":")[0]
        'write one CSV file with a row per run'
    """
    start = len(folder.parts)
    for count, (root, folders, files) in enumerate(os.walk(folder)):
        for names, export in TRACKERS.items():
            if {*folders, *files}.issuperset(names):
                return export
        if len(Path(root).parts) - start >= MAX_DEPTH or count > MAX_FOLDERS:
            folders.clear()
    return ""


def results_nearby(folder: Path) -> str:
    """Return the commands that analyze the results in a folder; empty without any."""
    commands = []
    for place in _results_below(folder):
        commands.append(f"mutransfer analyze {shlex.quote(str(place))}")
        if len(commands) == 3:
            break
    return "type " + ", or ".join(commands) if commands else ""


def _results_below(folder: Path) -> Iterator[Path]:
    """Yield stores, folders of W&B runs, and tables that have a loss, without following links."""
    start = len(folder.parts)
    for count, (root, folders, files) in enumerate(os.walk(folder)):
        place = Path(root)
        folders[:] = sorted(name for name in folders if name[0] != "." and name not in SKIPPED)
        if "store.json" in files or (place.name == "wandb" and any("run-" in n for n in folders)):
            folders.clear()
            yield place
            continue
        yield from (place / name for name in sorted(files) if _is_table_of_losses(place / name))
        if len(place.parts) - start >= MAX_DEPTH or count > MAX_FOLDERS:
            folders.clear()


def _is_table_of_losses(file: Path) -> bool:
    """Return whether a file is a table, and its beginning mentions a loss."""
    if file.suffix.lower() not in TABLES or not file.is_file() or file.is_symlink():
        return False
    try:
        with file.open("rb") as stream:
            head = stream.read(4096).lower()
    except OSError:
        return False
    return file.suffix.lower() == ".parquet" or b"loss" in head.replace(b"\0", b"")
