"""This file is finding what the user names: PKG.MOD:BUILD, and what stands beside it."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from mutransfer.errors import UsageError, listed, nearest

INPUTS_WHY = "a forward pass shows how raw parameters are used"
WHY = "the plan is made from the models that your function builds"


def build_named(reference: str) -> Callable[[int], Any]:
    """Import a factory from `package.module:function`; the current folder is importable.

    Raises:
        UsageError: The reference cannot be read, imported, found or called.
    """
    found = object_named(reference, WHY)
    if not callable(found):
        module = _module(reference.partition(":")[0], WHY)
        raise UsageError(
            f"'{reference}' is {type(found).__name__}, not a function from a width to a model",
            why=WHY,
            fix=f"name one of {listed(n for n, v in vars(module).items() if callable(v))}",
        )
    function: Callable[[int], Any] = found
    return function


def inputs_named(reference: str) -> Any:  # noqa: ANN401 - whatever the model is called with
    """Import what a model is called with; a function of the width is passed on as it is.

    Raises:
        UsageError: The reference cannot be read, imported or found, or the function failed.
    """
    found = object_named(reference, INPUTS_WHY)
    if not callable(found) or _takes_width(found):
        return found
    try:
        return found()
    except Exception as problem:
        raise UsageError(
            f"{reference}() raised {type(problem).__name__}: {problem}",
            why=INPUTS_WHY,
            fix="let it give what build(width) is called with: a tensor, a tuple, or a dict",
        ) from problem


def _takes_width(function: Callable[..., Any]) -> bool:
    """Tell a function of the width from one of no argument."""
    try:
        inspect.signature(function).bind()
    except TypeError:
        return True
    return False


def object_named(reference: str, why: str, fix: str = "") -> Any:  # noqa: ANN401 - anything
    """Import `package.module:name`; `fix` says what to do where there is no such name.

    Raises:
        UsageError: The reference cannot be read, imported or found.
    """
    module_name, colon, name = reference.partition(":")
    if not (module_name and colon and name):
        raise UsageError(
            f"'{reference}' does not name a function",
            why=why,
            fix="write MODULE:FUNCTION, for example my_model:build",
        )
    found: Any = _module(module_name, why)
    for part in name.split("."):
        if not hasattr(found, part):
            public = [n for n in vars(found) if not n.startswith("_")]
            fix = fix or nearest(part, public)
            raise UsageError(f"'{module_name}' has no '{name}'", why=why, fix=fix)
        found = getattr(found, part)
    return found


def _module(name: str, why: str) -> ModuleType:
    """Import a module; the current folder is importable."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except Exception as problem:
        raise UsageError(
            f"'{name}' cannot be imported: {type(problem).__name__}: {problem}",
            why=why,
            fix=f"make `python -c 'import {name}'` work in this folder",
        ) from problem
