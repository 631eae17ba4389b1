"""The command-line application, and the option types and parsers that its commands share."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

from cyclopts import App, Group, Parameter

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

# The help lists commands by what the user brings.
START = Group("Getting started", sort_key=1)
MODEL = Group("Your model", sort_key=2)
TRAINING = Group("Your training script", sort_key=3)
LOSSES = Group("Your losses", sort_key=4)
app["--help"].group = app["--version"].group = Group("Options", sort_key=5)

Switch = Annotated[bool, Parameter(negative="", show_default=False)]
Output = Annotated[Path | None, Parameter(name=["--output", "-o"])]
Workers = Annotated[int | Literal["auto"], Parameter(show_choices=False)]


def examples(*lines: str) -> str:
    """Format the examples under a command's help."""
    return "\n".join(["Examples:", "", *(f"    {line}" for line in lines)])


def split_list(text: str) -> tuple[str, ...]:
    """Split a comma-separated list."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parse_roles(text: str | None) -> dict[str, Role]:
    """Parse 'router.weight=bottleneck,head.weight=output', or the Python spelling of the same.

    `make_plan` validates the patterns and the roles.

    Example:
        >>> parse_roles("head=output") == parse_roles("roles={'head': Role.OUTPUT}")
        True
    """
    text = (text or "").strip()
    if text.startswith(("{", "roles=")):
        pairs = re.findall(r"""['"](.+?)['"]\s*:\s*([\w.]+)""", text)
    else:
        pairs = [pair.rpartition("=")[::2] for pair in split_list(text)]
    return {pattern: cast("Role", role.removeprefix("Role.").lower()) for pattern, role in pairs}
