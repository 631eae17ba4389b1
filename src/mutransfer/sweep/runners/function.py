"""This file is the callable runner: one trial of a Python function."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mutransfer.errors import StudyError, TrialError
from mutransfer.records import TrialResult, TrialSpec
from mutransfer.sweep.processes import place


@dataclass(frozen=True, slots=True)
class FunctionRun:
    """Call a function with a trial's point on every axis.

    Args:
        function: Takes axes and derived values by name, and `trial_dir` if it has such a
            parameter. It returns the loss, or a mapping with 'loss' and, if it likes,
            'diverged_at', 'untrained_loss', 'curve', 'tokens', 'flops', 'parameters'.
    """

    function: Callable[..., Any]

    @property
    def name(self) -> str:
        """The function's part of a trial's identity: module and name."""
        kind = self.function if hasattr(self.function, "__qualname__") else type(self.function)
        module = getattr(kind, "__module__", "__main__")
        return kind.__qualname__ if module == "__main__" else f"{module}.{kind.__qualname__}"

    def check(self, first: TrialSpec) -> None:
        """Find out before the first trial whether the function can be called so.

        Raises:
            StudyError: It has other parameters.
        """
        try:
            self._signature().bind(**self._arguments(first, Path()))
        except TypeError as problem:
            names = ", ".join(first.values)
            raise StudyError(
                f"{self.name}{self._signature()} cannot be called with the study's axes: {problem}",
                why="every axis and derived value is handed over by its name",
                fix=f"def {self.name.rpartition('.')[2]}({names}): ...",
            ) from None

    def __call__(self, spec: TrialSpec, trial_dir: Path) -> TrialResult:
        """Call the function.

        Raises:
            TrialError: It returned neither a number nor a mapping with a loss.
        """
        began = time.perf_counter()
        returned = self.function(**self._arguments(spec, trial_dir))
        found = dict(returned) if isinstance(returned, Mapping) else {"loss": returned}
        try:
            loss = float(found.pop("loss"))
        except (KeyError, TypeError, ValueError):
            raise TrialError(
                f"{self.name} returned {returned!r:.80}",
                why="a trial without a loss answers nothing",
                fix="return the loss as a number, or a mapping with 'loss'",
            ) from None
        if not math.isfinite(loss):
            found.setdefault("diverged_at", 0)
        return TrialResult.read(
            {
                **found,
                "id": spec.id,
                "spec": spec.model_dump(mode="json"),
                "loss": loss if math.isfinite(loss) else None,
                "seconds": time.perf_counter() - began,
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "host": place().partition(" ")[0],
            },
            error=TrialError,
            where=f"what {self.name} returned",
        )

    def _signature(self) -> inspect.Signature:
        """Give the function's parameters."""
        return inspect.signature(self.function)

    def _arguments(self, spec: TrialSpec, trial_dir: Path) -> dict[str, Any]:
        """Give what the function is called with."""
        asks = "trial_dir" in self._signature().parameters
        return {**spec.values, "trial_dir": trial_dir} if asks else dict(spec.values)
