"""Settings in the `config.yaml` of a W&B run, parsed without executing anything."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from mutransfer.analysis.loading.numbers import parse_number
from mutransfer.analysis.results import Cell

# A key, plain or quoted, a colon, and the value if it stands on the same line.
QUOTED = r"""
    "(?:[^"\\]|\\.)*" | '(?:[^']|'')*'
"""
ENTRY = re.compile(rf"({QUOTED}|[^\s\#'\"\[{{&*!|>%@`-][^:#]*?):(?:\s+(.*))?", re.VERBOSE)
WORDS: Mapping[str, Cell] = {
    **{"null": None, "~": None, "": None, "true": True, "false": False},
    **{".nan": math.nan, ".inf": math.inf, "-.inf": -math.inf},
}


def parse_config(text: str) -> dict[str, Cell]:
    r"""Parse numbers, text and booleans; lists and everything else in YAML are left out.

    A subset of YAML that W&B writes is enough, and spares every user a dependency.

    Example:
        >>> parse_config('lr:\n  desc: null\n  value: 1e-2\nmodel:\n    value:\n        dim: 64')
        {'lr': 0.01, 'model.dim': 64.0}
    """
    settings: dict[str, Cell] = {}
    parents: list[tuple[int, str | None]] = []  # indent and key; None where the content is skipped
    for line in text.splitlines():
        content = line.strip()
        if not content or content.startswith("#") or "\t" in line[: len(line) - len(content)]:
            continue
        indent = len(line) - len(line.lstrip())
        while parents and parents[-1][0] >= indent:
            parents.pop()
        if any(key is None for _, key in parents):
            continue
        is_list_item = content.startswith("- ") or content == "-"
        entry = None if is_list_item else ENTRY.fullmatch(content)
        if entry is None:
            parents.append((indent, None))
            continue
        key, rest = _unquoted(entry[1]), entry[2] or ""
        is_scalar, value = _parse_scalar(rest)
        is_parent = not rest.split("#")[0].strip()
        path = [*(parent for _, parent in parents if parent is not None), key]
        parents.append((indent, key if is_parent else None))
        # W&B keeps each setting under `NAME.value`, and its own notes under `_wandb`.
        if is_scalar and not is_parent and path[1:2] == ["value"] and path[0] != "_wandb":
            settings[".".join([path[0], *path[2:]])] = value
    return settings


def _unquoted(key: str) -> str:
    """Return a key without its quotes."""
    return str(_parse_scalar(key)[1]) if key[0] in "\"'" else key


def _parse_scalar(text: str) -> tuple[bool, Cell]:
    """Parse a number, a word or a text; (False, ...) where the text is something else."""
    if text.startswith('"'):
        try:
            value = json.loads(text)
        except ValueError:
            return False, None
        return isinstance(value, str), value
    if text.startswith("'"):
        is_closed = len(text) > 1 and text.endswith("'")
        return is_closed, text[1:-1].replace("''", "'")
    text = re.split(r"\s+#", text)[0].strip()
    if text[:1] in tuple("[{&*!|>%@`"):
        return False, None
    if text.lower() in WORDS:
        return True, WORDS[text.lower()]
    number = parse_number(text)
    # `2^-6` is text in YAML, though a number in a CSV file.
    return True, text if number is None or "^" in text or "**" in text else number
