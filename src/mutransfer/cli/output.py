"""This file is what a command answers: text for people, data for programs, an exit status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DONE = 0
NO = 1
WRONG_INPUT = 2
UNDETERMINED = 3
FAILED_TRIALS = 4
OUR_BUG = 70
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Answer:
    """A command's answer.

    Args:
        text: For people, on stdout.
        data: For programs, on stdout instead with `--json`.
        status: Exit status.
        json: Whether the user asked for data.
    """

    text: str
    data: dict[str, Any] = field(default_factory=dict)
    status: int = DONE
    json: bool = False


def point_text(axes: Mapping[str, object]) -> str:
    """Name a trial by its point on the grid."""
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in axes.items()
    )
