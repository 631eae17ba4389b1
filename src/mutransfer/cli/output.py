"""Results of commands: text for people, data for programs, and an exit status."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mutransfer.cli.exit_status import SUCCESS
from mutransfer.errors import UsageError


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


def check_outputs(**outputs: Path | None) -> None:
    """Check, before anything is computed, that files and folders to write have a parent folder.

    Raises:
        UsageError: A folder is missing. A mistyped path would otherwise become a new folder.
    """
    for option, path in outputs.items():
        if path is None or os.path.isdir(path.parent):
            continue
        folder = shlex.quote(str(path.parent))
        raise UsageError(
            f"--{option} {path}: the folder {path.parent} does not exist",
            why="only the file or folder that is named is made, because a path may be mistyped",
            fix=f"mkdir -p {folder}, or name another place: --{option} {path.name}",
        )


def check_page(option: str, path: Path | None, *, figures: bool = True) -> None:
    """Check that the name of a page does not promise another format.

    Args:
        option: The option that names the page.
        path: The page.
        figures: Whether the command has the option --figures, too.

    Raises:
        UsageError: The name ends in another suffix than .html.
    """
    if path is not None and path.suffix not in ("", ".html", ".htm"):
        raise UsageError(
            f"--{option} {path}: the report is an HTML page, not {path.suffix}",
            why="no program would open the file by its name",
            fix=f"--{option} {path.with_suffix('.html')}"
            + ("; --figures DIR writes figures as PNG, SVG and PDF" if figures else ""),
        )


def format_point(axes: Mapping[str, object]) -> str:
    """Format a trial's point on the grid.

    Example:
        >>> format_point({"width": 64, "lr": 2**-6.5, "beta": 0.95})
        'width=64 lr=2^-6.5 (0.01105) beta=0.95'
        >>> format_point({"amp": True})
        'amp=true'
    """
    return " ".join(f"{name}={_format_value(name, value)}" for name, value in axes.items())


def _format_value(name: str, value: object) -> str:
    """Format a number with four digits, and a rate on a grid of powers of two as such a power."""
    if not isinstance(value, float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    if name == "lr" and 0 < value < math.inf:
        exponent = round(math.log2(value), 2)
        if math.isclose(2**exponent, value, rel_tol=1e-9):
            from mutransfer.analysis.format import format_rate  # imports numpy

            return format_rate(exponent)
    return f"{value:.4g}"
