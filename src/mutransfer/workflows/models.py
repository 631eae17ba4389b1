"""This file is finding the user's model: PKG.MOD:BUILD."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mutransfer.errors import UsageError, listed, nearest


def build_named(reference: str) -> Callable[[int], Any]:
    """Import a factory from `package.module:function`; the current folder is importable.

    Raises:
        UsageError: The reference cannot be read, imported, found or called.
    """
    why = "the plan is made from the models that your function builds"
    module_name, colon, name = reference.partition(":")
    if not (module_name and colon and name):
        raise UsageError(
            f"'{reference}' does not name a function",
            why=why,
            fix="write MODULE:FUNCTION, for example my_model:build",
        )
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except Exception as problem:
        raise UsageError(
            f"'{module_name}' cannot be imported: {type(problem).__name__}: {problem}",
            why=why,
            fix=f"make `python -c 'import {module_name}'` work in this folder",
        ) from problem
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            public = [n for n in vars(found) if not n.startswith("_")]
            raise UsageError(f"'{module_name}' has no '{name}'", why=why, fix=nearest(part, public))
        found = getattr(found, part)
    if not callable(found):
        raise UsageError(
            f"'{reference}' is {type(found).__name__}, not a function from a width to a model",
            why=why,
            fix=f"name one of {listed(n for n, v in vars(module).items() if callable(v))}",
        )
    function: Callable[[int], Any] = found
    return function
