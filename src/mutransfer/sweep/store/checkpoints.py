"""Folder of a trial's checkpoints, which all of its attempts share."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from mutransfer.records import TrialSpec
from mutransfer.sweep.files import reject_link, write_errors

VARIABLE = "MUTRANSFER_CHECKPOINT_DIR"  # names the folder in the environment of a program


def checkpoint_dir(trial_dir: Path) -> Path:
    """Return the folder of checkpoints of the trial that an attempt belongs to.

    A folder outside of a store, in which a trial is run by hand, has checkpoints of its own.

    Example:
        >>> checkpoint_dir(Path("store/0123/attempts/4567")).as_posix()
        'store/0123/checkpoints'
        >>> checkpoint_dir(Path("by-hand")).as_posix()
        'by-hand/checkpoints'
    """
    is_attempt = trial_dir.parent.name == "attempts"
    return (trial_dir.parents[1] if is_attempt else trial_dir) / "checkpoints"


def make_checkpoint_dir(trial_dir: Path) -> Path:
    """Create the folder of checkpoints, unless an earlier attempt has, and return it.

    Raises:
        StoreError: It cannot be created, or is a symbolic link.
    """
    folder = reject_link(checkpoint_dir(trial_dir))
    with write_errors(folder):
        folder.mkdir(exist_ok=True)
    return folder


def remove_checkpoints(folder: Path, spec: TrialSpec) -> None:
    """Remove what nobody needs once a trial has a result: the lab's checkpoints, an empty folder.

    Those of a user's program may be the weights that the study was run for.
    """
    if spec.runner.kind == "lab":
        shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # it has files, or a process of a lost host writes there
        folder.rmdir()
