"""Results of commands: text for people, data for programs, and an exit status."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mutransfer.cli.exit_status import SUCCESS


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command prints and returns.

    Args:
        text: For people, on stdout.
        data: For programs, printed instead of the text with `--json`.
        status: Exit status.
        json: Whether the data are printed.
    """

    text: str
    data: dict[str, Any] = field(default_factory=dict)
    status: int = SUCCESS
    json: bool = False


def format_point(axes: Mapping[str, object]) -> str:
    """Format a trial's point on the grid.

    Example:
        >>> format_point({"width": 64, "lr": 2**-6.5, "beta": 0.95})
        'width=64 lr=2^-6.5 (0.01105) beta=0.95'
    """
    return " ".join(f"{name}={_format_value(name, value)}" for name, value in axes.items())


def _format_value(name: str, value: object) -> str:
    """Format a number with four digits, and a rate on a grid of powers of two as such a power."""
    if not isinstance(value, float):
        return str(value)
    if name == "lr" and 0 < value < math.inf:
        exponent = round(math.log2(value), 2)
        if math.isclose(2**exponent, value, rel_tol=1e-9):
            from mutransfer.analysis.format import format_rate  # imports numpy

            return format_rate(exponent)
    return f"{value:.4g}"
