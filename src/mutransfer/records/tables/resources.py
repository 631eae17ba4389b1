"""`[resources]`: what one trial needs of a machine; not part of a trial's id."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from mutransfer.records.base import InvalidValue, Problem, Record
from mutransfer.records.program.command import CommandTable


class ResourcesTable(Record):
    """`[resources]`: GPUs, cores and processes of one trial, which every executor assigns.

    Example:
        >>> ResourcesTable(gpus_per_trial=0.25).trials_per_gpu
        4
    """

    gpus_per_trial: float | None = Field(
        None,
        ge=0,
        allow_inf_nan=False,
        description="a whole number of GPUs, or a fraction such as 0.25; by default one for each "
        "of several processes, or else all GPUs are distributed among the workers",
    )
    cpus_per_trial: int = Field(1, ge=1, description="cores of a trial")
    processes_per_trial: int = Field(
        1, ge=1, description="processes that torchrun starts for a trial, one for each of its GPUs"
    )

    @property
    def whole_gpus(self) -> int:
        """GPUs that a trial occupies alone; 0 if it shares one, or needs none."""
        return int(self.gpus_per_trial or 0)

    @property
    def trials_per_gpu(self) -> int:
        """Trials that share a GPU; 1 if a trial has its GPUs for itself."""
        share = self.gpus_per_trial or 1.0
        return int(1 / share + 1e-9) if share < 1 else 1  # 1 / (1 / 49) is below 49

    def problems(self, runner: CommandTable | None) -> list[Problem]:
        """Return why torchrun cannot start the trials of a runner in several processes."""
        if self.processes_per_trial == 1:
            return []
        what = f"resources.processes_per_trial is {self.processes_per_trial}, "
        if runner is None:
            what += "but only a [runner] command trains in several processes"
            return [Problem(what, "remove it, or write a [runner] command")]
        program, *options = runner.words
        is_option = options and options[0].startswith("-") and options[0] != "-m"
        is_launcher = "torch.distributed.run" in options[:2]
        is_python = program in ("{python}", "python", "python3")
        if not is_python or not options or is_option or is_launcher:
            what += f"and torchrun cannot start '{' '.join(runner.words[:2])}'"
            fix = (
                "begin the command with {python} and a script, or remove processes_per_trial and "
                "write the launcher into the command"
            )
            return [Problem(what, fix)]
        if runner.diverged is not None and runner.diverged.exit is not None:
            what += "but runner.diverged.exit cannot be observed: torchrun ends with status 1"
            return [Problem(what, "write diverged = { regex = '...' }, for a line that is printed")]
        return []

    @property
    def threads_per_process(self) -> int:
        """Threads of each process of a trial: its share of the trial's cores."""
        return max(1, self.cpus_per_trial // self.processes_per_trial)

    @model_validator(mode="after")
    def _check_shares(self) -> Self:
        """Check that a trial has a part of one GPU, or whole ones."""
        gpus = self.gpus_per_trial
        if gpus is not None and gpus > 1 and gpus != int(gpus):
            what = f"{gpus:g} GPUs per trial are neither a whole number nor a part of one GPU"
            raise InvalidValue((what, f"write gpus_per_trial = {int(gpus) + 1}"))
        if gpus is not None and 0 < gpus < 1 and self.processes_per_trial > 1:
            what = f"{self.processes_per_trial} processes share {gpus:g} of a GPU"
            fix = f"write gpus_per_trial = {self.processes_per_trial}, one for each process"
            raise InvalidValue((what, fix))
        return self
