"""Translation of Python arguments, as the library's errors spell them, to command-line flags."""

from __future__ import annotations

import ast
import inspect
import re
import shlex

from mutransfer.cli.app import app


def _literal(value: str) -> str:
    """Convert a name, a number, None or a dtype."""
    return value.strip("'").removeprefix("torch.").replace("None", "none")


def _numbers(value: str) -> str:
    """Convert '[64, 128]' to '64,128'."""
    return value.strip("[]").replace(" ", "")


def _rates(value: str) -> str:
    """Convert '2**-6', or "{'muon': 0.02, 'adamw': 0.003}" to 'muon=0.02,adamw=0.003'."""
    pairs = value.replace("**", "^").strip("{}").replace("'", "")
    return pairs.replace(": ", "=").replace(", ", ",")


def _roles(value: str) -> str:
    """Convert "{'head': Role.OUTPUT}" to 'head=output', unless a pattern has a comma itself."""
    pairs = re.findall(r"('[^']*'): (?:Role\.)?'?([\w.]+)", value)
    patterns = [ast.literal_eval(pattern) for pattern, _ in pairs]
    if any("," in pattern for pattern in patterns):
        return shlex.quote(value)
    roles = [role.lower() for _, role in pairs]
    return shlex.quote(",".join(map("=".join, zip(patterns, roles, strict=True))))


def _object(value: str) -> str:
    """Convert an expression to the name of an object in a module, where it can be defined."""
    if value.startswith("'"):
        return _literal(value)
    is_name = re.fullmatch(r"\w?", value)
    return "MODULE:NAME" if is_name else f"MODULE:NAME, with NAME = {value}"


COMMANDS = ("plan", "check")  # whose flags are named like the arguments of the Python functions
SPELLINGS = {
    **dict.fromkeys(("optimizer", "example_inputs", "batch", "loss"), _object),
    "widths": _numbers,
    "lr": _rates,
    "roles": _roles,
}

MAX_LENGTH = 2000  # longer lines quote the user, and matching takes quadratic time

_PYTHON = re.compile(
    r"""
      [ ]\(in[ ]Python:[^()]*\)                  # stands behind the command line's own spelling
    | (?:make_plan|coord_check)\((?P<factory>lambda[ ].*?),[ ]\.\.\.\)
    | (?:make_plan|coord_check)\((?P<subject>build|\.\.\.),[ ](?P<arguments>[^()]*)\)
    | (?<![\w.-])(?P<name>\w+)=
      (?P<value>\{(?:[^{}]|\{[^{}]*\})*\}|\[[^][]*\]|'[^']*'|lambda[ ].*|[\w.]+\(.*\)
      |[\w*.+-]*\w|(?=[ ,.;)]|$))
    | (?P<call>[\w.]+\((?:[^()]|\([^()]*\))*\))  # any other call stays Python
    | Role\.(?P<role>[A-Z]+)
    """,
    re.VERBOSE,
)


def as_flags(text: str, command: str, *, start_only: bool = False) -> str:
    """Replace Python arguments in a line of an error by the flags of a command.

    Args:
        text: The line.
        command: The command; arguments that are no flags of it stay as they are.
        start_only: Replace an argument only where the line begins with it, because the rest may
            quote the user.

    Example:
        >>> as_flags("roles={'head': Role.OUTPUT}, or make_plan(..., probe=512)", "plan")
        '--roles head=output, or --probe 512'
        >>> as_flags("pass a function: loss=lambda model, batch: model(batch).mean()", "check")
        'pass a function: --loss MODULE:NAME, with NAME = lambda model, batch: model(batch).mean()'
    """
    function = app[command].default_command if command else None
    if function is None or len(text) > MAX_LENGTH:
        return text
    flags = inspect.signature(function).parameters if command in COMMANDS else {}

    def spelled(match: re.Match[str]) -> str:
        name, value, arguments = match["name"], match["value"], match["arguments"]
        if name in flags:
            flag = f"--{name.replace('_', '-')}"
            return f"{flag} {SPELLINGS.get(name, _literal)(value)}" if value else flag
        if match["factory"]:
            return _object(match["factory"])
        if arguments:
            program = "mutransfer plan MODULE:BUILD " if match["subject"] == "build" else ""
            return program + _PYTHON.sub(spelled, arguments).replace(", --", " --")
        if match["role"]:
            return match["role"].lower()
        return match[0] if name or match["call"] else ""

    if not start_only:
        return _PYTHON.sub(spelled, text)
    start = _PYTHON.match(text)
    return spelled(start) + text[start.end() :] if start else text
