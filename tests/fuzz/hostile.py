"""Hostile input: valid documents with one or a few things wrong, and bytes that are no document."""

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
LONE = ["\ud800", "\udc80x"]  # JSON can write them, UTF-8 cannot
NUMBERS: list[Any] = [
    *(0, -0.0, -1, 1, True, False, 2**31, 2**53 + 1, 2**63, -(2**64), 10**30, 10**308, 10**400),
    *(math.nan, math.inf, -math.inf, 5e-324, 1.7e308, -1.7e308, 0.1, 1e-300, 3.5),
]
BYTES = [b"", b"\xff\xfe\x00", b"\xef\xbb\xbf", b"\x00", b"\x80abc", b"{", b"[" * 100_000, b'"']


def deep(levels: int, table: bool) -> Any:
    """Nest a list or a table."""
    found: Any = 1
    for _ in range(levels):
        found = {"a": found} if table else [found]
    return found


def chosen(choices: list[Any]) -> st.SearchStrategy[Any]:
    """Choose by number: hypothesis describes a strategy, and some choices are long."""
    return st.integers(0, len(choices) - 1).map(lambda number: choices[number])


texts = st.one_of(chosen(TEXTS), st.text(max_size=12))
numbers = st.one_of(chosen(NUMBERS), st.integers(), st.floats())
scalars = st.one_of(texts, numbers, st.none(), chosen(LONE))
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=4),
    st.dictionaries(texts, scalars, max_size=3),
    st.builds(deep, st.sampled_from([3, 60]), st.booleans()),
)


def _places(data: Any, path: tuple = ()) -> list[tuple]:
    """Name every place in a document."""
    if not isinstance(data, dict | list):
        return []
    found = []
    for key, item in data.items() if isinstance(data, dict) else enumerate(data):
        found += [(*path, key), *_places(item, (*path, key))]
    return found


@st.composite
def mutated(draw: st.DrawFn, documents: list[Any], most: int = 3) -> Any:
    """Take a valid document and replace, delete, rename, repeat or add a few things in it."""
    data = copy.deepcopy(draw(chosen(documents)))
    for _ in range(draw(st.integers(0, most))):
        places = _places(data)
        if not places:
            return draw(values)
        *way, last = draw(chosen(places))
        holder = data
        for key in way:
            holder = holder[key]
        what = draw(st.sampled_from(["value", "value", "value", "delete", "name", "again", "add"]))
        if what == "value":
            holder[last] = draw(values)
        elif what == "delete":
            del holder[last]
        elif what == "again" and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[last]))
        elif isinstance(holder, dict):
            known = holder.pop(last) if what == "name" else draw(values)
            holder[draw(texts)] = known
        else:
            holder.append(draw(values))
    return draw(values) if draw(st.integers(0, 30)) == 0 else data


@st.composite
def spoiled(draw: st.DrawFn, text: st.SearchStrategy[bytes]) -> bytes:
    """Take a text, often as it is, else cut, doubled, with foreign bytes, or another altogether."""
    data = draw(text)
    what = draw(st.sampled_from(["keep"] * 6 + ["cut", "insert", "twice", "bytes", "random"]))
    if what == "keep":
        return data
    if what == "random":
        return draw(st.binary(max_size=60))
    if what == "bytes":
        return draw(chosen(BYTES))
    place = draw(st.integers(0, len(data)))
    if what == "cut":
        return data[:place]
    if what == "twice":
        return data[:place] + data
    return data[:place] + draw(chosen(BYTES)) + data[place:]


def as_json(data: Any) -> bytes:
    """Write JSON as Python does, NaN and lone surrogates included."""
    return json.dumps(data).encode()


def as_toml(data: Any) -> bytes:
    """Write any document as TOML; what TOML cannot say becomes text."""
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


def fuzz(cases: int, strategy: st.SearchStrategy, holds: Callable[[Any], None]) -> None:
    """Try a property on so many cases, the same ones each time."""
    tried = 0

    @settings(
        max_examples=cases,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(strategy)
    def one(case: Any) -> None:
        nonlocal tried
        tried += 1
        holds(case)

    state = random.getstate()
    one()
    random.setstate(state)
    assert tried >= cases, f"{tried} cases"
    print(f"{tried} cases")
