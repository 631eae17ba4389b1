"""Errors of importing user code: which module is missing, where it is needed, and what to type."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

from mutransfer.errors import UsageError, nearest

PACKAGES = {  # whose modules have other names
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "flash_attn": "flash-attn",
    "hydra": "hydra-core",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


def import_error(name: str, problem: BaseException, why: str) -> UsageError:
    """Return the error for a module that cannot be imported.

    Args:
        name: Name of the module, as the user wrote it.
        problem: What importing it raised.
        why: The reason for the import.
    """
    if isinstance(problem, SystemExit):
        return UsageError(
            f"'{name}' ends the program while it is imported{_place(problem)}",
            why="importing a module runs it, here until it parses arguments or exits",
            fix='put what trains under `if __name__ == "__main__":`, or move the function to a '
            "module of its own",
        )
    if isinstance(problem, ModuleNotFoundError) and problem.name is not None:
        if name == problem.name or name.startswith(f"{problem.name}."):
            return _no_such_module(name, problem, why)
        return _missing_requirement(name, problem.name, problem, why)
    return UsageError(
        f"'{name}' cannot be imported: {type(problem).__name__}: {problem}{_place(problem)}",
        why=why,
        fix=f"make `python -c 'import {name}'` work in this folder",
    )


def _no_such_module(name: str, problem: ModuleNotFoundError, why: str) -> UsageError:
    """Return the error for a module that does not exist."""
    what = f"there is no module '{name}' in this folder, and none is installed"
    if "is not a package" in str(problem):
        what = f"there is no module '{name}': {str(problem).partition('; ')[2]}"
    files = [path.relative_to(Path.cwd()) for path in Path.cwd().glob("*.py")]
    files += [path.relative_to(Path.cwd()) for path in Path.cwd().glob("*/*.py")]
    modules = {".".join(path.with_suffix("").parts) for path in files} - {"setup"}
    suggestion = nearest(name, modules)
    fix = f"run the command in the folder of {name.partition('.')[0]}.py"
    if suggestion.startswith("did you mean"):
        fix = f"{suggestion} Otherwise {fix}"
    return UsageError(what, why=why, fix=fix)


def _missing_requirement(
    name: str, missing: str, problem: ModuleNotFoundError, why: str
) -> UsageError:
    """Return the error for a module that imports another one, which does not exist."""
    what = f"'{name}' needs the module '{missing}', which is not installed{_place(problem)}"
    top, here = missing.partition(".")[0], Path.cwd()
    if top == here.name:
        fix = f"run the command in the folder above, {here.parent}, and write {top}.{name}:FUNCTION"
    elif (here.parent / top).is_dir() or (here.parent / f"{top}.py").is_file():
        fix = f"make {here.parent / top} importable: export PYTHONPATH={here.parent}"
    else:
        package = PACKAGES.get(top, top)
        fix = f"install its package: {sys.executable} -m pip install {package}"
    return UsageError(what, why=why, fix=fix)


def _place(problem: BaseException) -> str:
    """Format the place in the user's code where an exception was raised."""
    if isinstance(problem, SyntaxError):
        return ""  # its message names the file and the line
    frames = traceback.extract_tb(problem.__traceback__)
    own = [f for f in frames if Path(f.filename).is_relative_to(Path.cwd())]
    return (
        f" ({Path(own[-1].filename).relative_to(Path.cwd())}, line {own[-1].lineno})" if own else ""
    )
