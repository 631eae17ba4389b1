"""Folders of W&B runs, each with its settings (`config.yaml`) and its last values (summary)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mutransfer.analysis.loading.formats.json import flatten, parse_json
from mutransfer.analysis.loading.formats.text import read_text
from mutransfer.analysis.loading.formats.wandb_config import parse_config
from mutransfer.analysis.loading.table import Table, columns_from_rows, join_logged
from mutransfer.analysis.results import Cell, Places
from mutransfer.errors import ResultsError

RUN_NAME = re.compile(r"(?:offline-)?run-.+")
SUMMARY, CONFIG = "wandb-summary.json", "config.yaml"


def find_runs(folder: Path) -> list[Path]:
    """Return the run folders in a folder or its `wandb`, or the folder itself if it is a run."""
    if _is_run(folder):
        return [folder]
    parents = [p for p in (folder, folder / "wandb") if p.is_dir() and not p.is_symlink()]
    return sorted(run for parent in parents for run in parent.iterdir() if _is_run(run))


def _is_run(folder: Path) -> bool:
    """Return whether W&B wrote this folder; links are not followed."""
    if not RUN_NAME.fullmatch(folder.absolute().name) or folder.is_symlink():
        return False
    files = folder / "files"
    return files.is_dir() and not files.is_symlink()


def read_runs(folder: Path, runs: Sequence[Path]) -> Table:
    """Read settings and summary of every run; a run that lacks one of them is unfinished.

    Raises:
        ResultsError: No run has both, or a file is damaged.
    """
    rows: list[Mapping[str, Cell]] = []
    names: list[int | str] = []
    for run in runs:
        config, summary = (_read_own(run / "files" / name) for name in (CONFIG, SUMMARY))
        if config is not None and summary is not None:
            rows.append(join_logged(parse_config(config), _parse_summary(run, summary)))
            names.append(run.name)
    unfinished = len(runs) - len(rows)
    subject = "1 W&B run has" if unfinished == 1 else f"{unfinished} W&B runs have"
    verb = "is" if unfinished == 1 else "are"
    if not rows:
        raise ResultsError(
            f"'{folder}': {subject} no files/{SUMMARY} or no files/{CONFIG}",
            why="a run recorded offline keeps its numbers in a binary file of W&B",
            fix=f"wandb sync '{folder}', then export the runs table by \"Export as CSV\"",
        )
    note = f"{subject} no {SUMMARY} or no {CONFIG} and {verb} left out"
    notes = (note,) if unfinished else ()
    columns, places = columns_from_rows(rows), Places("run", names)
    return Table(f"'{folder}'", columns, places, notes=notes, unfinished=unfinished)


def _read_own(file: Path) -> str | None:
    """Read a file of a run; None if it does not exist or is a link."""
    return None if file.is_symlink() or not file.is_file() else read_text(file)


def _parse_summary(run: Path, text: str) -> dict[str, Cell]:
    """Parse the last value of everything that was logged."""
    try:
        summary = parse_json(text)
        if not isinstance(summary, dict):
            raise ValueError("not a table of names and values")
        # Of W&B's own values only the last step is kept: it says how long the run trained.
        values = flatten(summary).items()
        return {n: value for n, value in values if n == "_step" or not n.startswith("_")}
    except ValueError as error:
        raise ResultsError(
            f"'{run / 'files' / SUMMARY}': {error}",
            why="a run that cannot be read would be missing from the analysis",
            fix=f"restore the file, or move the folder '{run.name}' away",
        ) from None
