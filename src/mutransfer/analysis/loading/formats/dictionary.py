"""Dictionaries as Python prints them, such as `{'lr': 0.01, 'loss': nan}`, parsed without `eval`.

`repr` writes what JSON cannot hold: single quotes, `None`, `nan`, tuples, `np.float64(0.1)`, and
objects such as `<class 'torch.optim.Adam'>`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from mutransfer.analysis.loading.formats.json import parse_json

MAX_DEPTH = 50  # nested brackets; settings are hardly nested ten times [assumed]
TOKEN = re.compile(
    r"""\s*(?:
        [bBuU]?(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | (?P<object><[^<>]*(?:<[^<>]*>[^<>]*)*>)
      | (?P<number>[-+]?(?:\d[\d.]*(?:e[-+]?\d+)?|\.\d+|inf\b|nan\b|Infinity\b|NaN\b))
      | (?P<name>[^\W\d][\w.]*)
      | (?P<mark>[\[\](){}:,=])
    )""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
CONSTANTS: Mapping[str, object] = {
    **{"None": None, "null": None, "True": True, "true": True, "False": False, "false": False},
    **{"nan": math.nan, "NaN": math.nan, "NaT": None, "inf": math.inf, "Infinity": math.inf},
}
ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
CLOSING = {"{": "}", "[": "]", "(": ")"}


def parse_dictionary(text: str) -> dict[str, Any]:
    """Parse the JSON or the `repr` of a dictionary; raise ValueError with the problem.

    Lists stay lists, and an object that holds neither a number nor a text becomes an empty list.

    Example:
        >>> parse_dictionary("{'lr': np.float64(0.1), 'loss': nan, 'opt': <class 'Adam'>, 1: None}")
        {'lr': 0.1, 'loss': nan, 'opt': [], '1': None}
        >>> parse_dictionary("Namespace(lr=0.1, model=Namespace(dim=64))")
        {'lr': 0.1, 'model': {'dim': 64}}
        >>> parse_dictionary("{'lr': open('x')[0]}")
        Traceback (most recent call last):
        ValueError: '[' at character 17 where ',' or '}' is expected
    """
    if text.lstrip()[:1] == "{":
        try:
            data = parse_json(text)
        except ValueError:
            pass
        else:
            assert isinstance(data, dict)  # the text begins with a brace
            return data
    parser = _Parser(text)
    value = parser.value(0)
    if parser.kind:
        raise parser.error("the end")
    if not isinstance(value, dict):
        raise ValueError("not a dictionary")
    return value


class _Parser:
    """A parser with one token of lookahead: `kind` and `token`, both empty at the end."""

    def __init__(self, text: str) -> None:
        self.text, self.end = text.rstrip(), 0
        self.kind = self.token = ""
        self.advance()

    def advance(self) -> str:
        """Return the current token and read the next one."""
        token, self.kind, self.token = self.token, "", ""
        if self.end < len(self.text):
            match = TOKEN.match(self.text, self.end)
            if match is None:
                start = self.text[self.end :].lstrip()
                position = len(self.text) - len(start) + 1
                raise ValueError(f"{start[0]!r} at character {position} begins no value")
            self.kind = match.lastgroup or ""
            self.token, self.end = match[self.kind], match.end()
        return token

    def error(self, expected: str) -> ValueError:
        """Return the error for the current token."""
        if not self.kind:
            return ValueError(f"the text ends where {expected} is expected")
        position = self.end - len(self.token) + 1
        return ValueError(
            f"{self.token!r:.40} at character {position} where {expected} is expected"
        )

    def value(self, depth: int) -> object:
        """Parse one value."""
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
        kind, token = self.kind, self.token
        if kind == "mark" and token in CLOSING:
            self.advance()
            items, pairs = self.items(token, depth)
            return pairs if token == "{" and not items else items
        if not kind or kind == "mark":
            raise self.error("a value")
        self.advance()
        if kind == "text":
            return re.sub(r"\\(.)", lambda m: ESCAPES.get(m[1], m[1]), token[1:-1], flags=re.DOTALL)
        if kind == "object":
            return []
        if kind == "number":
            return _number(token)
        if self.token == "(":
            self.advance()
            return _called(*self.items("(", depth))
        return CONSTANTS.get(token, token)

    def items(self, bracket: str, depth: int) -> tuple[list[object], dict[str, object]]:
        """Parse the values and the pairs up to the closing bracket."""
        items: list[object] = []
        pairs: dict[str, object] = {}
        closing, joint = CLOSING[bracket], ":" if bracket == "{" else "="
        while self.token != closing or self.kind != "mark":
            value = self.value(depth + 1)
            if self.kind == "mark" and self.token == joint and bracket != "[":
                self.advance()
                key = str(value)
                if key in pairs:
                    raise ValueError(f"the key {key!r} occurs twice")
                pairs[key] = self.value(depth + 1)
            else:
                items.append(value)
            if self.kind == "mark" and self.token == ",":
                self.advance()
            elif self.kind != "mark" or self.token != closing:
                raise self.error(f"',' or '{closing}'")
        self.advance()
        return items, pairs


def _number(token: str) -> object:
    """Convert a number; the text itself where it is none, such as a version or a date."""
    try:
        return int(token) if token.lstrip("+-").isdigit() and len(token) < 300 else float(token)
    except ValueError:
        return token


def _called(items: list[object], pairs: dict[str, object]) -> object:
    """Return what a printed call holds: its dictionary, or its only value, as in `tensor(0.1)`."""
    if mapping := next((item for item in items if isinstance(item, dict)), None):
        return mapping
    if len(items) != 1:
        return [] if items else pairs
    content = items[0]
    if isinstance(content, list) and content and all(map(_is_pair, content)):
        return {pair[0]: pair[1] for pair in content}  # OrderedDict([('lr', 0.1)])
    return content


def _is_pair(item: object) -> bool:
    """Return whether an item of a list is a key with its value."""
    return isinstance(item, list) and len(item) == 2 and isinstance(item[0], str)
