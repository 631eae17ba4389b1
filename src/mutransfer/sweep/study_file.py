"""Study files: TOML, read and validated; `mutransfer.records.study` defines their content."""

from __future__ import annotations

import tomllib
from pathlib import Path

from mutransfer.errors import StudyError
from mutransfer.records import StudySpec

MAX_BYTES = 2**20  # a larger file is not a study, and is not parsed


def read_study(path: str | Path) -> StudySpec:
    """Read and validate a study file.

    Raises:
        StudyError: The file cannot be read, is not TOML, or has unknown keys or invalid values;
            all problems of the content are reported at once.
    """
    path = Path(path)
    why = "a study file defines the trials to run"
    fix = "name a study file; docs/sweeps.md shows one"
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise StudyError(f"{path} is larger than {MAX_BYTES} bytes", why=why, fix=fix)
        data = tomllib.loads(content.decode())
    except OSError as error:
        raise StudyError(f"{path} cannot be read: {error.strerror}", why=why, fix=fix) from None
    except UnicodeDecodeError as error:
        raise StudyError(
            f"{path} is not UTF-8 text (byte {error.start})", why=why, fix="save it as UTF-8"
        ) from None
    # Besides its own errors, the parser raises these for integers that are too long and for
    # tables that are nested too deeply.
    except (ValueError, RecursionError) as error:
        raise StudyError(
            f"{path} is not TOML: {error}", why=why, fix="correct the line named above"
        ) from None
    return StudySpec.read(data, error=StudyError, where=str(path))
