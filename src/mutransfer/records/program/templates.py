"""Texts with placeholders such as `--lr={lr}`, from which the command of a trial is made."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Annotated

from pydantic import AfterValidator

from mutransfer.records.base import InvalidValue

_BRACES = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}|[{}]")


def placeholders(text: str) -> set[str]:
    """Return the names in braces in a text; `{{` and `}}` stand for literal braces.

    Raises:
        ValueError: A brace that is neither `{name}` nor doubled.

    Example:
        >>> sorted(placeholders("--lr={lr} --out={trial_dir} {{x}}"))
        ['lr', 'trial_dir']
    """
    names = set()
    for match in _BRACES.finditer(text):
        if match[0] in "{}":
            excerpt = text[match.start() : match.start() + 20]
            raise InvalidValue(
                (
                    f"unmatched brace at {excerpt!r}",
                    "write {name} for a value, and {{ or }} for a brace",
                )
            )
        if match[1]:
            names.add(match[1])
    return names


def substitute(text: str, values: Mapping[str, object]) -> str:
    """Replace `{name}` by values, with numbers as Python prints them.

    Example:
        >>> substitute("--lr={lr} --heads={heads} {{}}", {"lr": 2**-10, "heads": 4})
        '--lr=0.0009765625 --heads=4 {}'
    """

    # Not `str.format`, whose fields can reach attributes of the values.
    def value_of(match: re.Match[str]) -> str:
        return str(values[match[1]]) if match[1] else match[0][0]

    return _BRACES.sub(value_of, text)


def expand(
    arguments: Iterable[str], values: Mapping[str, object], texts: Mapping[str, str]
) -> list[str]:
    """Substitute values in the arguments of a command, and texts for names that have one.

    A text whose `{name}` is an argument by itself is split into arguments, perhaps none; inside
    a longer argument it is inserted as it is.

    Args:
        arguments: Arguments with placeholders.
        values: Values of all names.
        texts: Texts that replace the values of some names, with placeholders of their own.

    Example:
        >>> texts = {"mode": "--mup=true --mult={mult}"}
        >>> expand(["train", "{mode}", "--lr={lr}"], {"mode": "mup", "mult": 1.0, "lr": 0.5}, texts)
        ['train', '--mup=true', '--mult=1.0', '--lr=0.5']
    """
    inserted = {**values, **{name: substitute(text, values) for name, text in texts.items()}}
    expanded = []
    for argument in arguments:
        text = texts.get(argument[1:-1]) if argument[:1] + argument[-1:] == "{}" else None
        if text is None:
            expanded.append(substitute(argument, inserted))
        else:
            expanded += [substitute(part, values) for part in shlex.split(text)]
    return expanded


def _template(text: str) -> str:
    """Validate a text with placeholders that is passed to a program."""
    if "\0" in text:
        what = "contains a zero byte, which cannot be passed to a program"
        raise InvalidValue((what, "remove the zero byte"))
    placeholders(text)
    return text


def _command(text: str) -> str:
    """Validate that a command line splits into arguments."""
    arguments = shlex.split(_arguments(text))
    if not arguments or not arguments[0]:
        raise InvalidValue(("does not name a program", 'write command = "{python} train.py ..."'))
    return text


def _arguments(text: str) -> str:
    """Validate that a text splits into arguments, perhaps none."""
    try:
        shlex.split(_template(text))
    except InvalidValue:
        raise
    except ValueError as problem:
        what = f"cannot be split into arguments: {str(problem).lower()}"
        raise InvalidValue((what, "close the quote, or write \\\\' for the character")) from None
    return text


Template = Annotated[str, AfterValidator(_template)]
CommandLine = Annotated[str, AfterValidator(_command)]
ArgumentsText = Annotated[str, AfterValidator(_arguments)]
