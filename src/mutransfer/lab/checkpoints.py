"""Checkpoints of a training run, from which a later attempt continues with the same bits.

Model, optimizer states and losses are all there is to a run of the lab: the batch of a step is
a function of the seed and the step, and no layer draws random numbers.
"""

from __future__ import annotations

import copy
import os
import sys
import time
import uuid
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

FILE = "training.pt"
FORMAT = 1


class TrainingStopped(Exception):  # noqa: N818 - like KeyboardInterrupt, it is not an error
    """The process ends, and the training was saved."""


@dataclass(slots=True)
class Checkpoints:
    """The checkpoint of one trial: written now and then, and read by its next attempt.

    A checkpoint is written under another name and renamed, so the file is always a whole one. If
    a host that was believed lost still trains, it can only replace a checkpoint by another valid
    one of the same trial.

    Args:
        folder: Folder of the trial's checkpoints.
        trial_id: Id of the trial; a checkpoint of another one is ignored.
        seconds: Seconds between checkpoints.
        is_stopping: Whether this process is about to end, so that the training must be saved now.
    """

    folder: Path
    trial_id: str
    seconds: float
    is_stopping: Callable[[], bool] = lambda: False
    earlier_seconds: float = field(default=0.0, init=False)
    """Seconds that the trial took until the checkpoint from which this attempt continues."""

    _started: float = field(default_factory=time.perf_counter, init=False)
    _saved: float = field(default_factory=time.perf_counter, init=False)
    _has_reported: bool = field(default=False, init=False)

    def restore(self, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> list[float]:
        """Continue from the checkpoint, if there is a valid one, and return the losses so far.

        Model and optimizers are changed only if all of the checkpoint can be loaded.
        """
        for draft in self.folder.glob(f".{FILE}.*"):  # of an attempt that was killed
            draft.unlink(missing_ok=True)
        path, losses = self.folder / FILE, list[float]()
        fresh = copy.deepcopy(_states(model, optimizers))
        if path.exists():
            # A damaged file raises almost any error, and none may end the trial.
            try:
                content = self._read(path, model)
                _load_states(content["states"], model, optimizers)
                losses = content["losses"].tolist()
                self.earlier_seconds = float(content["seconds"])
                print(f"continues from a checkpoint at step {len(losses)}", file=sys.stderr)
            except Exception as error:
                _load_states(fresh, model, optimizers)
                print(f"starts from the beginning: {path}: {error}", file=sys.stderr)
        self._saved = time.perf_counter()
        return losses

    def after_step(
        self,
        model: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        losses: Sequence[float],
    ) -> None:
        """Write a checkpoint if it is time, or if the process is about to end.

        Raises:
            TrainingStopped: The process is about to end.
        """
        is_stopping = self.is_stopping()
        if is_stopping or time.perf_counter() - self._saved >= self.seconds:
            self._write(model, optimizers, losses)
            self._saved = time.perf_counter()
        if is_stopping:
            raise TrainingStopped

    def _write(
        self,
        model: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        losses: Sequence[float],
    ) -> None:
        """Write a checkpoint; training goes on if that is impossible."""
        content = {
            "identity": self._identity(model),
            "states": _states(model, optimizers),
            "losses": torch.tensor(losses, dtype=torch.float64),
            "seconds": self.earlier_seconds + time.perf_counter() - self._started,
        }
        draft = self.folder / f".{FILE}.{uuid.uuid4().hex}"
        try:
            with draft.open("wb") as file:
                torch.save(content, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self.folder / FILE)
        except OSError as error:
            if not self._has_reported:
                reason = error.strerror or error
                print(f"no checkpoint: {reason}; the training goes on", file=sys.stderr)
            self._has_reported = True
        finally:
            with suppress(OSError):
                draft.unlink(missing_ok=True)

    def _read(self, path: Path, model: nn.Module) -> dict[str, Any]:
        """Read a checkpoint.

        Raises:
            ValueError: It is damaged, or of another trial or another arithmetic.
        """
        with zipfile.ZipFile(path) as archive:
            # `torch.load` compares no checksums, and would return changed weights.
            if (damaged := archive.testzip()) is not None:
                raise ValueError(f"{damaged} is damaged")
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        expected = self._identity(model)
        if content["identity"] != expected:
            raise ValueError(f"a checkpoint of {content['identity']}, not of {expected}")
        return content

    def _identity(self, model: nn.Module) -> dict[str, str | int]:
        """Return what must be equal for the same bits: the lab's arithmetic is part of the id."""
        return {
            "format": FORMAT,
            "trial": self.trial_id,
            "torch": str(torch.__version__),
            "device": next(model.parameters()).device.type,
        }


def _states(model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> list[Any]:
    """Return the states of model and optimizers, which share their tensors."""
    return [model.state_dict(), *(optimizer.state_dict()["state"] for optimizer in optimizers)]


def _load_states(
    states: list[Any], model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]
) -> None:
    """Load states. Groups keep their peak rates, which a checkpoint has at those of its step."""
    of_model, *of_optimizers = states
    model.load_state_dict(of_model)
    for optimizer, state in zip(optimizers, of_optimizers, strict=True):
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
