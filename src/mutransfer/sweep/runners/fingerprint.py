"""This file is telling one version of a Python function from another."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mutransfer.errors import StudyError
from mutransfer.sweep.files import read_inside, write_whole, writing

NOTE = "functions.json"
PLAIN = (bool, int, float, str, bytes, type(None))


def fingerprint(function: Callable[..., Any]) -> str:
    """Give equal texts for a function whose code, and the plain values it uses, did not change.

    Functions of the same module that it calls count, too. Data such as arrays and models do not.

    Example:
        >>> one, other = (lambda width: width / 2), (lambda width: width / 3)
        >>> fingerprint(one) == fingerprint(one), fingerprint(one) == fingerprint(other)
        (True, False)
    """
    text = json.dumps(_told(function, set()), sort_keys=True, default=repr)
    return f"{platform.python_version()} {hashlib.sha256(text.encode()).hexdigest()}"


def check_function(
    function: Callable[..., Any], name: str, store: Path, *, done: Callable[[], int]
) -> None:
    """Refuse to take results of a former version of a function for those of this one.

    Args:
        function: What trains.
        name: Its name, under which results are kept.
        store: Their store.
        done: Counts them; called only if the function has changed.

    Raises:
        StudyError: The store's results are another version's.
        StoreError: The version cannot be written down.
    """
    note = store / NOTE
    try:
        known = json.loads(read_inside(note))
        former = str(known.get(name, ""))
    except (OSError, ValueError, AttributeError, RecursionError):
        known, former = {}, ""
    now = fingerprint(function)
    if former == now:
        return
    same_python = former.partition(" ")[0] == now.partition(" ")[0]
    if same_python and (results := done()):
        raise StudyError(
            f"{name} is not the function that left {results} results in {store}",
            why="its code, or a value it uses, has changed: old and new results would be mixed",
            fix=f"give it a store of its own: store='{store}-2'; if the change does not matter: "
            f"rm {note}",
        )
    with writing(note):
        write_whole(note, json.dumps({**known, name: now}))


def _told(thing: object, seen: set[int]) -> object:
    """Describe what makes a function do what it does; what was described before, by its type."""
    if isinstance(thing, PLAIN):
        return repr(thing)
    if isinstance(thing, tuple):
        return [_told(each, seen) for each in thing]
    if id(thing) in seen:
        return type(thing).__qualname__
    seen.add(id(thing))
    if isinstance(thing, list):
        return [_told(each, seen) for each in thing]
    if isinstance(thing, frozenset | set):
        return sorted(str(_told(each, seen)) for each in thing)
    if isinstance(thing, dict):
        return {str(key): _told(value, seen) for key, value in thing.items()}
    if isinstance(thing, functools.partial):
        return [_told(part, seen) for part in (thing.func, thing.args, thing.keywords)]
    if isinstance(thing, types.MethodType):
        return [_told(thing.__func__, seen), _told(thing.__self__, seen)]
    if isinstance(thing, types.CodeType):
        return [thing.co_code.hex(), thing.co_names, _told(thing.co_consts, seen)]
    if isinstance(thing, types.FunctionType):
        return [_told(part, seen) for part in _parts(thing)]
    called = type(thing).__dict__.get("__call__")
    if isinstance(called, types.FunctionType):
        return [_told(called, seen), _told(getattr(thing, "__dict__", {}), seen)]
    return type(thing).__qualname__


def _parts(function: types.FunctionType) -> list[object]:
    """Give a function's code, its defaults, and what it takes from around it."""
    around = {
        name: value
        for name in sorted(_names(function.__code__))
        if (value := function.__globals__.get(name)) is not None
        and getattr(value, "__module__", function.__module__) == function.__module__
    }
    cells = [cell.cell_contents for cell in function.__closure__ or () if _filled(cell)]
    return [function.__code__, function.__defaults__, function.__kwdefaults__, cells, around]


def _names(code: types.CodeType) -> set[str]:
    """Name the globals that code, and code inside it, may use."""
    inner = (const for const in code.co_consts if isinstance(const, types.CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _filled(cell: types.CellType) -> bool:
    """Tell whether a closure's variable has a value."""
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True
