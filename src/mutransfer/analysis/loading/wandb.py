"""This file is results from W&B's own folders: one per run, with settings and a summary."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mutransfer.analysis.loading.csv import text_of
from mutransfer.analysis.loading.json_rows import as_columns, flat, parsed
from mutransfer.analysis.loading.numbers import number
from mutransfer.analysis.loading.table import Table
from mutransfer.analysis.results import Cell, Places
from mutransfer.errors import ResultsError

RUN = re.compile(r"(?:offline-)?run-.+")
SUMMARY, SETTINGS = "wandb-summary.json", "config.yaml"
QUOTED = r"""
    "(?:[^"\\]|\\.)*" | '(?:[^']|'')*'
"""
ENTRY = re.compile(rf"({QUOTED}|[^\s\#'\"\[{{&*!|>%@`-][^:#]*?):(?:\s+(.*))?", re.VERBOSE)
WORDS: Mapping[str, Cell] = {
    **{"null": None, "~": None, "": None, "true": True, "false": False},
    **{".nan": float("nan"), ".inf": float("inf"), "-.inf": float("-inf")},
}


def run_folders(folder: Path) -> list[Path]:
    """Find W&B's run folders in a folder, in its `wandb` folder, or the one that it is."""
    if _is_run(folder):
        return [folder]
    places = [folder, folder / "wandb"]
    return sorted(
        run
        for place in places
        if place.is_dir() and not place.is_symlink()
        for run in place.iterdir()
        if _is_run(run)
    )


def _is_run(folder: Path) -> bool:
    """Whether W&B wrote this folder; links are not followed."""
    if not RUN.fullmatch(folder.absolute().name) or folder.is_symlink():
        return False
    files = folder / "files"
    return files.is_dir() and not files.is_symlink()


def read_runs(folder: Path, runs: Sequence[Path]) -> Table:
    """Read settings and summary of every run; one without both is unfinished.

    Raises:
        ResultsError: Where no run has both, or a file is damaged.
    """
    rows: list[Mapping[str, Cell]] = []
    names: list[int | str] = []
    for run in runs:
        settings, summary = (_own(run / "files" / name) for name in (SETTINGS, SUMMARY))
        if settings is not None and summary is not None:
            rows.append(_row(read_settings(settings), _read_summary(run, summary)))
            names.append(run.name)
    absent = len(runs) - len(rows)
    if not rows:
        raise ResultsError(
            f"'{folder}': {_runs(absent)} no files/{SUMMARY} or no files/{SETTINGS}",
            why="a run that was recorded offline keeps its numbers in a file of W&B's own",
            fix=f"wandb sync '{folder}', then take the runs table's \"Export as CSV\"",
        )
    left = f"and {'is' if absent == 1 else 'are'} left out"
    notes = (f"{_runs(absent)} no {SUMMARY} or no {SETTINGS} {left}",) if absent else ()
    source, places = f"'{folder}'", Places("run", names)
    return Table(source, as_columns(rows), places, notes=notes, unfinished=absent)


def _runs(count: int) -> str:
    """Begin a sentence about what some runs have."""
    return "1 W&B run has" if count == 1 else f"{count} W&B runs have"


def _own(file: Path) -> str | None:
    """Read a run's own file; a link is none."""
    return None if file.is_symlink() or not file.is_file() else text_of(file)


def _read_summary(run: Path, text: str) -> dict[str, Cell]:
    """Read the last value of everything that was logged."""
    try:
        summary = parsed(text)
        if not isinstance(summary, dict):
            raise ValueError("no table of names and values")
        return flat(summary)
    except ValueError as refused:
        raise ResultsError(
            f"'{run / 'files' / SUMMARY}': {refused}",
            why="a run that cannot be read would be missing from the answer",
            fix=f"restore the file, or move the folder '{run.name}' away",
        ) from None


def _row(settings: Mapping[str, Cell], summary: Mapping[str, Cell]) -> dict[str, Cell]:
    """Put settings and outcomes side by side.

    A rate that is logged is the schedule's last, so the setting has the name; a loss that is
    set is the name of a function, so the outcome has it.
    """
    logged = {name: value for name, value in summary.items() if not name.startswith("_")}
    row = {f"config.{n}" if n == "loss" and n in logged else n: v for n, v in settings.items()}
    return row | {f"summary.{n}" if n in row else n: v for n, v in logged.items()}


def read_settings(text: str) -> dict[str, Cell]:
    r"""Read the settings in a `config.yaml` as W&B writes it: numbers, text, true and false.

    Lists and whatever else YAML can hold are left out; nothing is executed.

    Example:
        >>> read_settings('lr:\n  desc: null\n  value: 1e-2\nmodel:\n    value:\n        dim: 64')
        {'lr': 0.01, 'model.dim': 64.0}
    """
    found: dict[str, Cell] = {}
    above: list[tuple[int, str | None]] = []  # indent and key; None where nothing below counts
    for line in text.splitlines():
        written = line.strip()
        if not written or written.startswith("#") or "\t" in line[: len(line) - len(written)]:
            continue
        indent = len(line) - len(line.lstrip())
        item = written.startswith("- ") or written == "-"
        while above and above[-1][0] >= indent:
            above.pop()
        if any(key is None for _, key in above):
            continue
        entry = None if item else ENTRY.fullmatch(written)
        if entry is None:
            above.append((indent, None))
            continue
        scalar, value = _scalar(entry[2] or "")
        below = not (entry[2] or "").split("#")[0].strip()
        above.append((indent, _key(entry[1]) if below else None))
        path = [*(key for _, key in above[:-1] if key is not None), _key(entry[1])]
        if scalar and not below and len(path) > 1 and path[1] == "value" and path[0] != "_wandb":
            found[".".join([path[0], *path[2:]])] = value
    return found


def _key(text: str) -> str:
    """Take the quotes off a key."""
    _, value = _scalar(text) if text[0] in "\"'" else (True, text)
    return str(value)


def _scalar(text: str) -> tuple[bool, Cell]:
    """Read a number, a word or a text; False where it is something else."""
    if text.startswith('"'):
        try:
            value = json.loads(text)
        except ValueError:
            return False, None
        return isinstance(value, str), value
    if text.startswith("'"):
        whole = len(text) > 1 and text.endswith("'")
        return whole, text[1:-1].replace("''", "'")
    text = re.split(r"\s+#", text)[0].strip()
    if text[:1] in tuple("[{&*!|>%@`"):
        return False, None
    if text.lower() in WORDS:
        return True, WORDS[text.lower()]
    read = number(text)
    return True, text if read is None or "^" in text or "**" in text else read
