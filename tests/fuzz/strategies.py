"""Hypothesis strategies for hostile input: mutated documents, corrupted files, odd texts."""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

TEXTS = [
    "",
    " ",
    "a b",
    "../../etc/passwd",
    "..",
    "/nowhere/at/all",
    "C:\\x",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\u202eevil\u202c",
    "\u2066x\u2069",
    "\x00",
    "a\x00b",
    "\r\nwhy: x",
    "a\n  why: none\n  fix: do harm",
    "\x85\u2028\u2029",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</script><!--",
    '"><svg onload=alert(1)>',
    "]]>&amp;&#60;",
    "{width}",
    "{__class__}",
    "{0.__class__.__mro__}",
    "{",
    "}}",
    "{{{lr}}",
    "%s%n",
    "$HOME `id` $(id)",
    "'",
    '"',
    "a'b\"c",
    "\\",
    "(a+)+$",
    "(?P<x>",
    "[[a]",
    "(",
    "__import__('os').system('id')",
    "().__class__",
    "lambda: 0",
    "'\\d'",
    "1if 2else 3",
    "width ** width ** width",
    "1e999",
    "nan",
    "-inf",
    "١٢",
    "1_000",
    "2^-3 .. 2^3",
    "2^0 .. 2^9 step 1/3",
    "2^0 .. 2^1 step 1/1" + "0" * 400,
    "2^1 .. 2^0",
    "𝔴𝔦𝔡𝔱𝔥",
    "é́́",
    "x" * 300,
    "y" * 70_000,
    "-" * 5_000,
    "--json",
    "[bold]rich[/bold] [/]",
    "=HYPERLINK(1)",
    "null",
    "a.b.c",
    "loss",
    "lr",
    "width",
    "id",
    "seed",
]
LONE_SURROGATES = ["\ud800", "\udc80x"]  # JSON can write them, UTF-8 cannot
NUMBERS: list[Any] = [
    *(0, -0.0, -1, 1, True, False, 2**31, 2**53 + 1, 2**63, -(2**64), 10**30, 10**308, 10**400),
    *(math.nan, math.inf, -math.inf, 5e-324, 1.7e308, -1.7e308, 0.1, 1e-300, 3.5),
]
BYTES = [b"", b"\xff\xfe\x00", b"\xef\xbb\xbf", b"\x00", b"\x80abc", b"{", b"[" * 100_000, b'"']


def nested(levels: int, table: bool) -> Any:
    """Return a nested list or table."""
    value: Any = 1
    for _ in range(levels):
        value = {"a": value} if table else [value]
    return value


def choice(choices: list[Any]) -> st.SearchStrategy[Any]:
    """Choose by index, because hypothesis prints a strategy's choices, and some are long."""
    return st.integers(0, len(choices) - 1).map(lambda number: choices[number])


texts = st.one_of(choice(TEXTS), st.text(max_size=12))
numbers = st.one_of(choice(NUMBERS), st.integers(), st.floats())
scalars = st.one_of(texts, numbers, st.none(), choice(LONE_SURROGATES))
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=4),
    st.dictionaries(texts, scalars, max_size=3),
    st.builds(nested, st.sampled_from([3, 60]), st.booleans()),
)


def _paths(data: Any, path: tuple = ()) -> list[tuple]:
    """Return the path of every value in a document."""
    if not isinstance(data, dict | list):
        return []
    paths = []
    for key, item in data.items() if isinstance(data, dict) else enumerate(data):
        paths += [(*path, key), *_paths(item, (*path, key))]
    return paths


@st.composite
def mutated(draw: st.DrawFn, documents: list[Any], max_changes: int = 3) -> Any:
    """Replace, delete, rename, repeat or add a few values of a valid document."""
    data = copy.deepcopy(draw(choice(documents)))
    for _ in range(draw(st.integers(0, max_changes))):
        paths = _paths(data)
        if not paths:
            return draw(values)
        *path, last = draw(choice(paths))
        parent = data
        for key in path:
            parent = parent[key]
        kind = draw(
            st.sampled_from(["value", "value", "value", "delete", "rename", "repeat", "add"])
        )
        if kind == "value":
            parent[last] = draw(values)
        elif kind == "delete":
            del parent[last]
        elif kind == "repeat" and isinstance(parent, list):
            parent.append(copy.deepcopy(parent[last]))
        elif isinstance(parent, dict):
            value = parent.pop(last) if kind == "rename" else draw(values)
            parent[draw(texts)] = value
        else:
            parent.append(draw(values))
    return draw(values) if draw(st.integers(0, 30)) == 0 else data


@st.composite
def corrupted(draw: st.DrawFn, text: st.SearchStrategy[bytes]) -> bytes:
    """Return a file unchanged, cut, doubled, with foreign bytes in it, or replaced."""
    data = draw(text)
    kind = draw(st.sampled_from(["keep"] * 6 + ["cut", "insert", "twice", "bytes", "random"]))
    if kind == "keep":
        return data
    if kind == "random":
        return draw(st.binary(max_size=60))
    if kind == "bytes":
        return draw(choice(BYTES))
    index = draw(st.integers(0, len(data)))
    if kind == "cut":
        return data[:index]
    if kind == "twice":
        return data[:index] + data
    return data[:index] + draw(choice(BYTES)) + data[index:]


def as_json(data: Any) -> bytes:
    """Encode JSON as Python does, NaN and lone surrogates included."""
    return json.dumps(data).encode()


def as_toml(data: Any) -> bytes:
    """Encode a document as TOML; values that TOML does not have become text."""
    lines = data.items() if isinstance(data, dict) else [("study", data)]
    text = "\n".join(f"{_quoted(key)} = {_inline(value)}" for key, value in lines)
    return text.encode(errors="replace")


def _quoted(text: object) -> str:
    return json.dumps(str(text), ensure_ascii=False).replace("\x7f", "\\u007f")


def _inline(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(k)} = {_inline(v)}" for k, v in value.items()) + "}"
    return _quoted(value)


def fuzz(cases: int, strategy: st.SearchStrategy, check: Callable[[Any], None]) -> None:
    """Check a property on a number of cases, the same ones in every run."""
    num_cases = 0

    @settings(
        max_examples=cases,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(strategy)
    def run_case(case: Any) -> None:
        nonlocal num_cases
        num_cases += 1
        check(case)

    state = random.getstate()
    run_case()
    random.setstate(state)
    assert num_cases >= cases, f"{num_cases} cases"
    print(f"{num_cases} cases")
