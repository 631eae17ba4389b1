"""Study files: TOML, read and validated; `mutransfer.records.study` defines their content."""

from __future__ import annotations

import os
import re
import shlex
import tomllib
from pathlib import Path

from mutransfer.errors import StudyError, nearest
from mutransfer.records import StudySpec

MAX_BYTES = 2**20  # a larger file is not a study, and is not parsed
STUDY_SUFFIXES = (".toml", "")
TABLE_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")


def read_study(path: str | Path) -> StudySpec:
    """Read and validate a study file.

    Raises:
        StudyError: The file cannot be read, is not TOML, or has unknown keys or invalid values;
            all problems of the content are reported at once.
    """
    path = Path(path)
    why = "a study file defines the trials to run"
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            what, fix = f"{path} is larger than {MAX_BYTES} bytes", _other_file(path)
            raise StudyError(what, why=why, fix=fix)
        text = content.decode()
        data = tomllib.loads(text)
    except OSError as error:
        what = f"{path} cannot be read: {error.strerror}"
        raise StudyError(what, why=why, fix=_other_file(path)) from None
    except UnicodeDecodeError as error:
        raise StudyError(
            f"{path} is not UTF-8 text (byte {error.start})", why=why, fix="save it as UTF-8"
        ) from None
    # Besides its own errors, the parser raises these for integers that are too long and for
    # tables that are nested too deeply.
    except (ValueError, RecursionError) as error:
        fix = _toml_fix(str(error), text) if path.suffix in STUDY_SUFFIXES else _other_file(path)
        raise StudyError(f"{path} is not TOML: {error}", why=why, fix=fix) from None
    return StudySpec.read(data, error=StudyError, where=str(path))


def _other_file(path: Path) -> str:
    """Return the advice for a path that is no study file."""
    if path.suffix in TABLE_SUFFIXES:
        return f"name a TOML file; to analyze results: mutransfer analyze {shlex.quote(str(path))}"
    if os.path.exists(path / "store.json"):  # unlike Path.exists, False for impossible names
        return f"name a TOML file; for a trial store: mutransfer sweep --status {path}"
    folder = path if os.path.isdir(path) else path.parent
    files = sorted(folder.glob("*.toml")) if os.path.isdir(folder) else []
    names = [file.name for file in files if file != path]
    if names:
        return f"name a study file; in its folder: {nearest(path.name, names)}"
    return "name a study file; docs/sweeps.md shows one"


def _toml_fix(problem: str, text: str) -> str:
    """Return the advice for a line that is not TOML."""
    place = re.search(r"at line (\d+)", problem)
    lines = text.splitlines()
    line = lines[int(place[1]) - 1].strip()[:80] if place and int(place[1]) <= len(lines) else ""
    if "Unescaped" in problem or "escape" in problem:
        return f"write the text in single quotes, which keep backslashes: {line}"
    if re.search(r"=\s*2\s*\^", line):
        return f'write the range in quotes, as in "2^-12 .. 2^-4": {line}'
    return f"correct this line: {line}" if line else "correct the line named above"
