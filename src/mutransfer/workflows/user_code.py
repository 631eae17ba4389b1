"""Imports of user code by reference, such as `PKG.MOD:BUILD`."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from mutransfer.errors import MutransferError, UsageError, listed, nearest
from mutransfer.workflows.import_errors import import_error

INPUTS_WHY = "a forward pass shows how raw parameters are used"
WHY = "the plan is made from the models that your function builds"


def load_build(reference: str) -> Callable[[int], Any]:
    """Import a factory from `package.module:function`; the current folder is importable.

    Raises:
        UsageError: The reference is malformed, does not exist, or is not callable.
    """
    function = load_object(reference, WHY)
    if not callable(function):
        module = _import_module(reference.partition(":")[0], WHY)
        raise UsageError(
            f"'{reference}' is of type {type(function).__name__}, and not a function from a width "
            "to a model",
            why=WHY,
            fix=f"name one of {listed(n for n, v in vars(module).items() if callable(v))}",
        )
    build: Callable[[int], Any] = function
    return build


def load_inputs(reference: str) -> Any:  # noqa: ANN401 - whatever the model is called with
    """Import the example inputs of a model. A function of the width is returned uncalled.

    Raises:
        UsageError: The reference is malformed or does not exist, or the function failed.
    """
    inputs = load_object(reference, INPUTS_WHY)
    if not callable(inputs) or _takes_width(inputs):
        return inputs
    fix = "return what build(width) is called with: a tensor, a tuple, or a dict"
    return call_without_arguments(inputs, reference, INPUTS_WHY, fix)


def call_without_arguments(function: Callable[[], Any], reference: str, why: str, fix: str) -> Any:  # noqa: ANN401 - the user's own
    """Call a function of the user's code, and turn its exceptions into a UsageError."""
    try:
        return function()
    except MutransferError:
        raise
    except Exception as problem:
        raise UsageError(
            f"{reference}() raised {type(problem).__name__}: {problem}", why=why, fix=fix
        ) from problem


def _takes_width(function: Callable[..., Any]) -> bool:
    """Return whether the function has a required argument."""
    try:
        inspect.signature(function).bind()
    except TypeError:
        return True
    return False


def load_object(reference: str, why: str, fix: str = "") -> Any:  # noqa: ANN401 - anything
    """Import `package.module:name`; `fix` is the advice where the name does not exist.

    Raises:
        UsageError: The reference is malformed or does not exist.
    """
    module_name, colon, name = reference.partition(":")
    path = Path(module_name)
    if path.suffix == ".py" or path.name != module_name:
        folder = "" if path.parent == Path() else f"in the folder {path.parent}, "
        raise UsageError(
            f"'{module_name}' is a file, not a module",
            why=why,
            fix=f"{folder}write the module without .py: {path.stem}:{name or 'build'}",
        )
    if not (module_name and colon and name):
        raise UsageError(
            f"'{reference}' does not name a function",
            why=why,
            fix="write MODULE:FUNCTION, for example my_model:build",
        )
    target: Any = _import_module(module_name, why)
    for part in name.split("."):
        if not hasattr(target, part):
            public = [n for n in vars(target) if not n.startswith("_")]
            fix = fix or nearest(part, public)
            raise UsageError(f"'{module_name}' has no '{name}'", why=why, fix=fix)
        target = getattr(target, part)
    return target


def _import_module(name: str, why: str) -> ModuleType:
    """Import a module, also from the current folder."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as problem:
        raise import_error(name, problem, why) from problem
