"""Function runner: one trial of a Python function."""

from __future__ import annotations

import inspect
import math
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mutransfer.errors import StudyError, TrialError
from mutransfer.records import TrialResult, TrialSpec
from mutransfer.sweep.store.checkpoints import checkpoint_dir


@dataclass(frozen=True, slots=True)
class FunctionRun:
    """Callable that calls a function with a trial's point on every axis.

    Args:
        function: Takes axes and derived values by name, and `trial_dir` and `checkpoint_dir` if it
            has such parameters. It returns the loss, or a mapping with 'loss' and optionally
            'diverged_at', 'untrained_loss', 'curve', 'tokens', 'flops', 'parameters'.
        float_axes: Axes of which also whole numbers are passed as floats.
    """

    function: Callable[..., Any]
    float_axes: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Module and name of the function, which are part of a trial's identity."""
        kind = self.function if hasattr(self.function, "__qualname__") else type(self.function)
        module = getattr(kind, "__module__", "__main__")
        return kind.__qualname__ if module == "__main__" else f"{module}.{kind.__qualname__}"

    def check(self, first: TrialSpec) -> None:
        """Check, before the first trial starts, that the function takes the study's axes.

        Raises:
            StudyError: The function has other parameters.
        """
        signature = inspect.signature(self.function)
        try:
            signature.bind(**self._arguments(first, Path()))
        except TypeError as error:
            names = ", ".join(first.values)
            raise StudyError(
                f"{self.name}{signature} cannot be called with the study's axes: {error}",
                why="every axis and derived value is passed by its name",
                fix=f"def {self.name.rpartition('.')[2]}({names}): ...",
            ) from None

    def __call__(self, spec: TrialSpec, trial_dir: Path) -> TrialResult:
        """Call the function.

        Raises:
            TrialError: It returned neither a number nor a mapping with a loss.
        """
        start = time.perf_counter()
        returned = self.function(**self._arguments(spec, trial_dir))
        fields = dict(returned) if isinstance(returned, Mapping) else {"loss": returned}
        try:
            loss = float(fields.pop("loss"))
        except (KeyError, TypeError, ValueError):
            raise TrialError(
                f"{self.name} returned {returned!r:.80}",
                why="a trial without a loss cannot be analyzed",
                fix="return the loss as a number, or a mapping with 'loss'",
            ) from None
        if not math.isfinite(loss):
            fields.setdefault("diverged_at", 0)
        return TrialResult.read(
            {
                **fields,
                "id": spec.id,
                "spec": spec.model_dump(mode="json"),
                "loss": loss if math.isfinite(loss) else None,
                "seconds": time.perf_counter() - start,
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "host": socket.gethostname(),
            },
            error=TrialError,
            where=f"what {self.name} returned",
        )

    def _arguments(self, spec: TrialSpec, trial_dir: Path) -> dict[str, Any]:
        """Return the arguments of the function."""
        parameters = inspect.signature(self.function).parameters
        folders = {"trial_dir": trial_dir, "checkpoint_dir": checkpoint_dir(trial_dir)}
        accepted = {name: path for name, path in folders.items() if name in parameters}
        return {**spec.typed_values(self.float_axes), **accepted}
