"""This file is what the commands share: the application, common options, small readers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

from cyclopts import App, Parameter

from mutransfer import __version__

if TYPE_CHECKING:
    from mutransfer.rules import Role

app = App(
    name="mutransfer",
    help="Tune small, train large, and know beforehand whether it will work.",
    help_epilogue="Start with `mutransfer demo`. Every command takes --json and --debug.",
    version=__version__,
    suppress_keyboard_interrupt=False,
)

Json = Annotated[bool, Parameter(negative="", help="print one JSON document and nothing else")]
Switch = Annotated[bool, Parameter(negative="")]
Output = Annotated[Path | None, Parameter(name=["--output", "-o"])]


def examples(*lines: str) -> str:
    """Lay examples out under a command's help."""
    return "Examples:\n\n" + "\n\n".join(f"    {line}" for line in lines)


def names(text: str) -> tuple[str, ...]:
    """Split a list with commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def roles_of(text: str) -> dict[str, Role]:
    """Read 'router.weight=bottleneck,head.weight=output', or what an error says in Python's words.

    make_plan checks the rest.

    Example:
        >>> roles_of("head=output") == roles_of("roles={'head': Role.OUTPUT}")
        True
    """
    if "{" in text:
        found = re.findall(r"""['"](.+?)['"]\s*:\s*([\w.]+)""", text)
    else:
        found = [pair.rpartition("=")[::2] for pair in names(text)]
    return {pattern: cast("Role", role.removeprefix("Role.").lower()) for pattern, role in found}
