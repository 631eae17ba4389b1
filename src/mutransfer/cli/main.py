"""Entry point of the command line: parsing, and errors in three lines with an exit status."""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from collections.abc import Iterable, Sequence
from typing import Literal, get_args, get_origin

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
from mutransfer.errors import MutransferError, UsageError, nearest, plain


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in tokens
    tokens = [token for token in tokens if token != "--debug"]
    command = tokens[0] if tokens and tokens[0] in app and not tokens[0].startswith("-") else ""
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
    arguments = app[command].assemble_argument_collection(parse_docstring=True) if command else ()
    helps = {name: argument.parameter.help for argument in arguments for name in argument.names}
    why = "ignoring it could silently run something else"
    fix = f"see `mutransfer {command} --help`" if command else "see `mutransfer --help`"
    if unknown := _unknown_word(error):
        is_option = unknown.startswith("-")
        if is_option and command:
            fix = _nearest_option(unknown, helps)
        elif not command:
            fix = nearest(unknown, [*app])
        else:
            fix = "leave it out; a list has commas (64,128), and a value with spaces has quotes"
        kind = "option" if is_option else "argument" if command else "command"
        return UsageError(f"unknown {kind} '{unknown}'", why=why, fix=fix)
    if isinstance(error, cyclopts.RepeatArgumentError):
        what, why = f"{error.token.keyword} occurs twice", "only one of its values could be used"
        return UsageError(what, why=why, fix="leave one of them out")
    what = " ".join(str(error).split()).rstrip(".")
    what = what[0].lower() + what[1:]
    if error.argument is not None:
        name, token = error.argument.name, getattr(error, "token", None)
        flag = getattr(token or error, "keyword", None)
        place = name.strip("-").upper() if error.argument.field_info.is_positional else name
        meaning = " ".join((helps.get(name) or "").split()).rstrip(".")
        why = f"{flag or place} means: {meaning}"
        fix = _example(command, flag or place)
        if isinstance(error, cyclopts.MissingArgumentError):
            what = f"{flag} needs a value" if flag else f"{place} is required"
        elif isinstance(error, cyclopts.CoercionError) and token is not None and not error.msg:
            what = f"{flag or place} takes {_kind(error.target_type)}, not '{token.value}'"
            if get_origin(error.target_type) is Literal:
                fix = nearest(token.value, get_args(error.target_type))
            elif percent := re.fullmatch(r"(\d+\.?\d*)%", token.value):
                fix = f"write {flag or place} {float(percent[1]) / 100:g}"
    return UsageError(what, why=why, fix=fix)


def _nearest_option(word: str, options: Iterable[str]) -> str:
    """Suggest an option; the dashes, which all have in common, do not count."""
    names = {option.lstrip("-") for option in options if option.startswith("--")}
    suggestion = nearest(word.lstrip("-"), names | {"help", "debug"})
    return re.sub(r"'([\w-]+)'", r"'--\1'", suggestion)


def _example(command: str, name: str) -> str:
    """Return the example of a command that has an option, or its first one for an argument."""
    lines = [line.strip() for line in str(app[command].help_epilogue).splitlines()]
    lines = [line for line in lines if line.startswith("mutransfer")]
    fitting = [line for line in lines if not name.startswith("-") or f"{name} " in line]
    return f"for example: {fitting[0]}" if fitting else f"see `mutransfer {command} --help`"


def _unknown_word(error: cyclopts.CycloptsError) -> str:
    """Return the word that is no command, option or argument, or an empty text."""
    words = error.unused_tokens or []
    if isinstance(error, cyclopts.UnknownOptionError):
        words = [error.token.keyword or error.token.value]
    # The parser looks for missing options first, also where one is only misspelled.
    elif isinstance(error, cyclopts.MissingArgumentError) and not error.keyword:
        words = [word for word in words if re.match("-+[A-Za-z]", word)]
    elif not isinstance(error, cyclopts.UnknownCommandError | cyclopts.UnusedCliTokensError):
        words = []
    return words[0].partition("=")[0] if words else ""


def _kind(hint: object) -> str:
    """Describe the values that an argument takes."""
    names: dict[object, str] = {int: "a whole number", float: "a number", bool: "no value"}
    return names.get(hint) or " or ".join(map(_kind, get_args(hint))) or f"{hint}"


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
