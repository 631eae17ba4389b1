"""Fingerprints of Python functions, which detect that a function was edited between two sweeps.

A command has no fingerprint, since the files that its program depends on are unknown.
"""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import types
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from mutransfer.errors import StudyError, counted
from mutransfer.sweep.files import read_no_follow, write_atomically, write_errors

FINGERPRINT_FILE = "functions.json"
PLAIN = (bool, int, float, str, bytes, type(None))


def fingerprint(function: Callable[..., Any]) -> str:
    """Return a hash of a function's code and of the plain values it uses.

    Functions of the same module that it calls are included; data such as arrays and models is not.

    Example:
        >>> half, third = (lambda width: width / 2), (lambda width: width / 3)
        >>> fingerprint(half) == fingerprint(half), fingerprint(half) == fingerprint(third)
        (True, False)
    """
    text = json.dumps(_description(function, set()), sort_keys=True, default=repr)
    return f"{platform.python_version()} {hashlib.sha256(text.encode()).hexdigest()}"


def check_function(
    function: Callable[..., Any], name: str, store: Path, *, done: Callable[[], int]
) -> None:
    """Raise an error if a store has results of a former version of a function.

    Args:
        function: The training function.
        name: Its name, under which results are stored.
        store: Directory of the store.
        done: Counts the results; called only if the function has changed.

    Raises:
        StudyError: The results are those of another version.
        StoreError: The fingerprint cannot be written.
    """
    path = store / FINGERPRINT_FILE
    try:
        fingerprints = json.loads(read_no_follow(path))
        former = str(fingerprints.get(name, ""))
    except (OSError, ValueError, AttributeError, RecursionError):
        fingerprints, former = {}, ""
    current = fingerprint(function)
    if former == current:
        return
    # Another Python compiles the same source to other code.
    is_same_python = former.partition(" ")[0] == current.partition(" ")[0]
    if is_same_python and (num_results := done()):
        raise StudyError(
            f"{name} is not the function that left {counted(num_results, 'result')} in {store}",
            why="its code, or a value it uses, has changed: old and new results would be mixed",
            fix=f"use another store: store='{store}-2'; if the change does not matter: rm {path}",
        )
    with write_errors(path):
        write_atomically(path, json.dumps({**fingerprints, name: current}))


def _description(thing: object, visited: set[int]) -> object:
    """Describe an object by the code and values in it; a repeated object by its type only."""
    if isinstance(thing, PLAIN):
        return repr(thing)
    if isinstance(thing, tuple):
        return [_description(item, visited) for item in thing]
    # Functions may refer to each other: without this, the time would grow exponentially.
    if id(thing) in visited:
        return type(thing).__qualname__
    visited.add(id(thing))
    if isinstance(thing, list):
        return [_description(item, visited) for item in thing]
    if isinstance(thing, frozenset | set):
        return sorted(str(_description(item, visited)) for item in thing)
    if isinstance(thing, dict):
        return {str(key): _description(value, visited) for key, value in thing.items()}
    if isinstance(thing, functools.partial):
        return [_description(part, visited) for part in (thing.func, thing.args, thing.keywords)]
    if isinstance(thing, types.MethodType):
        return [_description(thing.__func__, visited), _description(thing.__self__, visited)]
    if isinstance(thing, types.CodeType):
        return [thing.co_code.hex(), thing.co_names, _description(thing.co_consts, visited)]
    if isinstance(thing, types.FunctionType):
        return [_description(part, visited) for part in _parts(thing)]
    call = type(thing).__dict__.get("__call__")
    if isinstance(call, types.FunctionType):
        return [_description(call, visited), _description(getattr(thing, "__dict__", {}), visited)]
    return type(thing).__qualname__


def _parts(function: types.FunctionType) -> list[object]:
    """Return a function's code, defaults, closure, and the globals of its module that it uses."""
    module_globals = {
        name: value
        for name in sorted(_global_names(function.__code__))
        if (value := function.__globals__.get(name)) is not None
        and getattr(value, "__module__", function.__module__) == function.__module__
    }
    closure = []
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # a variable without a value yet
            closure.append(cell.cell_contents)
    code, defaults, keywords = function.__code__, function.__defaults__, function.__kwdefaults__
    return [code, defaults, keywords, closure, module_globals]


def _global_names(code: types.CodeType) -> set[str]:
    """Return the names of globals that code, and code inside it, may use."""
    inner = (const for const in code.co_consts if isinstance(const, types.CodeType))
    return set(code.co_names).union(*map(_global_names, inner))
