"""The `[slurm]` table: how the tasks of a sweep are submitted to SLURM."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from mutransfer.records.base import InvalidValue, Record

KEYS = {  # options of sbatch that a key of this table sets, and how to write the key
    "--partition": 'partition = "gpu"',
    "--account": 'account = "my-project"',
    "--time": 'time = "2:00:00"',
    "--array": "array_limit = 20 for the tasks that run at the same time",
    "--gres": "[resources] gpus_per_trial = 1",
    "--cpus-per-task": "[resources] cpus_per_trial = 4",
}
OWN = ("--job-name", "--output", "--error", "--open-mode", "--requeue", "--no-requeue", "--signal")
SHORT = {  # one-letter options of sbatch that stand for the above
    "-p": "--partition", "-A": "--account", "-t": "--time", "-a": "--array",
    "-c": "--cpus-per-task", "-J": "--job-name", "-o": "--output", "-e": "--error",
}  # fmt: skip
_DAYS = re.compile(r"(\d+-)?\d+(:\d{1,2}){0,2}")  # sbatch reads minutes, hours:minutes:seconds, ...
_UNIT = re.compile(r"(\d+)\s*([mhd])")


def _word(text: str) -> str:
    """Validate a name that stands alone after an option of sbatch."""
    if not re.fullmatch(r"[A-Za-z0-9_.,:@+/-]+", text):
        what = f"{text!r} is not the name of a partition or an account"
        raise InvalidValue((what, "write one name, without spaces or quotes"))
    return text


def _parse_time(time: object) -> object:
    """Validate a time limit, before its type, because a number could be minutes or hours."""
    if isinstance(time, int | float) and not isinstance(time, bool):
        raise InvalidValue(("a time limit is a text", f'write time = "{time:g}:00:00" for hours'))
    if isinstance(time, str) and not _DAYS.fullmatch(time):
        unit = _UNIT.fullmatch(time.strip())
        hint = "2:00:00"
        if unit is not None:
            hint = {"m": "0:{}:00", "h": "{}:00:00", "d": "{}-00"}[unit[2]].format(unit[1])
        what = f"{time!r} is not a time limit of SLURM"
        raise InvalidValue((what, f'write time = "{hint}"'))
    return time


def _line(text: str) -> str:
    """Validate one line of the script."""
    if any(ord(c) < 32 and c != "\t" for c in text) or not text.strip():
        what = f"{text!r} is not one line"
        raise InvalidValue((what, "write each line as an entry of its own"))
    return text


def _option(text: str) -> str:
    """Validate an option of sbatch that no key of this table sets."""
    option = re.split(r"[=\s]", _line(text).strip(), maxsplit=1)[0]
    if option == "#SBATCH":
        fix = f"write {text.strip().removeprefix('#SBATCH').strip()!r}"
        raise InvalidValue((f"{text!r} begins with #SBATCH, which is added", fix))
    option = SHORT.get(option[:2], option) if re.match("-[A-Za-z]", option) else option
    if option in KEYS:
        raise InvalidValue((f"{text!r} has a key of its own", f"write {KEYS[option]}"))
    if option in OWN:
        what = f"{option!r} is set by mutransfer, which looks for its tasks and logs there"
        raise InvalidValue((what, f"remove {text!r}"))
    if not re.match(r"--?[A-Za-z]", option):
        what = f"{text!r} is not an option of sbatch"
        raise InvalidValue((what, 'write options such as "--constraint=a100"'))
    return text.strip()


Word = Annotated[str, AfterValidator(_word)]


class SlurmTable(Record):
    """`[slurm]`: how `mutransfer sweep --executor slurm` submits trials; not part of their ids."""

    partition: Word | None = Field(None, description="partition, or several with commas")
    account: Word | None = Field(None, description="account that is charged")
    time: Annotated[str, BeforeValidator(_parse_time)] | None = Field(
        None, description="time limit of a task as SLURM writes it: '2:00:00', or '1-12' for days"
    )
    array_limit: int | None = Field(None, ge=1, description="tasks that run at the same time")
    trials_per_task: int = Field(
        1, ge=1, description="trials that a task runs one after another; time counts for all"
    )
    lines: tuple[Annotated[str, AfterValidator(_option)], ...] = Field(
        (), description="further options of sbatch, such as '--constraint=a100'"
    )
    setup: tuple[Annotated[str, AfterValidator(_line)], ...] = Field(
        (), description="shell commands before the trials, such as 'module load cuda'"
    )
