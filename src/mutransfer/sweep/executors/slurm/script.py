"""The sbatch script of a sweep: one readable file in the store, used for every submission."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mutransfer.errors import ClusterError
from mutransfer.records.tables.slurm import SlurmTable

# Seconds between SIGTERM and the time limit. A worker needs up to 7 to end its programs, and SLURM
# sends the signal up to 60 seconds earlier than requested [derived: man sbatch, --signal].
SIGNAL_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Script:
    """What a task of the job array runs.

    Args:
        store: Directory of the store, absolute. Logs go to its folder `slurm`.
        study: Name of the study.
        command: Command that runs the trials of one task.
        settings: The `[slurm]` table.
        gpus: GPUs of a task.
        cpus: Cores of a task; None is the default of the cluster.
        trials: Trials of a task.
    """

    store: Path
    study: str
    command: Sequence[str]
    settings: SlurmTable
    gpus: int = 0
    cpus: int | None = None
    trials: int = 1

    @property
    def name(self) -> str:
        """Name of the job, by which a later run finds it: unique to the store.

        Example:
            >>> Script(Path("/data/runs/a"), "a", ["true"], SlurmTable()).name
            'mutransfer-a-9fd2e195'
        """
        digest = hashlib.sha256(str(self.store).encode()).hexdigest()
        return f"mutransfer-{self.study}-{digest[:8]}"

    @property
    def folder(self) -> Path:
        """Folder of the script and of the tasks' logs."""
        return self.store / "slurm"

    @property
    def path(self) -> Path:
        """File of the script."""
        return self.folder / "job.sh"

    @property
    def text(self) -> str:
        """Content of the file. The size of the array is an argument of sbatch."""
        setup = "".join(f"{line}\n" for line in self.settings.setup)
        return (
            "#!/bin/bash\n"
            f"# Written by: mutransfer sweep --executor slurm (study {self.study}).\n"
            + "".join(f"#SBATCH {option}\n" for option in self._options())
            + "\n# A command that fails ends the task before a trial is claimed.\nset -e\n"
            + (f"\n# [slurm] setup\n{setup}" if setup else "")
            + "\n# The worker takes the place of this shell, so that SIGTERM reaches it.\n"
            + f"exec {format_command(self.command)}\n"
        )

    def _options(self) -> Iterator[str]:
        """Yield the options of sbatch."""
        settings = self.settings
        yield f"--job-name={self.name}"
        yield f"--output={_quote(self.folder)}/%A_%a.log"
        yield "--open-mode=append"  # a task that is requeued keeps its earlier log
        yield "--requeue"
        yield f"--signal=B:TERM@{SIGNAL_SECONDS}"
        for name in ("partition", "account", "time"):
            if (value := getattr(settings, name)) is not None:
                yield f"--{name}={value}"
        if self.gpus:
            yield f"--gres=gpu:{self.gpus}"
        if self.cpus is not None:
            yield f"--cpus-per-task={self.cpus}"
        yield from settings.lines


def format_command(words: Sequence[str]) -> str:
    r"""Format a command with one option per line.

    Example:
        >>> print(format_command(["python", "-m", "x", "my study.toml", "--count", "1"]))
        python -m x 'my study.toml' \
            --count 1
    """
    return re.sub(r" (?=--[a-z])", " \\\\\n    ", shlex.join(words))


def _quote(folder: Path) -> str:
    """Quote a path for sbatch, which replaces % and reads quotes."""
    text = str(folder).replace("%", "%%")
    if re.search(r"[\\\0-\x1f]", text):
        raise ClusterError(
            f"the store {str(folder.parent)!r} has a backslash or a line break in its path",
            why="sbatch reads such a path in another way, and the logs would be elsewhere",
            fix="name another folder with --store",
        )
    quoted = text.replace('"', r"\"")
    return text if re.fullmatch(r"[\w%@:,./+-]+", text) else f'"{quoted}"'
