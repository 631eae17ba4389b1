"""Settings of SLURM: the `[slurm]` table of a study, over those in the user's own file."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from mutransfer.errors import StudyError
from mutransfer.records.tables.slurm import SlurmTable


def user_file() -> Path:
    """Return the user's file of settings for every study; it need not exist."""
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "mutransfer" / "slurm.toml"


def slurm_settings(study: SlurmTable) -> SlurmTable:
    """Return the settings of a study; a key that it does not have is that of the user's file.

    Raises:
        StudyError: The user's file cannot be read, or has unknown keys or invalid values.
    """
    path = user_file()
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return study
    except (OSError, ValueError, RecursionError) as error:
        raise StudyError(
            f"{path} cannot be read: {error}",
            why="it has the keys of [slurm] that a study does not set",
            fix='write keys as in [slurm], such as partition = "gpu", or remove the file',
        ) from None
    defaults = SlurmTable.read(data, error=StudyError, where=str(path))
    changes = {name: getattr(study, name) for name in study.model_fields_set}
    return defaults.model_copy(update=changes)
