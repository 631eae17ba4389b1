"""This file is the way in and out: parse, answer, exit status, errors in three lines."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence

import cyclopts

from mutransfer.cli import analysis, check, commands, studies, sweep  # noqa: F401 - registers the commands
from mutransfer.cli.app import app
from mutransfer.cli.output import INTERRUPTED, OUR_BUG, WRONG_INPUT, Answer
from mutransfer.errors import MutransferError, UsageError, plain


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in tokens
    tokens = [token for token in tokens if token != "--debug"]
    status = WRONG_INPUT
    try:
        status = _answered(tokens)
    except MutransferError as error:
        _complain(error, debug)
    except cyclopts.CycloptsError as error:
        _complain(_usage(error, tokens), debug)
    except KeyboardInterrupt:
        print("\ninterrupted: what was finished is kept; the same command goes on", file=sys.stderr)
        status = INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except Exception as error:
        status = OUR_BUG
        if debug:
            traceback.print_exc()
        print(
            f"{type(error).__name__}: {error}\n"
            "  why: this is a bug of mutransfer, not a mistake of yours\n"
            "  fix: run the same with --debug and report what it prints",
            file=sys.stderr,
        )
    raise SystemExit(status)


def _answered(tokens: list[str]) -> int:
    """Carry the command out and print its answer."""
    answer = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    if isinstance(answer, Answer):
        text = (
            json.dumps(answer.data, indent=1, allow_nan=False)
            if answer.json
            else plain(answer.text)
        )
        try:
            print(text, flush=True)
        except BrokenPipeError:  # the reader, such as `head`, has seen enough; a verdict stays one
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return answer.status
    return 0  # --help and --version have printed


def _usage(error: cyclopts.CycloptsError, tokens: Sequence[str]) -> UsageError:
    """Say the parser's complaint in our form."""
    said = " ".join(str(error).split())
    said = said if said.endswith("...") else said.rstrip(".")  # a list may be cut short
    known = {name for name in app if not name.startswith("-")}
    command = (
        f"mutransfer {tokens[0]} --help" if tokens and tokens[0] in known else "mutransfer --help"
    )
    return UsageError(
        said[0].lower() + said[1:],
        why="a command that is guessed at would do something else, silently",
        fix=f"see `{command}`",
    )


def _complain(error: MutransferError, debug: bool) -> None:
    """Print an error's three lines, and its traceback if asked for."""
    if debug:
        traceback.print_exc()
    lines = f"{type(error).__name__}: {error.what}", f"  why: {error.why}", f"  fix: {error.fix}"
    # A name with a line break in it must not pass for our advice.
    print(plain("\n".join(line.replace("\n", "\\n") for line in lines)), file=sys.stderr)
