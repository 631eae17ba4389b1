"""Entry point of the command line: parsing, and errors in three lines with an exit status."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence

import cyclopts

from mutransfer.cli.app import app
from mutransfer.cli.commands import (  # noqa: F401 - importing registers the commands
    analysis,
    check,
    demo,
    plan,
    rules,
    studies,
    sweep,
)
from mutransfer.cli.exit_status import INTERNAL_ERROR, INTERRUPTED, INVALID_INPUT, SUCCESS
from mutransfer.cli.flags import as_flags
from mutransfer.cli.output import CommandResult
from mutransfer.errors import MutransferError, UsageError, plain


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in tokens
    tokens = [token for token in tokens if token != "--debug"]
    command = tokens[0] if tokens and tokens[0] in app else ""
    status = INVALID_INPUT
    try:
        status = _run(tokens)
    except MutransferError as error:
        print_error(error, command, debug=debug)
    except cyclopts.CycloptsError as error:
        print_error(_usage_error(error, command), debug=debug)
    except KeyboardInterrupt:
        print(
            "\ninterrupted: finished trials are kept; run the same command again to resume",
            file=sys.stderr,
        )
        status = INTERRUPTED
    except BrokenPipeError:
        _discard_stdout()
        status = SUCCESS
    except Exception as error:
        status = INTERNAL_ERROR
        if debug:
            traceback.print_exc()
        print(
            f"{type(error).__name__}: {error}\n"
            "  why: this is a bug in mutransfer, not a mistake of yours\n"
            "  fix: run the same command with --debug and report what it prints",
            file=sys.stderr,
        )
    raise SystemExit(status)


def _run(tokens: list[str]) -> int:
    """Run a command, print its result and return its exit status."""
    result = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    if not isinstance(result, CommandResult):
        return SUCCESS  # --help and --version have printed
    data = json.dumps(result.data, indent=1, allow_nan=False) if result.json else ""
    try:
        print(data or plain(result.text), flush=True)
    except BrokenPipeError:  # the exit status of a verdict holds even if nobody reads the text
        _discard_stdout()
    return result.status


def _discard_stdout() -> None:
    """Redirect stdout to nowhere, once its reader, such as `head`, has closed the pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage_error(error: cyclopts.CycloptsError, command: str) -> UsageError:
    """Convert an error of the command-line parser."""
    message = " ".join(str(error).split())
    message = message if message.endswith("...") else message.rstrip(".")  # a shortened list
    return UsageError(
        message[0].lower() + message[1:],
        why="guessing what was meant could silently run something else",
        fix=f"see `mutransfer {command} --help`" if command else "see `mutransfer --help`",
    )


def print_error(error: MutransferError, command: str = "", *, debug: bool = False) -> None:
    """Print the three lines of an error in the spelling of the command line.

    Args:
        error: The error.
        command: The command that raised it.
        debug: Print the traceback first.
    """
    if debug:
        traceback.print_exc()
    lines = (
        f"{type(error).__name__}: {as_flags(error.what, command, start_only=True)}",
        f"  why: {as_flags(error.why, command)}",
        f"  fix: {as_flags(error.fix, command)}",
    )
    # A line break in a name must not be able to imitate one of the three lines.
    print(plain("\n".join(line.replace("\n", "\\n") for line in lines)), file=sys.stderr)
